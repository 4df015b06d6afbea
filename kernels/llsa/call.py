"""LLSA in one call: pooled, picked and attended to on Triton kernels; and plans that can go the same way.

Layout legend: B batch, H heads, L queries, K keys, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.llsa.attention import Walk, table_attention
from chatdit.kernels.llsa.hierarchy import Hierarchy, check_hierarchy
from chatdit.kernels.llsa.tables import BLOCK, Body, Picks, Tables, body_of, level_rows, pick_tables, pool_tables
from chatdit.kernels.llsa.tuning import Tuning
from chatdit.kernels.plan.block_axis import BlockAxis, segment_tokens
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.output import AttentionOutput
from chatdit.kernels.plan.pooling import with_values
from chatdit.kernels.triton_device import require_triton

Ready = tuple[Tables, Picks, Walk]


def llsa_attention(
    q: Tensor, k: Tensor, v: Tensor, hierarchy: Hierarchy, *, q_axis: BlockAxis | None = None,
    k_axis: BlockAxis | None = None, key_lengths: Tensor | None = None, scale: float | None = None,
    tuning: Tuning | None = None,
) -> AttentionOutput:  # fmt: skip
    """Output and LSE of what `llsa_plan` plans, with one pass of pooling over q, k and v; differentiable once.

    Without axes, the tokens are taken as they stand. The queries must all be of the body: text goes through a plan.

    Raises:
        KernelError: the axes do not fit the hierarchy, its blocks are not of 16, or q has dense segments.
    """
    require_triton(q)
    q_axis = q_axis if q_axis is not None else BlockAxis(q.shape[2], hierarchy.block)
    k_axis = k_axis if k_axis is not None else BlockAxis(k.shape[2], hierarchy.block)
    check_hierarchy(hierarchy, q_axis, k_axis)
    bodies = _bodies(q_axis, k_axis, q.device)
    if bodies is None or hierarchy.block != BLOCK or q_axis.dense:
        raise KernelError(
            "llsa_attention takes blocks of 16, one order for all heads, and no dense queries; use a plan"
        )
    levels = hierarchy.depth(k_axis.body)
    tables = pool_tables(q.detach(), k, v, bodies, levels, key_lengths)
    with torch.no_grad():
        picks = pick_tables(tables, bodies, levels, hierarchy.k, padded=key_lengths is not None)
    text = segment_tokens(k_axis.dense, q.device).int() if k_axis.dense else None
    walk = Walk(bodies, levels, hierarchy.k, hierarchy.selected == "exclude", text, key_lengths)
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else scale
    return AttentionOutput(*table_attention(q, k, v, tables, picks, walk, scale, tuning), None)


def pooled_plan(
    q: Tensor, k: Tensor, hierarchy: Hierarchy, q_axis: BlockAxis, k_axis: BlockAxis, key_lengths: Tensor | None
) -> BlockPlan | None:
    """The plan of `llsa_plan` with pooling and picking on Triton kernels, or None where they cannot."""
    bodies = _bodies(q_axis, k_axis, q.device)
    if bodies is None or hierarchy.block != BLOCK:
        return None
    levels = hierarchy.depth(k_axis.body)
    tables = pool_tables(q.detach(), k, None, bodies, levels, key_lengths)
    with torch.no_grad():
        picks = pick_tables(tables, bodies, levels, hierarchy.k, padded=key_lengths is not None)
    q_rows, k_rows = (level_rows(body.length, levels) for body in bodies)
    keys = torch.split(tables.keys, [at.stop - at.start for at in k_rows], dim=2)
    rows = []
    for q_at, k_at in zip(q_rows, k_rows, strict=True):
        width = min(hierarchy.k, k_at.stop - k_at.start)
        counts = picks.counts[:, :, q_at.start : q_at.stop] if picks.counts is not None else None
        rows.append(BlockRows(picks.indices[:, :, q_at.start : q_at.stop, :width], counts))
    streams = []
    for level, at in enumerate(k_rows, start=1):
        top = level == levels
        weight = tables.weights[:, None, at.start : at.stop]
        streams.append(
            CoarseStream(
                keys[level - 1], log_weight=weight, rows=None if top else rows[level], block=1 if top else BLOCK,
                share=1 if top else BLOCK**level, span=BLOCK**level, selected=hierarchy.selected,
            )
        )  # fmt: skip
    return BlockPlan(q_axis, k_axis, rows[0], coarse=tuple(streams), key_lengths=key_lengths, trusted=True)


def tables_of(q: Tensor, v: Tensor, plan: BlockPlan) -> Ready | None:
    """A plan's tables, if it is a hierarchy's: levels of 16, the top one met whole, each level's picks below it.

    Values that the plan's streams lack are pooled from v (B, H, K, D); differentiable.
    """
    bodies = _bodies(plan.q, plan.k, q.device)
    if bodies is None or not _is_hierarchy(plan, bodies, q.shape[1]):
        return None
    whole = [x for x in (plan.rows, *(stream.rows for stream in plan.coarse)) if x is not None]
    padded = whole[0].counts is not None
    if any((x.counts is not None) != padded for x in whole):
        return None
    kept = max(x.indices.shape[3] for x in whole)
    batch, heads, levels = q.shape[0], q.shape[1], len(plan.coarse)
    indices = [F.pad(x.indices.expand(batch, heads, -1, -1), (0, kept - x.indices.shape[3])) for x in whole]
    counts = [x.counts.int().expand(batch, heads, -1) for x in whole if x.counts is not None]
    keys = torch.cat([stream.keys for stream in plan.coarse], 2)
    weights = torch.cat([_weights(stream, batch) for stream in plan.coarse], 1)
    if all(stream.values is None and stream.span == BLOCK**i for i, stream in enumerate(plan.coarse, start=1)):
        values = pool_tables(None, None, v, bodies, levels, plan.key_lengths).values
    else:
        values = torch.cat([stream.values for stream in with_values(plan, v) if stream.values is not None], 2)
    text = segment_tokens(plan.k.dense, q.device).int() if plan.k.dense else None
    walk = Walk(bodies, levels, kept, plan.coarse[0].selected == "exclude", text, plan.key_lengths)
    return (
        Tables(q, keys, values, weights),
        Picks(torch.cat(indices, 2), torch.cat(counts, 2) if padded else None),
        walk,
    )


def _weights(stream: CoarseStream, batch: int) -> Tensor:
    if isinstance(stream.log_weight, Tensor):
        return stream.log_weight[:, 0].float().expand(batch, -1)
    return stream.keys.new_full((batch, stream.tokens), stream.log_weight, dtype=torch.float32)


def _bodies(q_axis: BlockAxis, k_axis: BlockAxis, device: torch.device) -> tuple[Body, Body] | None:
    if q_axis.offsets is not None or k_axis.offsets is not None or not (q_axis.body and k_axis.body):
        return None
    queries = body_of(q_axis, device)
    keys = queries if k_axis is q_axis else body_of(k_axis, device)
    return (queries, keys) if queries is not None and keys is not None else None


def _is_hierarchy(plan: BlockPlan, bodies: tuple[Body, Body], heads: int) -> bool:
    if not plan.coarse or plan.partial is not None or plan.rows is None or plan.rows.width is None:
        return False
    if (plan.q.block, plan.k.block) != (BLOCK, BLOCK) or any(
        plan.kind(h) != (h if plan.plan_heads > 1 else 0) for h in range(heads)
    ):
        return False
    levels = level_rows(bodies[1].length, len(plan.coarse))
    kept = plan.rows.width
    for level, (stream, at) in enumerate(zip(plan.coarse, levels, strict=True), start=1):
        if stream.tokens != at.stop - at.start or stream.selected != plan.coarse[0].selected:
            return False
        if isinstance(stream.log_weight, Tensor) and stream.log_weight.shape[1] > 1:
            return False
        if (stream.rows is None) != (level == len(plan.coarse)):
            return False
        if stream.rows is not None and not _fits(stream, stream.rows, level, kept):
            return False
    return True


def _fits(stream: CoarseStream, rows: BlockRows, level: int, kept: int) -> bool:
    """Whether rows of a lower level have the width that the kernels take from the number of blocks."""
    return (stream.block, stream.share) == (BLOCK, BLOCK**level) and rows.width == min(kept, stream.blocks)
