"""A plan as what the Triton kernels of any plan walk: tiles of queries or keys, and sources of keys.

Nothing is read back from the device. Layout legend: B batch, H heads, G plan heads, L queries, K keys, M coarse
tokens, D head dim, n blocks, T tiles, P positions in an order of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import MAX_BLOCK, MIN_BLOCK, BlockAxis, Segment, body_segments, segment_tokens
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.predicates import Predicate


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens in an order: `count` in a row from `start`, or at each position (B|1, G|1, P) its place and number."""

    count: int
    start: int = 0
    place: Tensor | None = None
    number: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """Tokens cut into `blocks` blocks, equal (`block`) or beginning at `offsets` (B|1, G|1, n + 1).

    Of equal blocks, `sizes` (B|1, G|1, n), if there, says how many tokens of each are real. Of others, none has more
    than `largest`, if that is known.
    """

    tokens: Tokens
    blocks: int
    block: int = 0
    offsets: Tensor | None = None
    sizes: Tensor | None = None
    largest: int | None = None


@dataclass(frozen=True, eq=False)
class Lists:
    """Entries of rows: flat `indices`, where a row's begin and how many it has (B|1, G|1, rows).

    Each row is for `share` blocks of queries; `rows` is what the lists were made of.
    """

    rows: BlockRows
    indices: Tensor
    begin: Tensor
    count: Tensor
    share: int = 1


@dataclass(frozen=True, eq=False)
class Source:
    """Keys and values (B, H, K, D), `bias` (B, H, K), and their blocks; entries of `without` name keys left out.

    Without `lists`, every query meets every key of the source. `stream` is the number of the coarse stream it is.
    """

    keys: Tensor
    values: Tensor
    side: Side
    lists: Lists | None = None
    bias: Tensor | None = None
    lengths: Tensor | None = None
    predicate: Predicate | None = None
    without: Lists | None = None
    stream: int | None = None


def side_of(axis: BlockAxis, device: torch.device) -> Side:
    """The body of an axis and its blocks."""
    segments = body_segments(axis)
    if axis.order is None and len(segments) <= 1:
        tokens = Tokens(axis.body, segments[0].start if segments else 0)
    else:
        places = segment_tokens(segments, device)
        order = axis.order.long() if axis.order is not None else torch.arange(axis.body, device=device)[None, None]
        tokens = Tokens(axis.body, 0, places[order].int(), order.int())
    return Side(tokens, axis.blocks, axis.block or 0, axis.offsets, largest=axis.largest)


def segments_side(segments: tuple[Segment, ...], device: torch.device) -> Side:
    """Stretches of the sequence as one block."""
    count = sum(stop - start for start, stop in segments)
    if len(segments) == 1:
        return Side(Tokens(count, segments[0].start), 1)
    places = segment_tokens(segments, device).int()[None, None]
    return Side(Tokens(count, 0, places, places), 1)


def every_key(k: Tensor, v: Tensor, plan: BlockPlan) -> Source:
    """All keys, text and body: what dense queries meet."""
    return Source(k, v, Side(Tokens(plan.k.length), 1), lengths=plan.key_lengths)


def sources_of(k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...]) -> Iterator[Source]:
    """What the body's queries meet: blocks in full, blocks with a predicate, text, coarse streams."""
    side = side_of(plan.k, k.device)
    finer: Lists | None = None
    for rows, rule in ((plan.rows, None), (plan.partial, plan.predicate)):
        if rows is not None:
            finer = lists_of(rows)
            yield Source(k, v, side, finer, lengths=plan.key_lengths, predicate=rule)
    if plan.k.dense:
        yield Source(k, v, segments_side(plan.k.dense, k.device), lengths=plan.key_lengths)
    for i, stream in enumerate(coarse):
        assert stream.values is not None
        side = Side(Tokens(stream.tokens), stream.blocks, stream.block)
        lists = lists_of(stream.rows, stream.share) if stream.rows is not None else None
        without = finer if stream.selected == "exclude" else None
        yield Source(stream.keys, stream.values, side, lists, _bias(stream), without=without, stream=i)
        finer = lists


