"""Any plan on Triton kernels: launches for each source of keys, and for queries that are dense; with gradients.

Nothing is read back from the device. Layout legend: B batch, H heads, L queries, K keys, D head dim, T tiles,
S splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from chatdit.kernels.blocks.arguments import (
    flags,
    key_arguments,
    numbers,
    query_arguments,
    rule_arguments,
    size_arguments,
    source_arguments,
    tile_arguments,
)  # fmt: skip
from chatdit.kernels.blocks.reverse_index import reverse_index
from chatdit.kernels.blocks.sources import (
    Side,
    Source,
    Tokens,
    block_of_position,
    every_key,
    laid_out,
    segments_side,
    side_of,
    sources_of,
)  # fmt: skip
from chatdit.kernels.blocks.tuning import MOST_SPLITS, WANTED_PROGRAMS, BlockLaunch, block_launch, grad_launch
from chatdit.kernels.errors import KernelError
from chatdit.kernels.llsa.attention import table_attention
from chatdit.kernels.llsa.call import tables_of
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.output import AttentionOutput
from chatdit.kernels.plan.pooling import with_values
from chatdit.kernels.triton_device import require_triton, rows_dense, upcast


def triton_attention(q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, scale: float) -> AttentionOutput:
    """Output and LSE of inputs that fit the plan, on the device, or on the CPU in Triton's interpreter.

    Differentiable once. A hierarchy's plan goes to its own kernels (llsa/attention.py).

    Raises:
        KernelError: fp64 is given, coarse tokens are excluded beside partial blocks, or there is no device and no
            interpreter.
    """
    if excludes_beside_partial(plan):
        raise KernelError("coarse.selected is 'exclude' beside partial rows; impl 'triton' cannot, use 'gather'")
    require_triton(q)
    ready = tables_of(q, v, plan)
    if ready is None:
        coarse = with_values(plan, v)
        return AttentionOutput(*_general(q, k, v, plan, coarse, scale, body=True), None)
    out, lse = table_attention(q, k, v, *ready, scale)
    if plan.q.dense:
        text, text_lse = _general(q, k, v, plan, (), scale, body=False)
        out, lse = out + text, torch.where(lse == -torch.inf, text_lse, lse)
    return AttentionOutput(out, lse, None)


def excludes_beside_partial(plan: BlockPlan) -> bool:
    """Whether coarse tokens are left out beside partial blocks, which these kernels cannot do."""
    return plan.partial is not None and any(stream.selected == "exclude" for stream in plan.coarse)


def _general(
    q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...], scale: float, *, body: bool
) -> tuple[Tensor, Tensor]:
    if scale < 0:
        q, scale = -q, -scale
    streams = [x for stream in coarse for x in (stream.keys, stream.values) if x is not None]
    call = _Call(plan, coarse, scale, body)
    found: tuple[Tensor, Tensor] = _Blocks.apply(call, *(rows_dense(x) for x in (q, k, v, *streams)))  # type: ignore[no-untyped-call]
    return found


@dataclass(frozen=True, eq=False)
class _Call:
    plan: BlockPlan
    coarse: tuple[CoarseStream, ...]
    scale: float
    body: bool  # whether the queries of the body are meant, or those of text and dense heads alone

    def work(self, q: Tensor, k: Tensor, v: Tensor) -> Iterator[tuple[Side, list[Source], list[int], list[int]]]:
        """Queries, what they meet, the model's heads that do so, and their plan heads."""
        plan = self.plan
        kinds = [plan.kind(h) for h in range(q.shape[1])]
        dense = [h for h, kind in enumerate(kinds) if kind == "dense"]
        sparse = [h for h, kind in enumerate(kinds) if isinstance(kind, int)]
        if dense:
            yield Side(Tokens(plan.q.length), 1), [every_key(k, v, plan)], dense, [0] * len(dense)
        if sparse and plan.q.dense:
            yield segments_side(plan.q.dense, q.device), [every_key(k, v, plan)], sparse, [0] * len(sparse)
        if sparse and plan.q.body and self.body:
            groups = [kind for kind in kinds if isinstance(kind, int)]
            yield side_of(plan.q, q.device), list(sources_of(k, v, plan, self.coarse)), sparse, groups

    def everywhere(self) -> bool:
        """Whether every query of every head is written."""
        return self.body and (self.plan.heads is None or "skip" not in self.plan.heads)


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, q: Tensor, k: Tensor, v: Tensor, *streams: Tensor) -> tuple[Tensor, Tensor]:
        out = (torch.empty if call.everywhere() else torch.zeros)(q.shape, dtype=q.dtype, device=q.device)
        lse = q.new_empty(q.shape[:3], dtype=torch.float32)
        if not call.everywhere():
            lse.fill_(-torch.inf)
        total: Tensor | None = None
        for side, sources, heads, groups in call.work(q, k, v):
            if len(sources) > 1 and total is None:
                total = q.new_empty(q.shape, dtype=torch.float32)
            group_of = dict(zip(heads, groups, strict=True))
            every = [group_of.get(h, 0) for h in range(q.shape[1])]
            for i, source in enumerate(laid_out(source, every) for source in sources):
                ends = (i == 0, i == len(sources) - 1)
                _forward(q, total if total is not None else lse, out, lse, side, source, heads, groups, call, ends)
        ctx.save_for_backward(q, k, v, out, lse, *streams)
        ctx.call = call
        return out, lse

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse, *streams = ctx.saved_tensors
        call: _Call = ctx.call
        d_out, d_lse = rows_dense(grad_outputs[0]), grad_outputs[1]
        delta = (d_out.float() * out.float()).sum(-1) - d_lse
        d_q = torch.zeros(q.shape, dtype=torch.float32, device=q.device)
        tensors = (k, v, *streams)
        grads = [torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in tensors]
        for side, sources, heads, groups in call.work(q, k, v):
            for source in sources:
                _grad_queries(q, d_out, lse, delta, d_q, side, source, heads, groups, call)
                at = 0 if source.stream is None else 2 + 2 * source.stream
                _grad_keys(q, d_out, lse, delta, (grads[at], grads[at + 1]), side, source, heads, groups, call)
        found = [grad.to(x.dtype) for grad, x in zip(grads, tensors, strict=True)]
        return None, d_q.to(q.dtype), *found


