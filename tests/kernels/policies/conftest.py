"""Inputs for policies, and the map of blocks that a plan amounts to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import head_rows


@pytest.fixture
def draw() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """q, k, v (B, H, L, 32) of so many tokens."""

    def of(tokens: int, *, batch: int = 2, heads: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        q, k, v = (torch.randn(batch, heads, tokens, 32, generator=generator) for _ in range(3))
        return q, k, v

    return of


@pytest.fixture
def block_map() -> Callable[[BlockPlan, int, int], Tensor]:
    """(n, m): which blocks one head of a plan meets, in full or in part."""

    def of(plan: BlockPlan, batch: int = 0, head: int = 0) -> Tensor:
        met = torch.zeros(plan.q.blocks, plan.k.blocks, dtype=torch.bool)
        for rows in (plan.rows, plan.partial):
            if rows is not None:
                entries, counts = head_rows(rows, batch, head)
                met[torch.arange(plan.q.blocks).repeat_interleave(counts), entries] = True
        return met

    return of
