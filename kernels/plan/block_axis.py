"""How one side of attention, the queries or the keys, is cut into blocks.

A sequence of L tokens is *dense segments* (text: every token meets every token) and, in between, the
*body*. The body's tokens, numbered 0 to N-1 in sequence order, are put in an order and cut into blocks.

Layout legend: B batch, G plan heads (1, or the model's heads, or head groups), L tokens of the sequence,
N tokens of the body, n blocks. An axis of size 1 in a plan's tensor is shared by all batch entries or heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError

MIN_BLOCK, MAX_BLOCK, BLOCK_STEP = 16, 128, 16


class Segment(NamedTuple):
    """Tokens from `start` up to, not including, `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class BlockAxis:
    """One side's sequence: length in tokens, and its blocks, equal (`block`) or variable (`offsets`).

    `order` (B|1, G|1, N), int32 or int64, holds the body token that stands at each position: a permutation.
    `offsets` (B|1, G|1, n + 1), int32 or int64, are the positions where blocks begin, then N. `largest` says that no
    such block has more tokens, which spares a device finding out.
    `dense` lists segments of the sequence, ascending.

    Raises:
        KernelError: a shape, dtype or number does not fit. Values inside tensors are checked by the plan.
    """

    length: int
    block: int | None = None
    offsets: Tensor | None = None
    order: Tensor | None = None
    dense: tuple[Segment, ...] = ()
    largest: int | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise KernelError(f"length is {self.length}; a sequence has at least one token")
        _check_segments(self.dense, self.length)
        if (self.block is None) == (self.offsets is None):
            raise KernelError(f"block is {self.block} and offsets is {self.offsets}; give exactly one of the two")
        if self.block is not None and self.block not in range(MIN_BLOCK, MAX_BLOCK + 1, BLOCK_STEP):
            raise KernelError(f"block is {self.block}; it must be a multiple of {BLOCK_STEP} up to {MAX_BLOCK}")
        if self.largest is not None and (self.offsets is None or self.largest < 1):
            raise KernelError(f"largest is {self.largest}; it is the size, at least 1, of the largest variable block")
        check_integers("offsets", self.offsets, dims=3)
        check_integers("order", self.order, dims=3)
        if self.order is not None and self.order.shape[2] != self.body:
            raise KernelError(f"order places {self.order.shape[2]} tokens, but the body has {self.body}")
        if self.offsets is not None and self.offsets.shape[2] < 2:
            raise KernelError(f"offsets has shape {tuple(self.offsets.shape)}; one block needs two offsets")

    @property
    def body(self) -> int:
        """Tokens outside the dense segments, N."""
        return self.length - sum(stop - start for start, stop in self.dense)

    @property
    def blocks(self) -> int:
        """Blocks of the body, n."""
        if self.offsets is not None:
            return self.offsets.shape[2] - 1
        assert self.block is not None
        return -(-self.body // self.block)

    def tensors(self) -> tuple[tuple[str, Tensor], ...]:
        """The tensors that are there, by name; each is (B|1, G|1, ...)."""
        named = (("offsets", self.offsets), ("order", self.order))
        return tuple((name, tensor) for name, tensor in named if tensor is not None)


def body_segments(axis: BlockAxis) -> tuple[Segment, ...]:
    """The stretches of the sequence between its dense segments."""
    edges = [0, *(edge for segment in axis.dense for edge in segment), axis.length]
    return tuple(Segment(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)


def body_tokens(axis: BlockAxis, device: torch.device) -> Tensor:
    """(N,) int64: the place in the sequence of each body token."""
    return segment_tokens(body_segments(axis), device)


def segment_tokens(segments: tuple[Segment, ...], device: torch.device) -> Tensor:
    """Places in the sequence of all tokens of the segments, int64."""
    parts = [torch.arange(start, stop, device=device) for start, stop in segments]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64, device=device)


def take_body(x: Tensor, axis: BlockAxis) -> Tensor:
    """The body of x (B, H, L, D) as (B, H, N, D), in sequence order; a view where one stretch holds it."""
    parts = [x[:, :, start:stop] for start, stop in body_segments(axis)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2) if parts else x[:, :, :0]


def for_head(x: Tensor, batch: int, head: int) -> Tensor:
    """What a plan's tensor (B|1, G|1, ...) holds for one batch entry and one plan head."""
    return x[batch if x.shape[0] > 1 else 0, head if x.shape[1] > 1 else 0]


def block_offsets(axis: BlockAxis, batch: int, head: int, device: torch.device) -> Tensor:
    """(n + 1,) int64: the positions where one head's blocks begin, then N."""
    if axis.offsets is not None:
        return for_head(axis.offsets, batch, head).long()
    assert axis.block is not None
    return (torch.arange(axis.blocks + 1, device=device) * axis.block).clamp_(max=axis.body)


def check_integers(name: str, x: Tensor | None, dims: int) -> None:
    """Raise KernelError unless x is absent, or of int32 or int64 with so many axes."""
    if x is None:
        return
    if x.dim() != dims:
        raise KernelError(f"{name} has shape {tuple(x.shape)}; it must have {dims} axes")
    if x.dtype not in (torch.int32, torch.int64):
        raise KernelError(f"{name} is {x.dtype}; it must be torch.int32 or torch.int64")


def _check_segments(segments: tuple[Segment, ...], length: int) -> None:
    last = 0
    for start, stop in segments:
        if not last <= start < stop <= length:
            raise KernelError(
                f"dense is {[tuple(s) for s in segments]}; segments must ascend without overlap in 0..{length}"
            )
        last = stop
