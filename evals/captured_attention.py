"""Queries, keys and values of a model while it draws: what policies are measured on.

Layout legend: B batch (the guidance passes), H heads, L tokens, text first, D head dim.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from chatdit.kernels.plan.block_axis import Segment as TextSegment
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.tools.dit.model import DiT, Row, SamplingOptions
from chatdit.tools.dit.packing import Grid, position_ids
from chatdit.tools.dit.rows import Segment


@dataclass(frozen=True, eq=False)
class Captured:
    """One self-attention call: q, k, v (B, H, L, D), where its tokens stand, and when it came."""

    q: Tensor
    k: Tensor
    v: Tensor
    geometry: Geometry
    step: Place
    layer: Place


def capture(dit: DiT, row: Row, *, steps: int, kept_steps: Collection[int], kept_layers: Collection[int]) -> list[
    Captured
]:  # fmt: skip
    """The calls of some layers (from 0) at some steps (from 0) while `row` is drawn in so many steps."""
    size = dit.token_size
    panels = {(segment.height // size, segment.width // size) for segment in row.segments}
    if len(panels) > 1:
        raise ValueError(f"the row has panels of {sorted(panels)} tokens: expected panels of one size")
    (height, width) = panels.pop()
    body = len(row.segments) * height * width
    mode = _Capture(body, dit.layers, steps, kept_steps, kept_layers)
    with mode:
        dit.sample([row], None, SamplingOptions(steps=steps))
    if mode.calls != steps * dit.layers:
        raise RuntimeError(f"{mode.calls} calls were seen: expected {steps} steps of {dit.layers} layers")
    return [
        Captured(*tensors, _geometry(tensors[0], height, width, len(row.segments)), step, layer)
        for step, layer, tensors in mode.found
    ]


def capture_random_flux(side: int, *, heads: int, head_dim: int, text: int = 512, seed: int = 0) -> list[Captured]:
    """The calls of one double and one single block with FLUX.1's shapes and random weights, for a square picture.

    Nothing is learned in them: they say that policies work at these shapes, not how good they are. `side` is in
    pixels, a token 16 of them.
    """
    torch.manual_seed(seed)
    third = head_dim // 8
    model = FluxTransformer2DModel(
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=head_dim,
        num_attention_heads=heads,
        axes_dims_rope=(head_dim - 6 * third, 3 * third, 3 * third),
    ).eval()
    rows = side // 16
    config, body = model.config, rows * rows
    picture = Segment(side, side, 0)
    mode = _Capture(body, 2, 1, (0,), (0, 1))
    with mode, torch.no_grad():
        model(
            hidden_states=torch.randn(1, body, config["in_channels"]),
            encoder_hidden_states=torch.randn(1, text, config["joint_attention_dim"]),
            pooled_projections=torch.randn(1, config["pooled_projection_dim"]),
            timestep=torch.full((1,), 0.5),
            img_ids=position_ids([picture], Grid(downscale=8, pack=2, channels=16)),
            txt_ids=torch.zeros(text, 3),
            guidance=torch.full((1,), 3.5) if config["guidance_embeds"] else None,
        )
    return [
        Captured(*tensors, _geometry(tensors[0], rows, rows, 1), step, layer) for step, layer, tensors in mode.found
    ]


def _geometry(q: Tensor, height: int, width: int, panels: int) -> Geometry:
    return Geometry(height, width, panels, (TextSegment(0, q.shape[2] - panels * height * width),))


class _Capture(TorchFunctionMode):
    """Watches torch's attention; calls of fewer tokens than the picture has belong to other parts of the model."""

    def __init__(
        self, body: int, layers: int, steps: int, kept_steps: Collection[int], kept_layers: Collection[int]
    ) -> None:
        super().__init__()
        self._body, self._layers, self._steps = body, layers, steps
        self._kept = kept_steps, kept_layers
        self.calls = 0
        self.found: list[tuple[Place, Place, tuple[Tensor, Tensor, Tensor]]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        given: tuple[Any, ...] = args[:3] or tuple(named.get(name) for name in ("query", "key", "value"))
        if func is F.scaled_dot_product_attention and given[0].shape[2] > self._body:
            step, layer = divmod(self.calls, self._layers)
            self.calls += 1
            if step in self._kept[0] and layer in self._kept[1]:
                q, k, v = (x.detach().clone() for x in given)
                self.found.append((Place(step, self._steps), Place(layer, self._layers), (q, k, v)))
        return func(*args, **named)


@torch.no_grad()
def dense(call: Captured) -> Tensor:
    """Dense attention of a captured call, (B, H, L, D)."""
    return F.scaled_dot_product_attention(call.q, call.k, call.v)
