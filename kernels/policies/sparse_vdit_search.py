"""Sparse-vDiT's offline search (arXiv 2506.03065): for each head the pattern with the least error and cost.

Layout legend: B batch, H heads, L tokens, n blocks, D head dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chatdit.kernels.policies.adaspa import block_mass
from chatdit.kernels.policies.geometry import Geometry, check_fit
from chatdit.kernels.policies.sparse_vdit import Pattern, density, pattern_plan
from chatdit.kernels.sparse_attention import sparse_attention


def search_patterns(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    geometry: Geometry,
    *,
    block: int = 128,
    window: int = 2,
    stripe: float = 0.1,
    weight: float = 0.5,
    limit: float = 1.0,
) -> tuple[Pattern, ...]:
    """One pattern for each head of q, k, v (B, H, L, D), sampled from the model to be sped up.

    The loss of pattern i is MSE(O_i, O_0) + λ (1 - S_i), with `weight` λ and S_i the share of blocks it saves.
    The least one wins, among those whose error is at most `limit` ε, the full pattern being one of them.
    Stripes are the `stripe` share of key blocks with the most mass.
    """
    check_fit(q, k, geometry)
    candidates = [[Pattern(mode)] * q.shape[1] for mode in ("full", "skip", "diagonal", "multi_diagonal")]
    candidates.append(_stripes(q, k, geometry, block, stripe))
    blocks = geometry.axis(block).blocks
    full = sparse_attention(q, k, v, pattern_plan(tuple(candidates[0]), geometry, block, window, q.device)).float()
    errors, losses = [], []
    for patterns in candidates:
        out = sparse_attention(q, k, v, pattern_plan(tuple(patterns), geometry, block, window, q.device)).float()
        error = (out - full).square().mean(dim=(0, 2, 3))
        cost = torch.tensor([density(p, blocks, window) for p in patterns], device=error.device)
        errors.append(error)
        losses.append(error + weight * cost)
    best = torch.stack(losses).masked_fill(torch.stack(errors) > limit, math.inf).argmin(dim=0)
    return tuple(candidates[int(i)][h] for h, i in enumerate(best))


def _stripes(q: Tensor, k: Tensor, geometry: Geometry, block: int, share: float) -> list[Pattern]:
    mass = block_mass(q, k, geometry, block)[0].mean(dim=(0, 2))
    columns = mass.topk(max(1, round(share * mass.shape[-1])), dim=-1).indices.sort(dim=-1).values
    return [Pattern("stripe", tuple(row)) for row in columns.tolist()]
