"""How much of dense attention a plan computes, without reading anything back from the device.

Layout legend: B batch, H heads of the model, G plan heads, n query blocks, m key blocks; axes of size 1 are shared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows


def plan_density(plan: BlockPlan, heads: int, device: torch.device) -> Tensor:
    """Query-key pairs that the plan computes, of all pairs, mean over batch and heads: 0-dim fp32 on `device`.

    Blocks met in part count in full, since the kernel computes them; summaries count as one key each; key
    lengths are left out, as dense attention skips nothing of the padding either.
    """
    groups = _group_pairs(plan, device).mean(dim=0) / float(plan.q.length * plan.k.length)
    if plan.heads is None:
        return groups.mean()
    kinds = [plan.kind(head) for head in range(heads)]
    grouped = [kind for kind in kinds if isinstance(kind, int)]
    dense = kinds.count("dense") / heads
    if groups.shape[0] == 1:
        return groups[0] * (len(grouped) / heads) + dense
    return groups[grouped].sum() / heads + dense


def _group_pairs(plan: BlockPlan, device: torch.device) -> Tensor:
    """(B|1, G|1): pairs computed for one plan head. What follows from shapes alone costs the device nothing."""
    text_q, text_k = plan.q.length - plan.q.body, plan.k.length - plan.k.body
    known = float(text_q * plan.k.length + plan.q.body * text_k)
    rows = [(r, plan.k.body, plan.k.block, 1) for r in (plan.rows, plan.partial) if r is not None]
    rows += [(s.rows, s.tokens, s.block, s.share) for s in plan.coarse if s.rows is not None]
    known += sum(float(plan.q.body * s.tokens) for s in plan.coarse if s.rows is None)
    pairs = torch.zeros(1, 1, device=device)
    for entries, tokens, block, share in rows:
        if entries.width is not None and entries.counts is None and block is not None and tokens % block == 0:
            known += float(plan.q.body * entries.width * block)
            continue
        sizes = _sizes(plan.k, device) if block is None else _equal_sizes(tokens, block, device)
        met = _met(entries, sizes).repeat_interleave(share, dim=-1)[..., : plan.q.blocks]
        pairs = pairs + (_sizes(plan.q, device) * met).sum(-1)
    return pairs + known


def _sizes(axis: BlockAxis, device: torch.device) -> Tensor:
    """(B|1, G|1, n) fp32: tokens of each block."""
    if axis.offsets is not None:
        return axis.offsets.diff(dim=-1).float()
    assert axis.block is not None
    return _equal_sizes(axis.body, axis.block, device)


def _equal_sizes(tokens: int, block: int, device: torch.device) -> Tensor:
    """(1, 1, n) fp32: blocks of so many tokens, the last one smaller."""
    edges = (torch.arange(-(-tokens // block) + 1, device=device) * block).clamp_(max=tokens)
    return edges.diff().float()[None, None]


def _met(rows: BlockRows, sizes: Tensor) -> Tensor:
    """(B|1, G|1, n): tokens of the blocks that each row names, given the tokens of each block (B|1, G|1, m)."""
    if rows.starts is not None:
        return _met_ragged(rows.indices, rows.starts, sizes)
    index = rows.indices.long()
    shape = tuple(max(a, b) for a, b in zip(index.shape[:2], sizes.shape[:2], strict=True))
    tokens = sizes.expand(*shape, -1).gather(-1, index.expand(*shape, -1, -1).flatten(2)).view(*shape, *index.shape[2:])
    if rows.counts is not None:
        tokens = tokens * (torch.arange(index.shape[3], device=index.device) < rows.counts[..., None])
    return tokens.sum(-1)


def _met_ragged(indices: Tensor, starts: Tensor, sizes: Tensor) -> Tensor:
    if sizes.shape[:2] == (1, 1):
        total = torch.zeros(indices.shape[0] + 1, dtype=torch.float64, device=indices.device)
        total[1:] = sizes[0, 0].double()[indices.long()].cumsum(0)
        return total[starts.long()].diff(dim=-1).float()
    # blocks that differ from head to head with ragged rows: their mean size is what can be said without a loop
    return starts.diff(dim=-1).float() * sizes.mean(dim=-1, keepdim=True)
