"""A plan as launches of the Triton forward: one for each source of keys, and for the queries that are dense.

Nothing is read back from the device. Layout legend: B batch, H heads, G plan heads, L queries, K keys, M coarse
tokens, D head dim, n blocks of queries, T query tiles, P positions in an order of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chatdit.kernels.attention_output import AttentionOutput
from chatdit.kernels.block_axis import BlockAxis, body_segments, segment_tokens
from chatdit.kernels.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.block_rows import BlockRows
from chatdit.kernels.errors import KernelError
from chatdit.kernels.predicates import Disc, Documents, Predicate, Window

MOST_TILE, LEAST_TILE, KEYS_AT_ONCE = 128, 16, 64


@dataclass(frozen=True, eq=False)
class _Queries:
    """Tiles (B|1, G|1, T): row, first position, end; and at each position (B|1, G|1, P) the token and its number."""

    row: Tensor
    start: Tensor
    stop: Tensor
    token: Tensor
    number: Tensor
    tile: int


@dataclass(frozen=True, eq=False)
class _Lists:
    """Entries of rows: flat `indices`, where a row's begin and how many it has (B|1, G|1, rows)."""

    indices: Tensor
    begin: Tensor
    count: Tensor
    share: int = 1


@dataclass(frozen=True, eq=False)
class _Source:
    """Keys and values (B, H, K, D), `bias` (B, H, K), and their blocks; entries of `without` name keys left out."""

    keys: Tensor
    values: Tensor
    lists: _Lists
    offsets: Tensor
    token: Tensor
    number: Tensor
    bias: Tensor | None = None
    lengths: Tensor | None = None
    predicate: Predicate | None = None
    without: _Lists | None = None


def triton_attention(
    q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...], scale: float
) -> AttentionOutput:
    """Output and LSE of inputs that fit the plan, on the device, or on the CPU in Triton's interpreter.

    Raises:
        KernelError: a gradient is wanted, fp64 is given, coarse tokens are excluded beside partial blocks, or
            there is no device and no interpreter.
    """
    _check(q, k, v, plan, coarse)
    out = torch.zeros(q.shape, dtype=torch.float32, device=q.device)
    lse = torch.full(q.shape[:3], -math.inf, dtype=torch.float32, device=q.device)
    every = _every_key(k, v, plan)
    kinds = [plan.kind(h) for h in range(q.shape[1])]
    dense = [h for h, kind in enumerate(kinds) if kind == "dense"]
    if dense:
        tokens = torch.arange(plan.q.length, device=q.device)
        _launch(q, out, lse, _dense_queries(tokens), every, dense, [0] * len(dense), scale)
    sparse = [h for h, kind in enumerate(kinds) if isinstance(kind, int)]
    groups = [kind for kind in kinds if isinstance(kind, int)]
    if sparse and plan.q.dense:
        text = segment_tokens(plan.q.dense, q.device)
        _launch(q, out, lse, _dense_queries(text), every, sparse, [0] * len(sparse), scale)
    if sparse and plan.q.body:
        queries = _block_queries(plan.q, q.device)
        for source in _sources(k, v, plan, coarse):
            _launch(q, out, lse, queries, source, sparse, groups, scale)
    return AttentionOutput(out.to(q.dtype), lse, None)


def _check(q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...]) -> None:
    tensors = [q, k, v, *(x for s in coarse for x in (s.keys, s.values) if x is not None)]
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise KernelError("impl is 'triton', which has no backward yet, and a gradient is wanted; use 'gather'")
    if q.dtype == torch.float64:
        raise KernelError("q is torch.float64; impl 'triton' takes fp32, fp16 and bf16")
    if plan.partial is not None and any(stream.selected == "exclude" for stream in coarse):
        raise KernelError("coarse.selected is 'exclude' beside partial rows; impl 'triton' cannot, use 'gather'")
    if q.device.type == "cpu" and not _interpreted():
        raise KernelError("q is on the cpu; impl 'triton' runs there only under TRITON_INTERPRET=1, use 'gather'")


def _interpreted() -> bool:
    from triton import knobs

    return bool(knobs.runtime.interpret)


