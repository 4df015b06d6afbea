"""A plan turned into token lists that the gather implementation can work on, a few rows at a time.

Keys and values stand in one table for each head: the K tokens of the sequence, then the tokens of each coarse
stream, then one row that is nobody. A slot is a row of that table.

Layout legend: L queries, K keys, R rows (query blocks) of a chunk, Q queries of a row, S slots of its own,
T slots that all rows share, E entries of block lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.plan.block_axis import BlockAxis, Segment, block_offsets, body_segments, for_head, segment_tokens
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import head_rows

LOGITS_PER_CHUNK = 1 << 21
"""Enough to keep the number of small operations down, few enough not to need much memory."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows: `queries` (R, Q), L for nobody; `slots` (R, S); `shared` (T,).

    `hidden` (R, T) marks shared slots that a row does not meet, `pairs` (R, Q, S) the pairs that a predicate
    allows; `gaps` says whether any slot is nobody. `rows` (R,) are the query blocks, `blocks` (R, S) the key
    block of each slot, one past the last for none; rows outside the body have neither.
    """

    queries: Tensor
    slots: Tensor
    shared: Tensor
    hidden: Tensor | None = None
    pairs: Tensor | None = None
    rows: Tensor | None = None
    blocks: Tensor | None = None
    gaps: bool = False


@dataclass(frozen=True, eq=False)
class _Entries:
    """What some rows name: entry `named[i]` belongs to row `owner[i]`, rows ascending."""

    owner: Tensor
    named: Tensor


def dense_chunks(plan: BlockPlan, segments: tuple[Segment, ...], device: torch.device) -> Iterator[Chunk]:
    """Queries of the segments against every key."""
    keys = torch.arange(plan.k.length, device=device)
    some_at_once = max(1, LOGITS_PER_CHUNK // plan.k.length)
    for some in torch.split(segment_tokens(segments, device), some_at_once):
        if len(some):
            yield Chunk(some[None], keys.new_zeros(1, 0), keys)


def head_chunks(
    plan: BlockPlan, batch: int, head: int, device: torch.device, *, with_blocks: bool = False
) -> Iterator[Chunk]:
    """Everything one plan head does, dense queries included; with `blocks` if asked for."""
    yield from dense_chunks(plan, plan.q.dense, device)
    lists = _HeadLists(plan, batch, head, device, with_blocks)
    for rows in lists.row_groups():
        yield lists.chunk(rows)


class _HeadLists:
    """One plan head's blocks as token lists."""

    def __init__(self, plan: BlockPlan, batch: int, head: int, device: torch.device, with_blocks: bool) -> None:
        self.plan, self.batch, self.head, self.device, self.with_blocks = plan, batch, head, device, with_blocks
        self.q_tokens, self.q_numbers = _tokens_in_order(plan.q, batch, head, device)
        self.k_tokens, self.k_numbers = _tokens_in_order(plan.k, batch, head, device)
        self.q_offsets = block_offsets(plan.q, batch, head, device)
        self.k_offsets = block_offsets(plan.k, batch, head, device)
        self.named, self.counts, self.partial = _full_and_partial(plan, batch, head, device)
        self.first = _first_slots(plan)
        self.shared = torch.cat(
            [segment_tokens(plan.k.dense, device)]
            + [
                torch.arange(stream.tokens, device=device) + self.first[i]
                for i, stream in enumerate(plan.coarse)
                if stream.rows is None
            ]
        )

    def row_groups(self) -> Iterator[Tensor]:
        """Rows of similar length together, no more at once than the budget allows."""
        widths = torch.zeros(self.plan.q.blocks, dtype=torch.int64, device=self.device)
        owner = torch.arange(len(widths), device=self.device).repeat_interleave(self.counts)
        widths.index_add_(0, owner, self.k_offsets.diff()[self.named])
        tall = int(self.q_offsets.diff().max()) if self.plan.q.blocks else 0
        ranked = widths.argsort(descending=True, stable=True)
        ranked = ranked[self.q_offsets.diff()[ranked] > 0]
        coarse = sum((s.rows.width or s.blocks) * s.block for s in self.plan.coarse if s.rows is not None)
        at = 0
        while at < len(ranked):
            width = int(widths[ranked[at]]) + len(self.shared) + coarse
            step = max(1, LOGITS_PER_CHUNK // max(1, tall * width))
            yield ranked[at : at + step].sort().values
            at += step

    def chunk(self, rows: Tensor) -> Chunk:
        owner, at = _ranges((self.counts.cumsum(0) - self.counts)[rows], self.counts[rows])
        fine = _Entries(owner, self.named[at])
        entry, position = _ranges(self.k_offsets[fine.named], self.k_offsets.diff()[fine.named])
        owner, nobody = owner[entry], self.first[-1]
        slots = _padded(owner, self.k_tokens[position], len(rows), fill=nobody)
        queries = self._query_positions(rows)
        pairs, blocks = None, None
        if self.plan.predicate is not None:
            numbers = _padded(owner, self.k_numbers[position], len(rows), fill=0)
            pairs = self._pairs(queries, numbers, _padded(owner, self.partial[at][entry], len(rows), fill=False))
        if self.with_blocks:
            blocks = _padded(owner, fine.named[entry], len(rows), fill=self.plan.k.blocks)
        coarse, hidden = self._coarse(rows, fine)
        if coarse is not None:
            slots = torch.cat([slots, coarse], dim=1)
            more = (0, coarse.shape[1])
            blocks = F.pad(blocks, more, value=self.plan.k.blocks) if blocks is not None else None
            pairs = F.pad(pairs, more, value=True) if pairs is not None else None
        gaps = bool((slots == nobody).any())
        tokens = _look_up(self.q_tokens, queries, nobody=self.plan.q.length)
        return Chunk(tokens, slots, self.shared, hidden, pairs, rows, blocks, gaps)

    def _query_positions(self, rows: Tensor) -> Tensor:
        return _padded(*_ranges(self.q_offsets[rows], self.q_offsets.diff()[rows]), len(rows), fill=-1)

    def _pairs(self, queries: Tensor, keys: Tensor, by_rule: Tensor) -> Tensor:
        assert self.plan.predicate is not None
        q = self.q_numbers[queries.clamp(min=0)]
        return self.plan.predicate.allowed(q[:, :, None], keys[:, None], self.batch) | ~by_rule[:, None]

    def _coarse(self, rows: Tensor, finer: _Entries) -> tuple[Tensor | None, Tensor | None]:
        """Slots of the coarse tokens that each row names (R, S), and which shared ones it leaves out (R, T)."""
        parts: list[Tensor] = []
        hidden = torch.zeros(len(rows), len(self.shared), dtype=torch.bool, device=self.device)
        at = len(self.shared) - sum(stream.tokens for stream in self.plan.coarse if stream.rows is None)
        for i, stream in enumerate(self.plan.coarse):
            exclude = stream.selected == "exclude"
            if stream.rows is None:
                if exclude:
                    hidden[finer.owner, at + finer.named] = True
                at += stream.tokens
                finer = _Entries(*(x.flatten() for x in self._everything(len(rows), stream.blocks)))
                continue
            entries, counts = head_rows(stream.rows, self.batch, self.head)
            own = rows // stream.share
            owner, which = _ranges((counts.cumsum(0) - counts)[own], counts[own])
            here = _Entries(owner, entries[which])
            begin = here.named * stream.block
            entry, token = _ranges(begin, (stream.tokens - begin).clamp(max=stream.block))
            slot = token + self.first[i]
            if exclude:
                names = (x.owner * stream.tokens + x.named for x in (_Entries(here.owner[entry], token), finer))
                slot = slot.masked_fill(torch.isin(next(names), next(names)), self.first[-1])
            parts.append(_padded(here.owner[entry], slot, len(rows), fill=self.first[-1]))
            finer = here
        return torch.cat(parts, dim=1) if parts else None, hidden if bool(hidden.any()) else None

    def _everything(self, rows: int, blocks: int) -> tuple[Tensor, Tensor]:
        both = torch.meshgrid(*(torch.arange(n, device=self.device) for n in (rows, blocks)), indexing="ij")
        return both[0], both[1]


def _full_and_partial(plan: BlockPlan, batch: int, head: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """All entries of one head row by row (E,), how many each row has (n,), whether the predicate decides (E,)."""
    lists = [head_rows(rows, batch, head) for rows in (plan.rows, plan.partial) if rows is not None]
    if plan.partial is None:
        return *lists[0], torch.zeros_like(lists[0][0], dtype=torch.bool)
    owner = torch.cat([torch.arange(len(counts), device=device).repeat_interleave(counts) for _, counts in lists])
    partial = torch.arange(len(owner), device=device) >= len(owner) - len(lists[-1][0])
    order = owner.argsort(stable=True)
    total = torch.stack([counts for _, counts in lists]).sum(0)
    return torch.cat([entries for entries, _ in lists])[order], total, partial[order]


def _first_slots(plan: BlockPlan) -> list[int]:
    """Where each coarse stream begins in the table, then the row that is nobody."""
    first = [plan.k.length]
    for stream in plan.coarse:
        first.append(first[-1] + stream.tokens)
    return first


def _tokens_in_order(axis: BlockAxis, batch: int, head: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """At each position of the body: the token of the sequence, and its number in the body; (N,) each."""
    tokens = segment_tokens(body_segments(axis), device)
    if axis.order is None:
        return tokens, torch.arange(axis.body, device=device)
    numbers = for_head(axis.order, batch, head).long()
    return tokens[numbers], numbers


def _ranges(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers from each start on, so many; flat, with the range each belongs to."""
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    before = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) + (starts - before)[owner]


def _padded(owner: Tensor, values: Tensor, rows: int, fill: int) -> Tensor:
    """(rows, most values of a row): each owner's values in order, then `fill`; owners ascend."""
    counts = torch.bincount(owner, minlength=rows)
    if rows and int(counts.min()) * rows == len(values):
        return values.view(rows, -1)
    column = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    table = values.new_full((rows, int(counts.max()) if rows else 0), fill)
    table[owner, column] = values
    return table


def _look_up(tokens: Tensor, positions: Tensor, nobody: int) -> Tensor:
    if not len(tokens):
        return positions.new_full(positions.shape, nobody)
    return tokens[positions.clamp(min=0)].masked_fill(positions < 0, nobody)