def laid_out(source: Source, groups: Sequence[int]) -> Source:
    """The same with keys and values copied into the order of their blocks, so that a block is read as one stretch.

    Blocks of known largest size become equal ones, filled up with tokens that are not real. `groups` names the plan
    head of each of the H heads. A copy reads each key once, where blocks read it many times. What a kernel looks up by
    the token's own number (rules, key lengths) leaves a source as it is.
    """
    side, lists = source.side, source.lists
    if lists is None or source.stream is not None or source.predicate is not None or source.lengths is not None:
        return source
    device, count = source.keys.device, side.tokens.count
    equal = side.offsets is not None and side.largest is not None and side.largest <= MAX_BLOCK and count > 0
    if side.tokens.place is None and not equal:
        return source
    place = side.tokens.place
    if place is None:
        place = torch.arange(side.tokens.start, side.tokens.start + count, device=device)[None, None]
    place = place.long()
    if equal:
        assert side.offsets is not None and side.largest is not None
        block = max(MIN_BLOCK, 1 << (side.largest - 1).bit_length())
        offsets = side.offsets.long()
        at = offsets[..., :-1, None] + torch.arange(block, device=device)
        at = torch.minimum(at, offsets[..., 1:, None] - 1).clamp(0, count - 1).flatten(2)
        heads = [max(a, b) for a, b in zip(at.shape[:2], place.shape[:2], strict=True)]
        place = place.expand(*heads, -1).gather(2, at.expand(*heads, -1))
        side = Side(Tokens(side.blocks * block), side.blocks, block, sizes=offsets.diff(dim=-1).int())
    else:
        side = replace(side, tokens=Tokens(count))
    keys, values = (_in_order(x, place, groups) for x in (source.keys, source.values))
    return replace(source, keys=keys, values=values, side=side)


def _in_order(x: Tensor, place: Tensor, groups: Sequence[int]) -> Tensor:
    """x (B, H, L, D) at places int64 (B|1, G|1, P) of its heads' plan heads, as (B, H, P, D)."""
    if place.shape[:2] == (1, 1):
        return x.index_select(2, place[0, 0])
    batch, heads = (torch.arange(n, device=x.device) for n in x.shape[:2])
    if place.shape[1] > 1 and list(groups) != list(range(place.shape[1])):
        place = place[:, list(groups)]
    found: Tensor = x[batch[:, None, None], heads[:, None], place]
    return found


def lists_of(rows: BlockRows, share: int = 1) -> Lists:
    """Rows of either kind as flat lists."""
    if rows.starts is not None:
        starts = rows.starts.long()
        return Lists(rows, rows.indices, starts[..., :-1].contiguous(), starts.diff(dim=-1).int(), share)
    b, g, n, width = rows.indices.shape
    begin = torch.arange(b * g * n, device=rows.indices.device).view(b, g, n) * width
    count = torch.full_like(begin, width) if rows.counts is None else rows.counts.long()
    begin, count = begin + torch.zeros_like(count), count + torch.zeros_like(begin)
    return Lists(rows, rows.indices.contiguous(), begin, count.int(), share)


def block_tiles(side: Side, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B|1, G|1, T) each: block, first position and end of tiles of variable blocks.

    A block is one tile, or several; there are as many as there could be, the last ones empty.
    """
    assert side.offsets is not None
    offsets = side.offsets.long()
    tiles = (offsets.diff(dim=-1) + tile - 1) // tile
    ends = tiles.cumsum(dim=-1)
    most = side.tokens.count // tile + side.blocks
    at = torch.arange(most, device=offsets.device).expand(*ends.shape[:2], most).contiguous()
    row = torch.searchsorted(ends, at, right=True)
    inside = row < side.blocks
    row = row.clamp(max=side.blocks - 1)
    start = offsets.gather(-1, row) + (at - (ends - tiles).gather(-1, row)) * tile
    stop = torch.minimum(start + tile, offsets.gather(-1, row + 1))
    found = (row, start, torch.where(inside, stop, start))
    return found[0].int().contiguous(), found[1].int().contiguous(), found[2].int().contiguous()


def block_of_position(side: Side) -> Tensor:
    """(B|1, G|1, P): the block that each position is in, of variable blocks."""
    assert side.offsets is not None
    position = torch.arange(side.tokens.count, device=side.offsets.device)
    position = position.expand(*side.offsets.shape[:2], -1).contiguous()
    ends = side.offsets[..., 1:].long().contiguous()
    return torch.searchsorted(ends, position, right=True).int()


def _bias(stream: CoarseStream) -> Tensor:
    b, h, m, _ = stream.keys.shape
    if isinstance(stream.log_weight, Tensor):
        return stream.log_weight.float().contiguous().expand(b, h, m)
    return stream.keys.new_full((1, 1, m), stream.log_weight, dtype=torch.float32).expand(b, h, m)