def _dense_queries(tokens: Tensor) -> _Queries:
    start = torch.arange(0, len(tokens), MOST_TILE // 2, device=tokens.device)[None, None]
    stop = (start + MOST_TILE // 2).clamp(max=len(tokens))
    return _Queries(torch.zeros_like(start), start, stop, tokens[None, None], tokens[None, None], MOST_TILE // 2)


def _block_queries(axis: BlockAxis, device: torch.device) -> _Queries:
    """A block is one tile, or several; as many tiles are launched as there could be, the last ones empty."""
    token, number = _in_order(axis, device)
    offsets = _offsets(axis, device)
    tile = 64 if axis.block is None else max(LEAST_TILE, 1 << (axis.block - 1).bit_length())
    tiles = (offsets.diff(dim=-1) + tile - 1) // tile
    ends = tiles.cumsum(dim=-1)
    most = axis.blocks if axis.block is not None else axis.body // tile + axis.blocks
    at = torch.arange(most, device=device).expand(*ends.shape[:2], most).contiguous()
    row = torch.searchsorted(ends, at, right=True)
    inside = row < axis.blocks
    row = row.clamp(max=axis.blocks - 1)
    start = offsets.gather(-1, row) + (at - (ends - tiles).gather(-1, row)) * tile
    stop = torch.minimum(start + tile, offsets.gather(-1, row + 1))
    return _Queries(row, start, torch.where(inside, stop, start), token, number, tile)


def _sources(k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...]) -> Iterator[_Source]:
    token, number = _in_order(plan.k, k.device)
    offsets = _offsets(plan.k, k.device)
    finer: _Lists | None = None
    for rows, rule in ((plan.rows, None), (plan.partial, plan.predicate)):
        if rows is not None:
            finer = _lists(rows)
            yield _Source(k, v, finer, offsets, token, number, lengths=plan.key_lengths, predicate=rule)
    if plan.k.dense:
        text = segment_tokens(plan.k.dense, k.device)[None, None]
        whole = torch.arange(2, device=k.device)[None, None] * text.shape[2]
        yield _Source(k, v, _one_block(k.device, plan.q.blocks), whole, text, text, lengths=plan.key_lengths)
    for stream in coarse:
        assert stream.values is not None
        tokens = torch.arange(stream.tokens, device=k.device)[None, None]
        block = stream.tokens if stream.rows is None else stream.block
        edges = (torch.arange(-(-stream.tokens // block) + 1, device=k.device) * block).clamp(max=stream.tokens)
        lists = _one_block(k.device, plan.q.blocks) if stream.rows is None else _lists(stream.rows, stream.share)
        without = finer if stream.selected == "exclude" else None
        bias = _bias(stream)
        yield _Source(stream.keys, stream.values, lists, edges[None, None], tokens, tokens, bias, without=without)
        finer = lists


def _every_key(k: Tensor, v: Tensor, plan: BlockPlan) -> _Source:
    tokens = torch.arange(plan.k.length, device=k.device)[None, None]
    whole = torch.arange(2, device=k.device)[None, None] * plan.k.length
    return _Source(k, v, _one_block(k.device, 1), whole, tokens, tokens, lengths=plan.key_lengths)


def _one_block(device: torch.device, rows: int) -> _Lists:
    none = torch.zeros(1, 1, rows, dtype=torch.int64, device=device)
    return _Lists(torch.zeros(1, dtype=torch.int32, device=device), none, none + 1)


def _lists(rows: BlockRows, share: int = 1) -> _Lists:
    if rows.starts is not None:
        starts = rows.starts.long()
        return _Lists(rows.indices, starts[..., :-1], starts.diff(dim=-1), share)
    b, g, n, width = rows.indices.shape
    begin = torch.arange(b * g * n, device=rows.indices.device).view(b, g, n) * width
    count = torch.full_like(begin, width) if rows.counts is None else rows.counts.long()
    return _Lists(rows.indices.contiguous(), begin + torch.zeros_like(count), count + torch.zeros_like(begin), share)


def _bias(stream: CoarseStream) -> Tensor:
    b, h, m, _ = stream.keys.shape
    if isinstance(stream.log_weight, Tensor):
        return stream.log_weight.float().contiguous().expand(b, h, m)
    return torch.full((1, 1, m), stream.log_weight, device=stream.keys.device).expand(b, h, m)


def _in_order(axis: BlockAxis, device: torch.device) -> tuple[Tensor, Tensor]:
    tokens = segment_tokens(body_segments(axis), device)
    if axis.order is None:
        return tokens[None, None], torch.arange(axis.body, device=device)[None, None]
    return tokens[axis.order.long()], axis.order.long()


def _offsets(axis: BlockAxis, device: torch.device) -> Tensor:
    if axis.offsets is not None:
        return axis.offsets.long()
    assert axis.block is not None
    return (torch.arange(axis.blocks + 1, device=device) * axis.block).clamp(max=axis.body)[None, None]


def _launch(
    q: Tensor, out: Tensor, lse: Tensor, queries: _Queries, source: _Source, heads: list[int], groups: list[int],
    scale: float,
) -> None:  # fmt: skip
    from chatdit.kernels.triton_forward import forward_source

    device = q.device
    which = [_numbers(x, device) for x in (heads, groups)]
    tiles = [x.contiguous() for x in (queries.row, queries.start, queries.stop)]
    q_places = [x.contiguous() for x in (queries.token, queries.number)]
    k_places = [x.contiguous() for x in (source.token, source.number)]
    offsets = source.offsets.contiguous()
    lists = _arguments(source.lists)
    without = _arguments(source.without if source.without is not None else source.lists)
    bias = source.bias if source.bias is not None else lse
    lengths = source.lengths.expand(q.shape[0]).contiguous() if source.lengths is not None else which[0]
    rule, documents, numbers = _rule(source.predicate, which[0])
    launch: Any = forward_source[(tiles[0].shape[2], len(heads), q.shape[0])]
    launch(
        q, source.keys, source.values, bias, out, lse, *which,
        *tiles, *_shared(tiles[0]), *q_places, *_shared(q_places[0]), *k_places, *_shared(k_places[0]),
        offsets, *_shared(offsets), *lists, *without, lengths, *documents,
        *q.stride(), *source.keys.stride(), *source.values.stride(), bias.stride(0), bias.stride(1),
        *out.stride()[:3], *lse.stride()[:2], scale, *numbers,
        D=q.shape[3], TILE=queries.tile, KEYS=KEYS_AT_ONCE, RULE=rule, HAS_BIAS=source.bias is not None,
        HAS_LENGTHS=source.lengths is not None, EXCLUDE=source.without is not None,
        UPCAST=device.type == "cpu" and q.dtype == torch.bfloat16,
    )  # fmt: skip


def _numbers(x: list[int], device: torch.device) -> Tensor:
    """(len(x),) int32 on the device; made there where it is regular, for a copy from the host cannot be captured."""
    if x == list(range(len(x))):
        return torch.arange(len(x), dtype=torch.int32, device=device)
    if not any(x):
        return torch.zeros(len(x), dtype=torch.int32, device=device)
    return torch.tensor(x, dtype=torch.int32, device=device)


def _shared(x: Tensor) -> tuple[int, int]:
    """Strides of the batch and plan-head axes, 0 where one entry serves all."""
    return (x.stride(0) if x.shape[0] > 1 else 0, x.stride(1) if x.shape[1] > 1 else 0)


def _arguments(lists: _Lists) -> tuple[Tensor | int, ...]:
    begin, count = lists.begin.contiguous(), lists.count.contiguous()
    return (lists.indices, begin, count, *_shared(begin), lists.share)


def _rule(
    predicate: Predicate | None, nothing: Tensor
) -> tuple[int, tuple[Tensor | int, ...], tuple[float | int, ...]]:
    """The rule's number, document arguments, and height, width, radius and reach."""
    from chatdit.kernels.triton_forward import DISC, DOCUMENTS, EVERY, WINDOW

    none = (nothing, nothing, 0, 0)
    match predicate:
        case Disc(height, width, radius):
            return DISC, none, (height, width, float(radius), 0, 0, 0)
        case Window(_, height, width, reach):
            return WINDOW, none, (height, width, 0.0, *reach)
        case Documents(q, k):
            q, k = q.contiguous(), k.contiguous()
            strides = tuple(x.stride(0) if x.shape[0] > 1 else 0 for x in (q, k))
            return DOCUMENTS, (q, k, *strides), (1, 1, 0.0, 0, 0, 0)
        case _:
            return EVERY, none, (1, 1, 0.0, 0, 0, 0)
