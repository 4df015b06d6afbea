"""Checkpoints of a long training: its weights in 16 bits, in parts under 15 MiB, and the clock.

The optimiser's state is not kept: a short warm-up after each restart takes its place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

PART_BYTES = 15 * 2**20


@dataclass(frozen=True)
class TrainingProgress:
    """How far a stage has come."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path, model: nn.Module, step: int, seconds: float, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Write `model`'s weights and the clock; the clock last, so that a torn checkpoint is not taken."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.json").unlink(missing_ok=True)
    for old in folder.glob("part-*.safetensors"):
        old.unlink()
    weights = {k: (v.to(dtype) if v.is_floating_point() else v).cpu() for k, v in model.state_dict().items()}
    for i, part in enumerate(_parts({k: v.detach().contiguous() for k, v in weights.items()})):
        save_file(part, folder / f"part-{i:02d}.safetensors")
    (folder / "progress.json").write_text(json.dumps(asdict(TrainingProgress(step, seconds))) + "\n")


def load_checkpoint(folder: Path, model: nn.Module) -> TrainingProgress:
    """Load `folder` into `model` if it holds a whole checkpoint; otherwise leave `model` alone."""
    if not has_checkpoint(folder):
        return TrainingProgress()
    weights = {k: v for path in sorted(folder.glob("part-*.safetensors")) for k, v in load_file(path).items()}
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return TrainingProgress(**json.loads((folder / "progress.json").read_text()))


def checkpoint_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a whole checkpoint, without reading the weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, "pt") as part:
            shapes |= {name: tuple(part.get_slice(name).get_shape()) for name in part.keys()}  # noqa: SIM118
    return shapes


def has_checkpoint(folder: Path) -> bool:
    """Whether `folder` holds a whole checkpoint."""
    return (folder / "progress.json").exists()


def forget_checkpoint(folder: Path) -> None:
    """Leave nothing in `folder` that `load_checkpoint` would take."""
    (folder / "progress.json").unlink(missing_ok=True)


def _parts(weights: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    parts: list[dict[str, Tensor]] = [{}]
    room = PART_BYTES
    for name, value in weights.items():
        size = value.numel() * value.element_size()
        if size > room and parts[-1]:
            parts.append({})
            room = PART_BYTES
        parts[-1][name] = value
        room -= size
    return parts
