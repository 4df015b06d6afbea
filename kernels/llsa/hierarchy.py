"""Log-linear sparse attention, LLSA (arXiv 2512.16615): hierarchical top-k and summaries in its softmax.

Both sides are averaged over B, B², ... tokens. At the top level each pooled query picks the K pooled keys it
scores highest; a level below it looks only among the children of those, and so on down to K blocks of B
tokens. The softmax runs over those tokens, over the children of every picked summary, each counted for as
many tokens as it is the mean of (the weights B^l), and over the whole top level.

Layout legend: B batch, H heads, L tokens, D head dim, N_l summaries of level l (l = 0: body tokens), K picked,
C candidates (K x block), P parents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.pooling import Pooled, ordered_body, pool_levels, valid_body


@dataclass(frozen=True)
class Hierarchy:
    """`block` tokens are pooled into one at each of `levels` levels (the paper's rule when None); `k` are kept.

    `selected="keep"` counts a region in its summaries even where it is met in detail, as the paper does;
    "exclude" meets every token once, in detail or through one summary.
    """

    block: int = 16
    k: int = 8
    levels: int | None = None
    selected: Literal["keep", "exclude"] = "keep"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise KernelError(f"k is {self.k}; at least one block must be kept")
        if self.levels is not None and self.levels < 1:
            raise KernelError(f"levels is {self.levels}; it must be at least 1")

    def depth(self, tokens: int) -> int:
        """Levels for so many tokens: ⌊log_B N⌋ - 1, at least one (section 3 of the paper)."""
        if self.levels is not None:
            return self.levels
        return max(1, int(math.log(max(tokens, 1), self.block) + 1e-9) - 1)


def llsa_plan(
    q: Tensor, k: Tensor, hierarchy: Hierarchy, q_axis: BlockAxis, k_axis: BlockAxis, key_lengths: Tensor | None = None
) -> BlockPlan:
    """Plan with picked blocks and coarse streams, for q (B, H, L, D) and k (B, H, K, D).

    The axes say where text stands and in which order the body's tokens are; their blocks must be the
    hierarchy's. Coarse keys carry gradients to k; the picking has none. Streams come without values: they are
    made of v in the call. Nothing is read back from the device. On a GPU, Triton kernels pool and pick.

    Raises:
        KernelError: the axes' blocks differ from the hierarchy's, or k is larger than the number of key blocks.
    """
    check_hierarchy(hierarchy, q_axis, k_axis)
    if q.is_cuda and q.dtype != torch.float64:
        from chatdit.kernels.llsa.call import pooled_plan

        if (plan := pooled_plan(q, k, hierarchy, q_axis, k_axis, key_lengths)) is not None:
            return plan
    heads = tuple(range(q.shape[1]))
    levels = hierarchy.depth(k_axis.body)
    valid = valid_body(k_axis, key_lengths, heads)
    pooled_q = pool_levels(ordered_body(q.detach(), q_axis, heads), hierarchy.block, levels)
    pooled_k = pool_levels(ordered_body(k, k_axis, heads), hierarchy.block, levels, valid)
    picked = select(pooled_q, pooled_k, hierarchy, padded=valid is not None)
    streams = _streams(pooled_k, picked, hierarchy)
    return BlockPlan(q_axis, k_axis, picked[0], coarse=streams, key_lengths=key_lengths, trusted=True)


def check_hierarchy(hierarchy: Hierarchy, q_axis: BlockAxis, k_axis: BlockAxis) -> None:
    """Raise KernelError where the axes' blocks are not the hierarchy's, or it keeps more than there are."""
    for name, axis in (("q_axis", q_axis), ("k_axis", k_axis)):
        if axis.block != hierarchy.block:
            raise KernelError(f"{name}.block is {axis.block}; the hierarchy pools {hierarchy.block} tokens at a time")
    if hierarchy.k > k_axis.blocks:
        raise KernelError(f"k is {hierarchy.k}, larger than the number of key blocks, {k_axis.blocks}")


def select(
    pooled_q: tuple[Pooled, ...], pooled_k: tuple[Pooled, ...], hierarchy: Hierarchy, *, padded: bool = False
) -> tuple[BlockRows, ...]:
    """What each level picks, finest first: entry l has rows (B, H, N_l+1 of q, K), blocks of level l's keys.

    Entry l is picked by the queries of level l + 1 among the keys of level l + 1, which are the blocks of
    level l. Scores are inner products in fp32; they exist for all pairs at the top level alone, and below for C
    candidates of each query. With `padded` keys, summaries of no token are never picked, and rows have counts.
    """
    with torch.no_grad():
        picked = [_pick_top(pooled_q[-1].means, pooled_k[-1], hierarchy.k, padded)]
        for level in reversed(range(len(pooled_k) - 1)):
            picked.insert(0, _pick_below(pooled_q[level].means, pooled_k[level], picked[0], hierarchy, padded))
    return tuple(picked)


def _pick_top(q: Tensor, keys: Pooled, k: int, padded: bool) -> BlockRows:
    scores = (q.float() @ keys.means.float().mT).masked_fill((keys.counts == 0)[:, :, None], -math.inf)
    best = scores.topk(min(k, scores.shape[-1]), dim=-1)
    return BlockRows(best.indices.int(), best.values.isfinite().sum(-1) if padded else None)


def _pick_below(q: Tensor, keys: Pooled, parents: BlockRows, hierarchy: Hierarchy, padded: bool) -> BlockRows:
    """Siblings share their parent's K blocks of keys: C candidates for `block` queries at a time."""
    n, d, block = q.shape[2], q.shape[3], hierarchy.block
    siblings = F.pad(q.float(), (0, 0, 0, -n % block)).view(*q.shape[:2], -1, block, d)
    at, missing = _children(keys, parents, block)
    near = keys.means.gather(2, at.flatten(2)[..., None].expand(-1, -1, -1, d)).view(*at.shape, d)
    scores = (siblings @ near.float().mT).masked_fill(missing[..., None, :], -math.inf)
    best = scores.topk(min(hierarchy.k, keys.means.shape[2]), dim=-1)
    found = at[..., None, :].expand(*best.indices.shape[:4], -1).gather(-1, best.indices)
    counts = best.values.isfinite().sum(-1).flatten(2)[:, :, :n] if padded else None
    return BlockRows(found.flatten(2, 3)[:, :, :n].int(), counts)


def _children(keys: Pooled, parents: BlockRows, block: int) -> tuple[Tensor, Tensor]:
    """(B, H, P, C) each: the keys that the picked parents are the means of, and which of those there are not."""
    m, picked = keys.means.shape[2], parents.indices.long()
    child = picked[..., None] * block + torch.arange(block, device=picked.device)
    missing = child >= m
    child = child.clamp(max=m - 1)
    counts = keys.counts.expand(*picked.shape[:2], m)
    missing |= counts.gather(2, child.flatten(2)).view(child.shape) == 0
    if parents.counts is not None:
        unused = torch.arange(picked.shape[-1], device=picked.device) >= parents.counts[..., None]
        missing |= unused[..., None]
    return child.flatten(3), missing.flatten(3)


def _streams(
    pooled_k: tuple[Pooled, ...], picked: tuple[BlockRows, ...], hierarchy: Hierarchy
) -> tuple[CoarseStream, ...]:
    """Level l of 1..levels: the children of what level l + 1's queries picked; all of the top level."""
    streams = []
    for level, pooled in enumerate(pooled_k, start=1):
        top = level == len(pooled_k)
        streams.append(
            CoarseStream(
                pooled.means,
                log_weight=pooled.counts.log(),
                rows=None if top else picked[level],
                block=1 if top else hierarchy.block,
                share=1 if top else hierarchy.block**level,
                span=hierarchy.block**level,
                selected=hierarchy.selected,
            )
        )
    return tuple(streams)
