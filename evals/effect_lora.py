"""What LoRAs of `pocket:...` claim once they are trained: sets that the base does not draw, of subjects never shown."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.tools.dit.adapters import AdapterUse
from chatdit.tools.dit.model import SamplingOptions
from chatdit.tools.ic_lora import panel_row, settled
from chatdit.tools.lora.shelf import ShelvedLora, find_lora, shelf
from chatdit.tools.lora.world_sets import LEFT_OUT, colouring_scenes, in_sandstorm, sandstorm_scenes
from chatdit.tools.pixels import to_picture, to_tensor
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import NAMELESS, Scene


@dataclass(frozen=True)
class _Case:
    scenes: tuple[Scene, ...]
    captions: tuple[str, ...]
    given: dict[int, Image.Image]
    seed: int


_Score = Callable[[_Case, list[Image.Image], list[Reading]], float]


def sandstorm(bench: Bench, count: int, seed: int) -> Measured:
    """Two panels by one caption: how near is the second to the first as it would look in the storm, in dB?

    Base: the same row without the LoRA. Control: the LoRA with the inputs of its matrices exchanged.
    """
    rng = random.Random(f"effects-lora-sandstorm-{seed}")
    cases = []
    for _ in range(count):
        scenes, _, _ = sandstorm_scenes(rng, LEFT_OUT)
        cases.append(_Case(tuple(scenes), (caption(scenes[0]),) * 2, {}, rng.randrange(2**31)))
    return _measured(bench, "sandstorm", cases, _stormed)


def colouring(bench: Bench, count: int, seed: int) -> Measured:
    """A sketch is given, and no word names what it shows: the same subject, in the same place, in colour.

    Base: the same row without the LoRA. Control: the LoRA with the inputs of its matrices exchanged.
    """
    rng = random.Random(f"effects-lora-colouring-{seed}")
    cases = []
    for _ in range(count):
        scenes, placements, _ = colouring_scenes(rng, LEFT_OUT)
        sketch = to_image(bench.renderer.pictures_of(scenes[:1], placements[:1], rng)[0])
        cases.append(_Case(tuple(scenes), (f"a {NAMELESS}",) * 2, {1: sketch}, rng.randrange(2**31)))
    return _measured(bench, "colouring", cases, _coloured)


LORAS = {
    "ic-lora-sandstorm": Claim(
        "ic_lora",
        "the LoRA sandstorm draws a picture, and the same picture in the storm, of subjects that no sample showed",
        "PSNR of the second to the first in the storm (dB, where the subject is in the first, else 0)",
        "In-Context LoRA, arXiv 2410.23775: a task is learned from 20 to 100 sets",
        sandstorm,
        lambda: "sandstorm" in shelf(),
    ),
    "ic-lora-colouring": Claim(
        "ic_lora",
        "the LoRA colouring paints a given sketch whose subject no word names and no sample showed",
        "subject, place and style right (share of pictures)",
        "In-Context LoRA, arXiv 2410.23775: image-conditional generation",
        colouring,
        lambda: "colouring" in shelf(),
    ),
}


def _measured(bench: Bench, name: str, cases: Sequence[_Case], score: _Score) -> Measured:
    lora = find_lora(name)
    trials, spent = [], [0.0, 0.0]
    with TemporaryDirectory(prefix="chatdit-lora-") as folder:
        broken = _exchanged(lora.file, Path(folder) / "exchanged.safetensors")
        for i, case in enumerate(cases):
            bench.notify(f"LoRA {name}", i, len(cases))
            scores = []
            for way, adapter in enumerate((None, AdapterUse(lora.file), AdapterUse(broken))):
                started = time.perf_counter()
                pictures = _drawn(bench, lora, case, adapter)
                if way < len(spent):
                    spent[way] += time.perf_counter() - started
                scores.append(score(case, pictures, [look.reading for look in look_at(bench.reader, pictures)]))
            trials.append(Trial(*scores))
        bench.notify(f"LoRA {name}", len(cases), len(cases))
    return Measured(tuple(trials), _identity(bench, lora, cases[0]), spent[1] / spent[0])


def _drawn(bench: Bench, lora: ShelvedLora, case: _Case, adapter: AdapterUse | None) -> list[Image.Image]:
    panels = tuple(range(1, lora.card.panels + 1))
    captions = settled(lora.card, panels, case.captions, case.given, case.seed)
    row = panel_row(bench.dit, lora.card, panels, captions, case.given, case.seed)
    (sampled,) = bench.dit.sample([row], sampling=SamplingOptions(adapter=adapter))
    return [to_picture(pixels) for pixels in sampled.images]


def _identity(bench: Bench, lora: ShelvedLora, case: _Case) -> float:
    """Strength 0 against no LoRA."""
    plain, neutral = (_drawn(bench, lora, case, adapter) for adapter in (None, AdapterUse(lora.file, 0.0)))
    differences = [
        np.abs(np.asarray(a, float) - np.asarray(b, float)).max() for a, b in zip(plain, neutral, strict=True)
    ]
    return float(max(differences)) / 255


def _stormed(case: _Case, pictures: list[Image.Image], readings: list[Reading]) -> float:
    if readings[0].find(case.scenes[0].things[0].subject) is None:
        return 0.0
    first, second = (to_tensor(picture) for picture in pictures)
    error = (second - in_sandstorm(first[None])[0]).div(2).square().mean()
    return float(-10 * torch.log10(error))


def _coloured(case: _Case, pictures: list[Image.Image], readings: list[Reading]) -> float:
    wanted, seen = case.scenes[1], readings[1]
    there = seen.find(wanted.things[0].subject) is not None
    return float(there and seen.background == wanted.background and seen.style == wanted.style)


def _exchanged(file: Path, to: Path) -> Path:
    """The LoRA with the inputs of each matrix in another order: as large, and of no use."""
    generator = torch.Generator().manual_seed(0)
    weights = load_file(file)
    for name, value in weights.items():
        if name.endswith("lora_A.weight"):
            weights[name] = value[:, torch.randperm(value.shape[1], generator=generator)].contiguous()
    save_file(weights, to)
    return to
