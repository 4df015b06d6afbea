"""Sparse attention in plain PyTorch that gathers the keys each query block meets: the way on a CPU.

Work is done head by head and a few query blocks at a time; what is kept for the gradient is the output and
the log-sum-exp, so that memory grows with the tokens and not with the pairs.

Layout legend: B batch, H heads, L queries, K keys, D head dim; R rows of a chunk, Q queries of a row,
S slots it gathers, T slots shared by all rows (gather_chunks.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from chatdit.kernels.gather_chunks import Chunk, dense_chunks, head_chunks
from chatdit.kernels.plan.block_axis import Segment, for_head
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.output import AttentionOutput


def gather_attention(
    q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...], scale: float, *, mass: bool
) -> AttentionOutput:
    """Output, LSE and, if asked for, block mass of inputs that fit the plan; differentiable once.

    Half types are computed in fp32. `coarse` are the plan's streams with their values; gradients reach q, k,
    v, the coarse keys and the coarse values.
    """
    streams = [x for stream in coarse for x in (stream.keys, stream.values)]
    out, lse, block_mass = _Gather.apply(plan, scale, mass, q, k, v, *streams)  # type: ignore[no-untyped-call]
    return AttentionOutput(out, lse, block_mass if mass else None)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: BlockPlan, scale: float, mass: bool, q: Tensor, k: Tensor, v: Tensor, *streams: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = torch.promote_types(q.dtype, torch.float32)
        batch, heads, length, width = q.shape
        out = q.new_zeros(batch, heads, length + 1, width)  # one more: the query that is nobody
        lse = q.new_full((batch, heads, length + 1), -math.inf, dtype=wide)
        masses = q.new_zeros((batch, heads, plan.q.blocks, plan.k.blocks) if mass else (0,), dtype=wide)
        for members, chunks in _work(plan, batch, heads, q.device, with_blocks=mass):
            tables = [_table(plan, k, v, streams, b, h, scale) for b, h in members]
            for chunk in chunks:
                for (b, h), table in zip(members, tables, strict=True):
                    rows = _rows(q[b, h], chunk.queries)
                    if not mass and _plain(table, chunk):
                        found, lse[b, h, chunk.queries] = _fused(rows, table, chunk)
                    else:
                        shares, lse[b, h, chunk.queries] = _softmax(_logits(rows, table, chunk))
                        found = _weighted(shares, table.values, chunk)
                        if mass and chunk.rows is not None:
                            masses[b, h, chunk.rows] = _block_mass(shares, chunk, plan)
                    out[b, h, chunk.queries] = found.to(q.dtype)
        out, lse = out[:, :, :length].contiguous(), lse[:, :, :length].contiguous()
        ctx.save_for_backward(q, k, v, out, lse, *streams)
        ctx.plan, ctx.scale = plan, scale
        ctx.mark_non_differentiable(masses)
        return out, lse, masses

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        d_out, d_lse, _ = grad_outputs
        q, k, v, out, lse, *streams = ctx.saved_tensors
        plan: BlockPlan = ctx.plan
        wide = lse.dtype
        delta = (d_out.to(wide) * out.to(wide)).sum(-1) - d_lse
        lse = lse.masked_fill(lse == -math.inf, 0.0)
        d_q = torch.zeros(*q.shape[:2], q.shape[2] + 1, q.shape[3], dtype=wide, device=q.device)
        d_sides = [[torch.zeros_like(x, dtype=wide) for x in side] for side in _sides(k, v, streams)]
        for members, chunks in _work(plan, q.shape[0], q.shape[1], q.device):
            tables = [_table(plan, k, v, tuple(streams), b, h, ctx.scale) for b, h in members]
            grads = [(torch.zeros_like(table.keys), torch.zeros_like(table.values)) for table in tables]
            for chunk in chunks:
                for (b, h), table, (d_keys, d_values) in zip(members, tables, grads, strict=True):
                    rows = _rows(q[b, h], chunk.queries)
                    shares = (_logits(rows, table, chunk) - _entries(lse[b, h], chunk.queries)).exp_()
                    d_rows = _rows(d_out[b, h], chunk.queries)
                    d_logits = _products(d_rows, table.values, chunk) - _entries(delta[b, h], chunk.queries)
                    d_logits *= shares
                    d_q[b, h, chunk.queries] = _weighted(d_logits, table.keys, chunk)
                    _add_transposed(d_keys, d_logits, rows, chunk)
                    _add_transposed(d_values, shares, d_rows, chunk)
            for (b, h), (d_keys, d_values) in zip(members, grads, strict=True):
                _split(d_keys * ctx.scale, d_sides[0], b, h)
                _split(d_values, d_sides[1], b, h)
        d_keys_all, d_values_all = ([x.to(q.dtype) for x in side] for side in d_sides)
        pairs = [x for pair in zip(d_keys_all, d_values_all, strict=True) for x in pair]
        return None, None, None, d_q[:, :, :-1].to(q.dtype), *pairs


@dataclass(frozen=True, eq=False)
class _Table:
    """What slots point to: keys, already scaled, and values (slots, D); what their logits get added (slots,)."""

    keys: Tensor
    values: Tensor
    bias: Tensor
    weighs: bool  # whether any bias but nobody's is not zero
    largest: float  # magnitude of a value


def _sides(k: Tensor, v: Tensor, streams: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    return [k, *streams[::2]], [v, *streams[1::2]]


def _work(
    plan: BlockPlan, batch: int, heads: int, device: torch.device, *, with_blocks: bool = False
) -> Iterator[tuple[list[tuple[int, int]], Iterator[Chunk]]]:
    """Heads of the model that do the same, as (b, h), and the chunks of what they do."""
    everyone = range(batch)
    dense = [(b, h) for b in everyone for h in range(heads) if plan.kind(h) == "dense"]
    if dense:
        yield dense, dense_chunks(plan, (Segment(0, plan.q.length),), device)
    for row_batch in range(plan.row_batch):
        for group in range(plan.plan_heads):
            entries = everyone if plan.row_batch == 1 else (row_batch,)
            members = [(b, h) for b in entries for h in range(heads) if plan.kind(h) == group]
            if members:
                yield members, head_chunks(plan, row_batch, group, device, with_blocks=with_blocks)


def _table(
    plan: BlockPlan, k: Tensor, v: Tensor, streams: Sequence[Tensor], batch: int, head: int, scale: float
) -> _Table:
    wide = torch.promote_types(k.dtype, torch.float32)
    length = plan.k.length if plan.key_lengths is None else int(plan.key_lengths.expand(k.shape[0])[batch])
    sides = []
    for first, *rest in _sides(k, v, streams):
        parts = [first[batch, head, :length], first.new_zeros(first.shape[2] - length, first.shape[3])]
        parts += [x[batch, head] for x in rest]
        sides.append(torch.cat([x.to(wide) for x in [*parts, first.new_zeros(1, first.shape[3])]]))
    bias = [sides[0].new_zeros(length), sides[0].new_full((plan.k.length - length,), -math.inf)]
    for stream in plan.coarse:
        weight = stream.log_weight
        if isinstance(weight, Tensor):
            bias.append(for_head(weight, batch, head).to(wide))
        else:
            bias.append(bias[0].new_full((stream.tokens,), weight))
    bias.append(bias[0].new_full((1,), -math.inf))
    weighs = bool(plan.coarse) or length < plan.k.length
    return _Table(sides[0] * scale, sides[1], torch.cat(bias), weighs, float(sides[1].abs().max()))


def _rows(x: Tensor, queries: Tensor) -> Tensor:
    """(R, Q, D) in fp32 or wider: the rows of x (L, D) that belong to the queries; zeros for nobody."""
    found = x[queries.clamp(max=x.shape[0] - 1)].to(torch.promote_types(x.dtype, torch.float32))
    return found.masked_fill_((queries == x.shape[0])[..., None], 0.0)


def _entries(x: Tensor, queries: Tensor) -> Tensor:
    """(R, Q, 1): the entries of x (L,) that belong to the queries; anything for nobody."""
    return x[queries.clamp(max=x.shape[0] - 1)][..., None]


def _products(rows: Tensor, table: Tensor, chunk: Chunk) -> Tensor:
    """(R, Q, S + T): inner products of rows (R, Q, D) with what the chunk's slots point to."""
    r, q, d = rows.shape
    parts = [torch.bmm(rows, _pointed_to(table, chunk.slots).mT)] if chunk.slots.shape[1] else []
    parts += [(rows.view(r * q, d) @ table[chunk.shared].mT).view(r, q, -1)] if len(chunk.shared) else []
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2) if parts else rows.new_zeros(r, q, 0)


