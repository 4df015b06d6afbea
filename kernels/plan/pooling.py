"""Means over consecutive tokens, level on level: the summaries behind selection and coarse streams.

Layout legend: B batch, H heads, L tokens, N body tokens in block order, M summaries, D head dim.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.plan.block_axis import BlockAxis, body_tokens, take_body
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream


class Pooled(NamedTuple):
    """Means (B, H, M, D) in the dtype of what was pooled, and how many tokens each is of (B|1, H|1, M)."""

    means: Tensor
    counts: Tensor


def pool_levels(x: Tensor, span: int, levels: int, valid: Tensor | None = None) -> tuple[Pooled, ...]:
    """Means of x (B, H, N, D) over `span`, `span`², ... tokens, finest level first; differentiable.

    Sums are carried from level to level in fp32 (fp64 for fp64) and rounded once, when a level is read. The
    last summary of a level is of the tokens that are left. Tokens outside `valid` (B|1, H|1, N) count for
    nothing, whatever their values; a summary of none is zero.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    if valid is None:
        count = x.new_ones(1, 1, x.shape[2], dtype=wide)
        total = x.to(wide)
    else:
        count = valid.to(wide)
        total = x.to(wide).masked_fill(~valid[..., None], 0.0)
    pooled = []
    for _ in range(levels):
        count, total = _sums(count[..., None], span)[..., 0], _sums(total, span)
        pooled.append(Pooled((total / count.clamp(min=1)[..., None]).to(x.dtype), count))
    return tuple(pooled)


def _sums(x: Tensor, span: int) -> Tensor:
    short = -x.shape[2] % span
    return F.pad(x, (0, 0, 0, short)).reshape(*x.shape[:2], -1, span, x.shape[3]).sum(dim=3)


def ordered_body(x: Tensor, axis: BlockAxis, plan_heads: tuple[int, ...]) -> Tensor:
    """The body of x (B, H, L, D) in block order, (B, H, N, D); head h follows plan head `plan_heads[h]`."""
    body = take_body(x, axis)
    if axis.order is None:
        return body
    order = axis.order if axis.order.shape[1] == 1 else axis.order[:, list(plan_heads)]
    return body.gather(2, order.long()[..., None].expand(*body.shape))


def valid_body(axis: BlockAxis, key_lengths: Tensor | None, plan_heads: tuple[int, ...]) -> Tensor | None:
    """(B, H|1, N): whether the token at each position of the body lies before its batch entry's key length."""
    if key_lengths is None:
        return None
    tokens = body_tokens(axis, key_lengths.device)
    if axis.order is None:
        return (tokens < key_lengths[:, None])[:, None]
    order = axis.order if axis.order.shape[1] == 1 else axis.order[:, list(plan_heads)]
    return tokens[order.long()] < key_lengths[:, None, None]


def with_values(plan: BlockPlan, v: Tensor) -> tuple[CoarseStream, ...]:
    """The plan's coarse streams, those without values completed by means of v (B, H, L, D); differentiable."""
    if all(stream.values is not None for stream in plan.coarse):
        return plan.coarse
    kinds = (plan.kind(h) for h in range(v.shape[1]))
    heads = tuple(kind if isinstance(kind, int) else 0 for kind in kinds)
    body, valid = ordered_body(v, plan.k, heads), valid_body(plan.k, plan.key_lengths, heads)
    complete = []
    for stream in plan.coarse:
        if stream.values is None:
            assert stream.span is not None
            stream = replace(stream, values=pool_levels(body, stream.span, 1, valid)[0].means)
        complete.append(stream)
    return tuple(complete)
