"""Attention written out: the definitions every other implementation is tested against.

Layout legend: B batch, H heads, L queries, K keys, M coarse tokens, D head dim. `dense_attention` takes
(B, L, H, D), as the DiT's adapter does; `sparse_reference` takes (B, H, L, D).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import BlockAxis, block_offsets, body_tokens, for_head
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows, head_rows
from chatdit.kernels.plan.output import AttentionOutput


def dense_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √D + bias) v, computed in the dtype of `q` (use float64 as the yardstick).

    `bias` broadcasts to (B, H, L, K): floating ones are added to the logits, boolean ones keep the
    pairs that are True. A query that may see no key at all gets zeros.
    """
    logits = torch.einsum("blhd,bkhd->bhlk", q, k) / math.sqrt(q.shape[-1])
    if bias is not None and bias.dtype == torch.bool:
        logits = logits.masked_fill(~bias, -math.inf)
    elif bias is not None:
        logits = logits + bias.to(logits.dtype)
    blind = (logits == -math.inf).all(dim=-1, keepdim=True)
    weights = logits.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return torch.einsum("bhlk,bkhd->blhd", weights, v)


def sparse_reference(
    q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, coarse: tuple[CoarseStream, ...], scale: float
) -> AttentionOutput:
    """What a plan means, with every pair of tokens in memory, in the dtype of `q`; differentiable.

    softmax over the allowed keys, logits q·k · scale, and the coarse keys, logits q·k̄ · scale + log weight.
    `coarse` are the plan's streams with their values. The inputs fit the plan.
    """
    seen, seen_coarse, blocks = _who_meets_whom(plan, q, coarse)
    if plan.key_lengths is not None:  # padding may hold anything, and 0 · NaN is NaN
        padding = torch.arange(k.shape[2], device=k.device) >= plan.key_lengths[:, None]
        k, v = (x.masked_fill(padding[:, None, :, None], 0.0) for x in (k, v))
    logits = (q @ k.mT * scale).masked_fill(~seen, -math.inf)
    parts, values = [logits], [v]
    for stream, mask in zip(coarse, seen_coarse, strict=True):
        assert stream.values is not None
        weight = stream.log_weight
        weight = weight[:, :, None].to(q.dtype) if isinstance(weight, Tensor) else weight
        parts.append((q @ stream.keys.mT * scale + weight).masked_fill(~mask, -math.inf))
        values.append(stream.values)
    logits = torch.cat(parts, dim=-1)
    lse = logits.logsumexp(dim=-1)
    blind = (lse == -math.inf)[..., None]
    weights = logits.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return AttentionOutput(weights @ torch.cat(values, dim=2), lse, _mass(weights[..., : k.shape[2]], blocks, plan))


Blocks = tuple[Tensor, Tensor]
"""Block number of each token of q (B, H, L) and of k (B, H, K); -1 for tokens of dense segments."""


def _who_meets_whom(
    plan: BlockPlan, q: Tensor, coarse: tuple[CoarseStream, ...]
) -> tuple[Tensor, list[Tensor], Blocks]:
    """Which pairs are allowed, (B, H, L, K); which coarse tokens, (B, H, L, M) each; and the blocks."""
    batch, heads, device = q.shape[0], q.shape[1], q.device
    shape = (batch, heads, plan.q.length, plan.k.length)
    seen = torch.zeros(shape, dtype=torch.bool, device=device)
    seen_coarse = [torch.zeros(*shape[:3], stream.tokens, dtype=torch.bool, device=device) for stream in coarse]
    blocks = tuple(torch.full((batch, heads, n), -1, device=device) for n in shape[2:])
    for b in range(batch):
        for h in range(heads):
            kind = plan.kind(h)
            if kind == "dense":
                seen[b, h] = True
            elif isinstance(kind, int):
                for side, axis in zip(blocks, (plan.q, plan.k), strict=True):
                    side[b, h, body_tokens(axis, device)] = _block_of_token(axis, b, kind, device)
                _fill_head(plan, b, kind, (blocks[0][b, h], blocks[1][b, h]), seen[b, h])
                _fill_coarse(plan, b, kind, blocks[0][b, h], [x[b, h] for x in seen_coarse])
    if plan.key_lengths is not None:
        seen &= (torch.arange(plan.k.length, device=device) < plan.key_lengths[:, None])[:, None, None]
    return seen, seen_coarse, (blocks[0], blocks[1])