def _forward(
    q: Tensor, total: Tensor, out: Tensor, lse: Tensor, side: Side, source: Source, heads: list[int],
    groups: list[int], call: _Call, ends: tuple[bool, bool],
) -> None:  # fmt: skip
    from chatdit.kernels.blocks.forward import forward_source

    sizes = block_launch(side, source, q.shape[3])
    q_block = side.block or (0 if side.offsets is not None else sizes.tile)
    tiles, most = tile_arguments(side, sizes.tile, q_block, lse)
    which = numbers(heads, q.device), numbers(groups, q.device)
    keys = sizes.keys
    block = keys if source.lists is None else source.side.block
    even = block > 0 and block % keys == 0 and source.side.tokens.count % block == 0
    sized = source.side.sizes is not None
    even = even and not sized and source.predicate is None and source.lengths is None and source.without is None
    rule, documents, dials = rule_arguments(source.predicate, lse)
    launch: Any = forward_source[(most, len(heads), q.shape[0])]
    launch(
        q, source.keys, source.values, source.bias if source.bias is not None else lse, total, out, lse, *which,
        *tiles, *query_arguments(side, lse), *key_arguments(source, lse), *size_arguments(source, lse),
        *source_arguments(source, lse), *documents, *q.stride()[:3], *source.keys.stride()[:3],
        *source.values.stride()[:3],
        *(source.bias.stride()[:2] if source.bias is not None else (0, 0)), *out.stride()[:3], *lse.stride()[:2],
        call.scale * 1.4426950408889634, side.tokens.start, side.tokens.count, source.side.tokens.start,
        source.side.tokens.count, *dials,
        D=q.shape[3], TILE=sizes.tile, KEYS=keys, Q_BLOCK=q_block, BLOCK=block, EVEN=even, SIZED=sized,
        FIRST=ends[0], LAST=ends[1], RULE=rule, **flags(side, source), UPCAST=upcast(q), STAGES=sizes.stages,
        num_warps=sizes.warps,
    )  # fmt: skip


def _grad_queries(
    q: Tensor, d_out: Tensor, lse: Tensor, delta: Tensor, d_q: Tensor, side: Side, source: Source, heads: list[int],
    groups: list[int], call: _Call,
) -> None:  # fmt: skip
    from chatdit.kernels.blocks.backward import grad_queries

    sizes = grad_launch(q.shape[3])
    q_block = side.block or (0 if side.offsets is not None else sizes.tile)
    tiles, most = tile_arguments(side, sizes.tile, q_block, lse)
    rule, documents, dials = rule_arguments(source.predicate, lse)
    launch: Any = grad_queries[(most, len(heads), q.shape[0])]
    launch(
        q, source.keys, source.values, source.bias if source.bias is not None else lse, lse, d_out, delta, d_q,
        numbers(heads, q.device), numbers(groups, q.device), *tiles, *query_arguments(side, lse),
        *key_arguments(source, lse), *source_arguments(source, lse), *documents, *q.stride()[:3],
        *source.keys.stride()[:3], *source.values.stride()[:3],
        *(source.bias.stride()[:2] if source.bias is not None else (0, 0)), *d_out.stride()[:3], *lse.stride()[:2],
        call.scale, side.tokens.start, side.tokens.count, source.side.tokens.start, source.side.tokens.count, *dials,
        D=q.shape[3], TILE=sizes.tile, KEYS=sizes.keys, Q_BLOCK=q_block,
        BLOCK=sizes.keys if source.lists is None else source.side.block, RULE=rule, **flags(side, source),
        UPCAST=upcast(q), STAGES=sizes.stages, num_warps=sizes.warps,
    )  # fmt: skip


