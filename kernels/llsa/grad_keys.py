"""Gradients of LLSA's keys and values: of tokens, of summaries that rows pick, and of the level that all meet.

Layout legend: B batch, H heads, L queries, K keys, M rows of the keys' table, R of the queries', D head dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.llsa.tables import BLOCK, Body, Picks, Tables, level_rows
from chatdit.kernels.llsa.tuning import MOST_SPLITS, WANTED_PROGRAMS, KeysLaunch, Tuning
from chatdit.kernels.triton_device import upcast

if TYPE_CHECKING:
    from chatdit.kernels.llsa.attention import Walk


class Listing(NamedTuple):
    """Places (E,) int64 in the flat table of picks, by what they name; where each name's begin (B·H·M + 1,) int64."""

    entries: Tensor
    edges: Tensor


@dataclass(frozen=True, eq=False)
class _Source:
    """Keys and values of one launch: `count` from `row` on, and who meets them: rows of level `level`, or all."""

    keys: Tensor
    values: Tensor
    body: Body
    count: int
    row: int = 0
    listed_level: int | None = None
    of_level: int = 0
    sizes: KeysLaunch | None = None


def listing(picks: Picks, walk: Walk) -> Listing:
    """For every block of keys of every level, who picked it: one stable sort, the same order on every run."""
    indices = picks.indices
    batch, heads, rows, kept = indices.shape
    q_rows, k_rows = (level_rows(body.length, walk.levels) for body in walk.bodies)
    total = k_rows[-1].stop
    first = torch.empty(rows, dtype=torch.int32, device=indices.device)
    narrow = False
    for q_at, k_at in zip(q_rows, k_rows, strict=True):
        first[q_at.start : q_at.stop] = k_at.start
        narrow |= k_at.stop - k_at.start < kept
    head = torch.arange(batch * heads, dtype=torch.int32, device=indices.device).view(batch, heads, 1, 1) * total
    names = indices + (first[:, None] + head)
    if narrow or picks.counts is not None:
        names = names.masked_fill(_unused(picks, walk), batch * heads * total)
    ranked, entries = names.flatten().sort(stable=True)
    every = torch.arange(batch * heads * total + 1, dtype=torch.int32, device=indices.device)
    return Listing(entries, torch.searchsorted(ranked, every))


def _unused(picks: Picks, walk: Walk) -> Tensor:
    slot = torch.arange(walk.kept, device=picks.indices.device)
    if picks.counts is not None:
        return slot >= picks.counts[..., None]
    width = torch.empty(picks.indices.shape[2], dtype=torch.int64, device=slot.device)
    q_rows, k_rows = (level_rows(body.length, walk.levels) for body in walk.bodies)
    for q_at, k_at in zip(q_rows, k_rows, strict=True):
        width[q_at.start : q_at.stop] = k_at.stop - k_at.start
    return (slot >= width[:, None]).expand_as(picks.indices)