def _pointed_to(table: Tensor, slots: Tensor) -> Tensor:
    """(R, S, D); index_select copies rows several times faster than table[slots]."""
    return table.index_select(0, slots.flatten()).view(*slots.shape, table.shape[1])


def _logits(rows: Tensor, table: _Table, chunk: Chunk) -> Tensor:
    logits = _products(rows, table.keys, chunk)
    own = chunk.slots.shape[1]
    if table.weighs or chunk.gaps:
        logits[..., :own] += table.bias[chunk.slots][:, None]
        logits[..., own:] += table.bias[chunk.shared]
    if chunk.pairs is not None:
        logits[..., :own].masked_fill_(~chunk.pairs, -math.inf)
    if chunk.hidden is not None:
        logits[..., own:].masked_fill_(chunk.hidden[:, None], -math.inf)
    return logits


def _plain(table: _Table, chunk: Chunk) -> bool:
    """Whether each row simply meets all of its own slots and all shared ones, on a CPU, and their sum is finite."""
    slots = chunk.slots.shape[1]
    if not slots or table.keys.device.type != "cpu":
        return False
    # flash attention sums before it divides
    if table.largest * (slots + len(chunk.shared)) > torch.finfo(table.values.dtype).max:
        return False
    weighted = table.weighs or chunk.gaps or chunk.pairs is not None or chunk.hidden is not None
    return not weighted


