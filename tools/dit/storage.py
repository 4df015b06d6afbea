"""Weights on disk: safetensors, matrices as int8 with one fp16 scale for each output channel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SCALE_SUFFIX = ".int8_scale"


def save_weights(path: Path, weights: Mapping[str, Tensor], *, quantize: bool) -> None:
    """Write `weights` to `path`; with `quantize`, tensors of two or more dimensions become int8.

    The scale of an output channel (dimension 0) is its largest magnitude over 127; everything else
    is stored as fp16. Integer tensors stay as they are.
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
    part = path.with_name(path.name + ".part")
    save_file(stored, part)
    part.replace(path)


def load_weights(path: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Tensors of a safetensors file, int8 ones dequantised, floating ones as `dtype`."""
    stored = load_file(path)
    weights: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = stored.get(name + SCALE_SUFFIX)
        if scale is not None:
            value = value.float() * scale.float().view(-1, *[1] * (value.dim() - 1))
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
    scale = (flat.abs().amax(dim=1) / 127).clamp(min=1e-8).half()
    # fp16 may round a tiny scale to zero; keep it a normal number
    scale = scale.clamp(min=torch.finfo(torch.float16).tiny)
    levels = (flat / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return levels.view_as(value), scale