def grad_keys(
    q: Tensor, k: Tensor, v: Tensor, tables: Tables, picks: Picks, walk: Walk, scale: float, lse: Tensor,
    delta: Tensor, d_out: Tensor, tuning: Tuning,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of k, v and of the tables of keys and values, in their dtypes."""
    found = listing(picks, walk)
    body = walk.bodies[1]
    make = torch.empty if body.length == k.shape[2] else torch.zeros
    d_k, d_v = (make(x.shape, dtype=x.dtype, device=x.device) for x in (k, v))
    d_keys, d_values = torch.empty_like(tables.keys), torch.empty_like(tables.values)
    common = (q, tables, picks, walk, scale, lse, delta, d_out, found)
    rows = level_rows(body.length, walk.levels)
    _launch(_Source(k, v, body, body.length, 0, 0, 0, tuning.tokens), d_k, d_v, *common)
    if walk.text is not None:
        text = Body(walk.text.shape[0], 0, walk.text)
        _launch(_Source(k, v, text, text.length, 0, None, 0, tuning.whole), d_k, d_v, *common)
    for level, at in enumerate(rows, start=1):
        top = level == walk.levels
        count, sizes = at.stop - at.start, tuning.whole if top else tuning.picked
        entries = Body(count, 0)
        source = _Source(tables.keys, tables.values, entries, count, at.start, None if top else level, level, sizes)
        _launch(source, d_keys, d_values, *common)
    return d_k, d_v, d_keys, d_values


def _splits(source: _Source, queries: int, heads: int) -> int:
    """Parts that the queries of one program are split into, for enough programs to fill the device."""
    assert source.sizes is not None
    programs = -(-source.count // source.sizes.keys) * heads
    if source.listed_level == 0:
        return source.sizes.splits
    longest = -(-queries // source.sizes.queries)
    return max(1, min(source.sizes.splits * -(-WANTED_PROGRAMS // programs), MOST_SPLITS, longest))


def _launch(
    source: _Source, d_keys: Tensor, d_values: Tensor, q: Tensor, tables: Tables, picks: Picks, walk: Walk,
    scale: float, lse: Tensor, delta: Tensor, d_out: Tensor, found: Listing,
) -> None:  # fmt: skip
    from chatdit.kernels.llsa.backward import llsa_grad_keys

    sizes, level = source.sizes, source.listed_level
    assert sizes is not None
    batch, heads = q.shape[:2]
    q_rows, k_rows = (level_rows(body.length, walk.levels) for body in walk.bodies)
    splits = _splits(source, walk.bodies[0].length, batch * heads)
    outs = [d_keys, d_values]
    if splits > 1:
        parts = (splits, batch, heads, source.count, q.shape[3])
        outs = [q.new_empty(parts, dtype=torch.float32) for _ in outs]
    strides = [x.stride()[:4] if splits > 1 else (0, *x.stride()[:3]) for x in outs]
    keys = BLOCK if level is not None else sizes.keys
    absent = picks.indices
    tokens = (walk.bodies[0].tokens, source.body.tokens, walk.key_lengths)
    launch: Any = llsa_grad_keys[(-(-source.count // keys), batch * heads, splits)]
    launch(
        q, source.keys, source.values, d_out, lse, delta, tables.weights, *outs, found.entries, found.edges,
        picks.indices, picks.counts if picks.counts is not None else absent,
        *(x if x is not None else absent for x in tokens), *q.stride()[:3], *source.keys.stride()[:3],
        *source.values.stride()[:3], *d_out.stride()[:3], lse.stride(1), tables.weights.stride(0),
        *picks.indices.stride()[:2], *strides[0], *strides[1], heads, walk.bodies[0].length, source.count,
        walk.bodies[1].length, walk.bodies[0].start, source.body.start, source.row,
        k_rows[level].start if level is not None else 0, k_rows[-1].stop,
        q_rows[level].start if level is not None else 0, picks.indices.shape[2], source.of_level,
        BLOCK ** (level + 1) if level is not None else 1, splits, scale,
        D=q.shape[3], KEPT=walk.kept, LEVELS=walk.levels, KEYS=keys, QUERIES=sizes.queries,
        LISTED=level is not None, SUMMARIES=source.of_level > 0, Q_ORDERED=walk.bodies[0].tokens is not None,
        K_ORDERED=source.body.tokens is not None, HAS_COUNTS=picks.counts is not None,
        HAS_LENGTHS=walk.key_lengths is not None and source.of_level == 0,
        EXCLUDE=walk.exclude and source.of_level > 0, SPLIT=splits > 1, UPCAST=upcast(q),
        STAGES=sizes.stages, num_warps=sizes.warps,
    )  # fmt: skip
    if splits > 1:
        _join(outs, (d_keys, d_values), source)


def _join(parts: list[Tensor], wholes: tuple[Tensor, Tensor], source: _Source) -> None:
    for part, whole in zip(parts, wholes, strict=True):
        joined = part.sum(0).to(whole.dtype)
        if source.body.tokens is not None:
            whole[:, :, source.body.tokens.long()] = joined
        elif source.of_level:
            whole[:, :, source.row : source.row + source.count] = joined
        else:
            whole[:, :, source.body.start : source.body.start + source.count] = joined