def _fused(rows: Tensor, table: _Table, chunk: Chunk) -> tuple[Tensor, Tensor]:
    """Output (R, Q, D) and LSE (R, Q) of a plain chunk, by torch's flash attention for CPUs, a row being a batch."""
    slots = chunk.slots
    if len(chunk.shared):
        slots = torch.cat([slots, chunk.shared.expand(len(rows), -1)], dim=1)
    keys, values = (_pointed_to(x, slots)[:, None] for x in (table.keys, table.values))
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(rows[:, None], keys, values, scale=1.0)
    return out[:, 0], lse[:, 0]


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax in place, zeros where every logit is -inf, and the log of its denominator."""
    if not logits.shape[-1]:
        return logits, logits.new_full(logits.shape[:-1], -math.inf)
    top = logits.amax(dim=-1, keepdim=True)
    top = top.masked_fill(top == -math.inf, 0.0)
    shares = logits.sub_(top).exp_()
    total = shares.sum(dim=-1, keepdim=True)
    shares *= (total + (total == 0)).reciprocal_()
    return shares, (total.log() + top)[..., 0]


def _weighted(shares: Tensor, table: Tensor, chunk: Chunk) -> Tensor:
    """(R, Q, D): sums of what the slots point to, weighted by shares (R, Q, S + T)."""
    own = chunk.slots.shape[1]
    r, q, _ = shares.shape
    total = shares.new_zeros(r, q, table.shape[1])
    if own:
        total = torch.bmm(shares[..., :own], _pointed_to(table, chunk.slots))
    if len(chunk.shared):
        total += (shares[..., own:].reshape(r * q, -1) @ table[chunk.shared]).view(r, q, -1)
    return total


def _add_transposed(table: Tensor, shares: Tensor, rows: Tensor, chunk: Chunk) -> None:
    """Add to each slot the rows (R, Q, D) that weighed it, times their shares."""
    own = chunk.slots.shape[1]
    if own:
        table.index_add_(0, chunk.slots.flatten(), torch.bmm(shares[..., :own].mT, rows).flatten(0, 1))
    if len(chunk.shared):
        table.index_add_(0, chunk.shared, shares[..., own:].flatten(0, 1).mT @ rows.flatten(0, 1))


def _block_mass(shares: Tensor, chunk: Chunk, plan: BlockPlan) -> Tensor:
    """(R, m): the share of each row's attention that falls on each key block."""
    assert chunk.blocks is not None
    real = (chunk.queries < plan.q.length)[..., None]
    own = (shares[..., : chunk.slots.shape[1]] * real).sum(dim=1) / real.sum(dim=1)
    return own.new_zeros(own.shape[0], plan.k.blocks + 1).scatter_add_(1, chunk.blocks, own)[:, :-1]


def _split(grad: Tensor, targets: list[Tensor], batch: int, head: int) -> None:
    """Hand the rows of a table's gradient back to the tensors the table was made of."""
    for part, target in zip(torch.split(grad[:-1], [x.shape[2] for x in targets]), targets, strict=True):
        target[batch, head] = part
