"""Ulysses: a sequence that stands in parts on several devices, changed into whole sequences of some of the heads.

diffusers' context parallelism gives every device a part of the text and a part of the picture, one behind the other.
A policy speaks of the whole sequence, so text and picture are put together again before it is asked
(Ulysses: arXiv 2309.14509).

Layout legend: B batch, H heads, P devices, l tokens of this device, L of all, D head dim.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from chatdit.tools.runtime.architectures import TokenLayout


@dataclass(frozen=True)
class Parts:
    """Which tokens stand where: `spans[r]` are the stretches of the whole sequence, in order, that device r has."""

    group: Any
    rank: int
    spans: tuple[tuple[range, ...], ...]
    order: Tensor
    """int64 (L,): for each token as devices have them, its place in the whole sequence."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each device."""
        return [sum(map(len, spans)) for spans in self.spans]

    def gather(self, x: Tensor) -> Tensor:
        """(B, H, l, D) of this device's tokens to (B, H/P, L, D) of its heads, in the order of the whole sequence."""
        batch, heads, _, width = x.shape
        mine = heads // len(self.spans)
        # the heads of each device one behind the other
        sent = x.reshape(batch, len(self.spans), mine, -1, width).permute(1, 3, 0, 2, 4).flatten(0, 1)
        found = _exchange(sent, self.lengths, [self.lengths[self.rank]] * len(self.spans), self.group)
        ordered = found.new_empty(found.shape).index_copy(0, self.order, found)
        return ordered.permute(1, 2, 0, 3).reshape(batch, mine, -1, width)

    def scatter(self, x: Tensor) -> Tensor:
        """What `gather` made, or an output in its shape, back to (B, H, l, D)."""
        sent = x.permute(2, 0, 1, 3).index_select(0, self.order)
        own = self.lengths[self.rank]
        found = _exchange(sent, [own] * len(self.spans), self.lengths, self.group)
        return found.view(len(self.spans), own, *found.shape[1:]).permute(2, 0, 3, 1, 4).flatten(1, 2)


def parts_of(layout: TokenLayout, parallel: Any, q: Tensor) -> Parts | str:
    """How a sequence of this layout stands on the devices, or why a call with q (B, H, l, D) can't be put together."""
    context = getattr(parallel, "context_parallel_config", None)
    if context is None:
        return "a parallel configuration without context parallelism"
    if context.ring_degree > 1:
        return "ring attention splits the keys of this call"
    group = context._ulysses_mesh.get_group()
    rank, size = distributed.get_rank(group), distributed.get_world_size(group)
    if q.shape[1] % size:
        return f"{q.shape[1]} heads, which {size} devices can't share evenly"
    body = layout.frames * layout.height * layout.width
    whole: list[list[range]] = []
    start = 0
    for length in (layout.text_tokens, body) if layout.text == "first" else (body, layout.text_tokens):
        whole.append(_split(start, length, size))
        start += length
    spans = tuple(tuple(part[r] for part in whole) for r in range(size))
    order = torch.cat([torch.arange(s.start, s.stop, device=q.device) for part in spans for s in part])
    parts = Parts(group, rank, spans, order)
    if q.shape[2] != parts.lengths[rank]:
        return f"{q.shape[2]:,} tokens on this device; the model's text and grid give it {parts.lengths[rank]:,}"
    return parts


def _split(start: int, length: int, size: int) -> list[range]:
    """As even as can be, longer parts first: as `torch.tensor_split` cuts."""
    short, more = divmod(length, size)
    cuts = [start + r * short + min(r, more) for r in range(size + 1)]
    return [range(a, b) for a, b in itertools.pairwise(cuts)]


class _AllToAll(torch.autograd.Function):
    """Rows (N, ...) to the devices and from them; the gradient goes the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, received: Sequence[int], sent: Sequence[int], group: Any) -> Tensor:
        ctx.received, ctx.sent, ctx.group = received, sent, group
        x = x.contiguous()
        out = x.new_empty(sum(received), *x.shape[1:])
        distributed.all_to_all_single(out, x, list(received), list(sent), group=group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad: Tensor = _AllToAll.apply(grads[0], ctx.sent, ctx.received, ctx.group)  # type: ignore[no-untyped-call]
        return grad, None, None, None


def _exchange(x: Tensor, received: Sequence[int], sent: Sequence[int], group: Any) -> Tensor:
    out: Tensor = _AllToAll.apply(x, received, sent, group)  # type: ignore[no-untyped-call]
    return out