def _fill_head(plan: BlockPlan, b: int, g: int, blocks: Blocks, seen: Tensor) -> None:
    body_q, body_k = blocks[0] >= 0, blocks[1] >= 0
    pairs = (blocks[0][body_q][:, None], blocks[1][body_k])
    allowed = torch.zeros(plan.q.body, plan.k.body, dtype=torch.bool, device=seen.device)
    if plan.rows is not None:
        allowed |= _members(plan.rows, b, g, plan.k.blocks)[pairs]
    if plan.partial is not None and plan.predicate is not None:
        numbers = (torch.arange(axis.body, device=seen.device) for axis in (plan.q, plan.k))
        near = plan.predicate.allowed(next(numbers)[:, None], next(numbers), b)
        allowed |= _members(plan.partial, b, g, plan.k.blocks)[pairs] & near
    seen[body_q[:, None] & body_k] = allowed.flatten()
    seen[~body_q] = True
    seen[:, ~body_k] = True


def _fill_coarse(plan: BlockPlan, b: int, g: int, block_of_query: Tensor, seen: list[Tensor]) -> None:
    """Coarse tokens met by each query, from those met by its block; dense queries meet none."""
    body = block_of_query >= 0
    finer = _finest(plan, b, g, block_of_query.device)
    block = torch.arange(plan.q.blocks, device=block_of_query.device)
    for stream, mask in zip(plan.coarse, seen, strict=True):
        entries = torch.ones(plan.q.blocks, stream.blocks, dtype=torch.bool, device=mask.device)
        if stream.rows is not None:
            entries = _members(stream.rows, b, g, stream.blocks)[block // stream.share]
        tokens = entries.repeat_interleave(stream.block, dim=1)[:, : stream.tokens]
        if stream.selected == "exclude":
            tokens = tokens & ~finer
        mask[body] = tokens[block_of_query[body]]
        finer = entries


def _finest(plan: BlockPlan, b: int, g: int, device: torch.device) -> Tensor:
    met = torch.zeros(plan.q.blocks, plan.k.blocks, dtype=torch.bool, device=device)
    for rows in (plan.rows, plan.partial):
        if rows is not None:
            met |= _members(rows, b, g, plan.k.blocks)
    return met


def _members(rows: BlockRows, b: int, g: int, blocks: int) -> Tensor:
    """(n, blocks): whether each row names each block."""
    entries, counts = head_rows(rows, b, g)
    met = torch.zeros(rows.rows, blocks, dtype=torch.bool, device=entries.device)
    met[torch.arange(rows.rows, device=entries.device).repeat_interleave(counts), entries] = True
    return met


def _block_of_token(axis: BlockAxis, b: int, g: int, device: torch.device) -> Tensor:
    """(N,): the block in which each body token stands."""
    position = torch.arange(axis.body, device=device)
    block = torch.searchsorted(block_offsets(axis, b, g, device), position, right=True) - 1
    if axis.order is None:
        return block
    return torch.empty_like(block).scatter_(0, for_head(axis.order, b, g).long(), block)


def _mass(weights: Tensor, blocks: Blocks, plan: BlockPlan) -> Tensor:
    """(B, H, n, m): the share of a query block's attention that falls on a key block, mean over its queries."""
    of_query = torch.nn.functional.one_hot(blocks[0] + 1, plan.q.blocks + 1)[..., 1:].to(weights.dtype)
    of_key = torch.nn.functional.one_hot(blocks[1] + 1, plan.k.blocks + 1)[..., 1:].to(weights.dtype)
    size = of_query.sum(dim=2).clamp(min=1)[..., None]
    return (of_query.mT @ weights @ of_key / size).detach()