def _grad_keys(
    q: Tensor, d_out: Tensor, lse: Tensor, delta: Tensor, grads: tuple[Tensor, Tensor], side: Side, source: Source,
    heads: list[int], groups: list[int], call: _Call,
) -> None:  # fmt: skip
    from chatdit.kernels.blocks.backward import grad_keys

    sizes = grad_launch(q.shape[3])
    batch, every = q.shape[0], source.lists is None
    keys = source.side if not every else Side(source.side.tokens, 1, sizes.tile)
    tiles, most = tile_arguments(keys, sizes.tile, keys.block, lse)
    splits = _splits(most * len(heads) * batch, side.tokens.count, sizes) if every else 1
    outs: tuple[Tensor, Tensor] = grads
    if every:
        shape = (splits, batch, q.shape[1], source.side.tokens.count, q.shape[3])
        outs = q.new_zeros(shape, dtype=torch.float32), q.new_zeros(shape, dtype=torch.float32)
    rule, documents, dials = rule_arguments(source.predicate, lse)
    launch: Any = grad_keys[(most, len(heads), batch * splits)]
    launch(
        q, source.keys, source.values, source.bias if source.bias is not None else lse, lse, d_out, delta, *outs,
        numbers(heads, q.device), numbers(groups, q.device), *tiles, *query_arguments(side, lse),
        *key_arguments(source, lse)[:4], *_offsets_of_queries(side, source, lse), *_reversed(source, lse),
        *source_arguments(source, lse)[6:], *documents, *q.stride()[:3], *source.keys.stride()[:3],
        *source.values.stride()[:3], *(source.bias.stride()[:2] if source.bias is not None else (0, 0)),
        *d_out.stride()[:3], *lse.stride()[:2], outs[0].stride(0), *outs[0].stride()[-4:-2], call.scale,
        side.tokens.start, side.tokens.count, side.blocks, source.side.tokens.start, source.side.tokens.count, splits,
        *dials,
        D=q.shape[3], TILE=sizes.tile, QUERIES=sizes.keys, Q_BLOCK=side.block, BLOCK=keys.block, RULE=rule,
        **flags(side, source), UPCAST=upcast(q), STAGES=sizes.stages, num_warps=sizes.warps,
    )  # fmt: skip
    if every:
        _add(outs, grads, source.side.tokens)


def _splits(programs: int, queries: int, sizes: BlockLaunch) -> int:
    return max(1, min(-(-WANTED_PROGRAMS // programs), MOST_SPLITS, -(-queries // sizes.keys)))


def _add(parts: tuple[Tensor, Tensor], grads: tuple[Tensor, Tensor], tokens: Tokens) -> None:
    for part, grad in zip(parts, grads, strict=True):
        if tokens.place is None:
            grad[:, :, tokens.start : tokens.start + tokens.count] += part.sum(0)
        else:
            grad[:, :, tokens.place[0, 0].long()] += part.sum(0)


def _offsets_of_queries(side: Side, source: Source, absent: Tensor) -> tuple[Tensor | int, ...]:
    """Where variable blocks of queries begin, and, where summaries are left out, the block of each position."""
    if side.offsets is None:
        return (absent, 0, 0, absent, 0, 0)
    offsets = side.offsets.contiguous()
    of = block_of_position(side) if source.without is not None else absent[None]
    strides = [(x.stride(0) if x.shape[0] > 1 else 0, x.stride(1) if x.shape[1] > 1 else 0) for x in (offsets, of)]
    return (offsets, *strides[0], of, *strides[1])


def _reversed(source: Source, absent: Tensor) -> tuple[Tensor | int, ...]:
    if source.lists is None:
        return (absent, absent, 0, 0, 1)
    found = reverse_index(source.lists.rows, source.side.blocks)
    strides = [found.starts.stride(i) if found.starts.shape[i] > 1 else 0 for i in (0, 1)]
    return (found.rows, found.starts, *strides, source.lists.share)
