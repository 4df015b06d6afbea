"""Exact timesteps under bf16: the one place where half precision changes what the model is told.

diffusers' Flux rounds the timestep to the dtype of its tokens before embedding it; in bf16 about
two thirds of distinct timesteps collapse. Here the exact one rides along as an extra last column
of the pooled text, which diffusers passes on untouched, and the embedding itself stays float32.
The hooks hold no state, rename no weights, and leave a call without the extra column as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel


def to_precision(transformer: FluxTransformer2DModel, device: torch.device, dtype: torch.dtype) -> None:
    """Moves the model to `device` and `dtype`; its `time_text_embed` stays float32."""
    for name, part in transformer.named_children():
        part.to(device, torch.float32 if name == "time_text_embed" else dtype)
    if dtype != torch.float32:
        keep_exact_time(transformer, dtype)


def keep_exact_time(transformer: FluxTransformer2DModel, dtype: torch.dtype) -> None:
    """Lets `with_exact_time` reach the timestep's embedding, whose result is handed on in `dtype`."""
    width = int(transformer.config["pooled_projection_dim"])

    def before(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        timestep, *guidance, pooled = (arg.float() for arg in args)
        if pooled.shape[-1] == width + 1:
            timestep, pooled = pooled[:, -1], pooled[:, :-1]
        return timestep, *guidance, pooled

    def after(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.to(dtype)

    transformer.time_text_embed.register_forward_pre_hook(before)
    transformer.time_text_embed.register_forward_hook(after)


def with_exact_time(pooled: Tensor, t: Tensor, dtype: torch.dtype) -> Tensor:
    """What to pass as pooled text (B, P) for a model in `dtype` at times t (B,) in [0, 1], float32."""
    if dtype == torch.float32:
        return pooled
    return torch.cat([pooled, 1000 * t[:, None]], dim=1)
