"""The tables of a hierarchy, made by Triton kernels: summaries of every level, and what queries picked at each.

Level l's summaries (l = 1 is the finest) stand at rows `level_rows(n, levels)[l - 1]` of a table; what the queries of
level l + 1 picked among the blocks of level l stands at the rows that those queries have in theirs.

Layout legend: B batch, H heads, L tokens, N body tokens, M rows of the keys' table, R of the queries', D head dim,
K picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from chatdit.kernels.plan.block_axis import BlockAxis, Segment, body_segments, segment_tokens
from chatdit.kernels.triton_device import rows_dense, upcast

BLOCK = 16
"""Tokens that one summary is of, and summaries that one of the next level is of."""


@dataclass(frozen=True, eq=False)
class Body:
    """The body's tokens in block order: `length` in a row from `start`, or, in any order, `tokens` (N,) int32."""

    length: int
    start: int
    tokens: Tensor | None = None


class Tables(NamedTuple):
    """Means of queries (B, H, R, D), keys and values (B, H, M, D); ln of the tokens that keys are of (B, M) fp32."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    weights: Tensor


class Picks(NamedTuple):
    """Block indices (B, H, R, K) int32, and how many of each row are valid (B, H, R) where that depends on lengths."""

    indices: Tensor
    counts: Tensor | None


def body_of(axis: BlockAxis, device: torch.device) -> Body | None:
    """The body of an axis, or None where its order differs between batch entries or heads."""
    segments = body_segments(axis)
    start = segments[0].start if segments else 0
    if axis.order is None:
        tokens = None if len(segments) <= 1 else segment_tokens(segments, device).int()
        return Body(axis.body, start, tokens)
    if axis.order.shape[:2] != (1, 1):
        return None
    order = axis.order[0, 0]
    if len(segments) <= 1:
        return Body(axis.body, start, (order + start).int())
    return Body(axis.body, start, segment_tokens(segments, device)[order.long()].int())


def level_rows(tokens: int, levels: int) -> tuple[Segment, ...]:
    """The rows of a table that each level's summaries have, finest level first."""
    rows, start, size = [], 0, tokens
    for _ in range(levels):
        size = -(-size // BLOCK)
        rows.append(Segment(start, start + size))
        start += size
    return tuple(rows)


def pool_tables(
    q: Tensor | None, k: Tensor | None, v: Tensor | None, bodies: tuple[Body, Body], levels: int,
    key_lengths: Tensor | None = None,
) -> Tables:  # fmt: skip
    """Means over all levels of what is given, sums in fp32; keys' and values' are differentiable.

    Tokens beyond the key lengths (B,) count for nothing. What is not given has an empty table.
    """
    return Tables(*_Pool.apply(q, k, v, bodies, levels, key_lengths))  # type: ignore[no-untyped-call]


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor | None, k: Tensor | None, v: Tensor | None, bodies: tuple[Body, Body], levels: int,
        lengths: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        tables = _pool((q, k, v), bodies, levels, lengths)
        ctx.save_for_backward(tables.weights, k, v)
        ctx.body, ctx.levels, ctx.lengths = bodies[1], levels, lengths
        ctx.mark_non_differentiable(tables.queries, tables.weights)
        return tuple(tables)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        weights, k, v = ctx.saved_tensors
        d_k, d_v = _spread(grads[1:3], (k, v), weights, ctx.body, ctx.levels, ctx.lengths)
        return None, d_k, d_v, None, None, None


def _pool(
    given: tuple[Tensor | None, Tensor | None, Tensor | None], bodies: tuple[Body, Body], levels: int,
    lengths: Tensor | None,
) -> Tables:  # fmt: skip
    sources = [rows_dense(x) if x is not None else None for x in given]
    some = next(x for x in sources if x is not None)
    batch, heads, _, width = some.shape
    sides = (bodies[0], bodies[1], bodies[1])
    rows = [level_rows(side.length, levels) for side in sides]
    tables = [
        some.new_empty(batch, heads, at[-1].stop if x is not None else 0, width)
        for x, at in zip(sources, rows, strict=True)
    ]
    weights = some.new_empty(batch, rows[1][-1].stop, dtype=torch.float32)
    counts = weights
    xs = [x if x is not None else some for x in sources]
    there = [i for i, x in enumerate(sources) if x is not None]
    n0, n1 = bodies[0].length, bodies[1].length
    for level in range(0, levels, 2):
        last = level + 2 >= levels
        upper = max(-(-n // BLOCK**2) for n in (n0, n1))
        sums = weights if last else some.new_empty(3, batch, heads, upper, width, dtype=torch.float32)
        upper_counts = weights if last else weights.new_empty(2, batch, upper)
        _launch_pool(
            xs, tables, (n0, n1), bodies, level, (rows[0][level].start, rows[1][level].start), lengths,
            weights, counts, sums, upper_counts, there, two=level + 1 < levels, last=last,
        )  # fmt: skip
        xs, counts = list(sums), upper_counts
        n0, n1 = (-(-n // BLOCK**2) for n in (n0, n1))
    return Tables(tables[0], tables[1], tables[2], weights)


def _launch_pool(
    xs: list[Tensor], tables: list[Tensor], lengths_of: tuple[int, int], bodies: tuple[Body, Body], level: int,
    rows: tuple[int, int], lengths: Tensor | None, weights: Tensor, counts: Tensor, sums: Tensor,
    upper_counts: Tensor, there: list[int], *, two: bool, last: bool,
) -> None:  # fmt: skip
    from chatdit.kernels.llsa.pool_kernels import pool_kernel

    batch, heads, _, width = tables[0].shape
    orders = [body.tokens if level == 0 else None for body in bodies]
    starts = [body.start if level == 0 else 0 for body in bodies]
    most = max(n for i, n in ((0, lengths_of[0]), (1, lengths_of[1])) if i in there or (i == 1 and 2 in there))
    launch: Any = pool_kernel[(-(-most // BLOCK**2), batch * heads, len(there))]
    launch(
        *xs, *tables, *(s for x in xs for s in x.stride()[:3]),
        *tables[0].stride()[:2], *tables[2 if 1 not in there else 1].stride()[:2],
        *lengths_of, *starts, *(x if x is not None else weights for x in orders),
        lengths if lengths is not None else weights, weights, weights.stride(0), counts, counts.stride(-2), sums,
        upper_counts, *rows, upper_counts.shape[-1], heads, batch,
        FIRST=there[0], D=width, TWO=two, HAS_UPPER=not last, FROM_SUMS=level > 0,
        ORDERED0=orders[0] is not None, ORDERED1=orders[1] is not None, HAS_LENGTHS=lengths is not None,
        num_warps=4 if width <= 64 else 8,
    )  # fmt: skip


def _spread(
    grads: tuple[Tensor, ...], like: tuple[Tensor | None, Tensor | None], weights: Tensor, body: Body, levels: int,
    lengths: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    from chatdit.kernels.llsa.pool_kernels import spread_kernel

    pairs = [(g.contiguous(), x) for g, x in zip(grads, like, strict=True) if x is not None]
    if not pairs:
        return None, None
    whole = body.length == pairs[0][1].shape[2]
    make = torch.empty if whole else torch.zeros
    outs = [make(x.shape, dtype=x.dtype, device=x.device) for _, x in pairs]
    batch, heads, _, width = outs[0].shape
    launch: Any = spread_kernel[(-(-body.length // BLOCK**2), batch * heads, len(pairs))]
    launch(
        pairs[0][0], pairs[-1][0], outs[0], outs[-1], weights, body.tokens if body.tokens is not None else weights,
        lengths if lengths is not None else weights, *pairs[0][0].stride()[:2], *outs[0].stride()[:3],
        *outs[-1].stride()[:3], weights.stride(0), body.length, body.start, heads,
        D=width, LEVELS=levels, ORDERED=body.tokens is not None, HAS_LENGTHS=lengths is not None,
    )  # fmt: skip
    found = iter(outs)
    return tuple(next(found) if x is not None else None for x in like)  # type: ignore[return-value]


def pick_tables(tables: Tables, bodies: tuple[Body, Body], levels: int, kept: int, *, padded: bool = False) -> Picks:
    """What the queries of each level pick: of all keys at the top, below among the children of what is picked.

    Nothing is read back. With `padded` keys, summaries of no token are never picked, and rows have counts.
    """
    from chatdit.kernels.llsa.select_kernels import pick_below, pick_top

    batch, heads, rows, width = tables.queries.shape
    q_rows, k_rows = (level_rows(body.length, levels) for body in bodies)
    indices = tables.queries.new_empty(batch, heads, rows, kept, dtype=torch.int32)
    counts = tables.queries.new_empty(batch, heads, rows, dtype=torch.int32) if padded else None
    shared = (
        tables.queries, tables.keys, tables.weights, indices, counts if counts is not None else indices,
        *tables.queries.stride()[:2], *tables.keys.stride()[:2], tables.weights.stride(0), *indices.stride()[:2], heads,
    )  # fmt: skip
    constants = {"D": width, "KEPT": kept, "PADDED": padded, "UPCAST": upcast(tables.queries)}
    for level in reversed(range(levels)):
        q_at, k_at = q_rows[level], k_rows[level]
        here = (q_at.start, k_at.start, q_at.stop - q_at.start, k_at.stop - k_at.start)
        if level == levels - 1:
            top: Any = pick_top[(-(-here[2] // BLOCK), batch * heads)]
            at_once = 128 if here[3] > 64 else 64
            places = 1 << (kept - 1).bit_length()
            top(*shared, *here, q_at.start, PLACES=places, QUERIES=BLOCK, AT_ONCE=at_once, num_warps=4, **constants)
        else:
            above = q_rows[level + 1]
            below: Any = pick_below[(above.stop - above.start, batch * heads)]
            candidates = 1 << (kept * BLOCK - 1).bit_length()
            below(*shared, *here, above.start, q_at.start, CANDIDATES=candidates, num_warps=4, **constants)
    return Picks(indices, counts)
