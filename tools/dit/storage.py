"""Weights on disk: safetensors, matrices as int8 with one fp32 scale for each output channel.

A model larger than `SHARD_BYTES` is split in files with an index, in the layout that Hugging Face's
libraries use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SCALE_SUFFIX = ".int8_scale"
SHARD_BYTES = 15 * 2**20


def save_weights(path: Path, weights: Mapping[str, Tensor], *, quantize: bool) -> None:
    """Write `weights` to `path`; with `quantize`, tensors of two or more dimensions become int8.

    The scale of an output channel (dimension 0) is its largest magnitude over 127; everything else
    is stored as fp16. Integer tensors stay as they are. Above `SHARD_BYTES` the tensors go to
    `<name>-00001-of-0000N.safetensors` and so on, beside `<name>.safetensors.index.json`.
    """
    stored: dict[str, Tensor] = {}
    for name, value in weights.items():
        value = value.detach().cpu()
        if quantize and value.dim() >= 2 and value.is_floating_point():
            stored[name], stored[name + SCALE_SUFFIX] = _quantized(value.float())
        elif quantize and value.is_floating_point():
            stored[name] = value.half().contiguous()
        else:
            stored[name] = value.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{path.stem}*.safetensors*"):
        old.unlink()
    shards = _shards(stored)
    if len(shards) == 1:
        _write(path, shards[0])
        return
    names = [f"{path.stem}-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        _write(path.with_name(name), shard)
    index = {
        "metadata": {"total_size": sum(map(_bytes, stored.values()))},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
    }
    _index(path).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def load_weights(path: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Tensors of a safetensors file or of its shards, int8 ones dequantised, floating ones as `dtype`."""
    stored = load_file(path) if path.is_file() or not _index(path).is_file() else _load_shards(path)
    weights: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = stored.get(name + SCALE_SUFFIX)
        if scale is not None:
            value = value.float() * scale.view(-1, *[1] * (value.dim() - 1))
        weights[name] = value.to(dtype) if value.is_floating_point() else value
    return weights


def weights_digest(folder: Path) -> str:
    """SHA-256 over every safetensors file under `folder`, in the order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _quantized(value: Tensor) -> tuple[Tensor, Tensor]:
    flat = value.reshape(value.shape[0], -1)
    scale = (flat.abs().amax(dim=1) / 127).clamp(min=1e-12)
    levels = (flat / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return levels.view_as(value), scale


def _shards(stored: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    # a matrix and its scale stay together
    shards: list[dict[str, Tensor]] = [{}]
    room = SHARD_BYTES
    for name in [n for n in stored if not n.endswith(SCALE_SUFFIX)]:
        group = {n: stored[n] for n in (name, name + SCALE_SUFFIX) if n in stored}
        size = sum(map(_bytes, group.values()))
        if size > room and shards[-1]:
            shards.append({})
            room = SHARD_BYTES
        shards[-1] |= group
        room -= size
    return shards


def _load_shards(path: Path) -> dict[str, Tensor]:
    index: dict[str, dict[str, str]] = json.loads(_index(path).read_text(encoding="utf-8"))
    files = sorted(set(index["weight_map"].values()))
    return {name: value for file in files for name, value in load_file(path.with_name(Path(file).name)).items()}


def _index(path: Path) -> Path:
    return path.with_name(path.name + ".index.json")


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    part = path.with_name(path.name + ".part")
    save_file(tensors, part)
    part.replace(path)
