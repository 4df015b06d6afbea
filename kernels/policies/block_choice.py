"""Choosing key blocks from scores of pooled queries against pooled keys.

Layout legend: B batch, H heads, L tokens, N body tokens, n query blocks, m key blocks, D head dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chatdit.kernels.call_checks import HEAD_DIMS
from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.pooling import ordered_body, pool_levels, valid_body


def block_means(x: Tensor, axis: BlockAxis, key_lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean of each block of x (B, H, L, D) in fp32, (B, H, n, D), and tokens in it (B|1, 1, n); no gradient.

    The axis's order and offsets are shared by all heads. Tokens beyond the key lengths do not count.
    """
    heads = tuple(range(x.shape[1]))
    body = ordered_body(x.detach(), axis, heads).float()
    valid = valid_body(axis, key_lengths, heads)
    if axis.block is not None:
        return pool_levels(body, axis.block, 1, valid)[0]
    assert axis.offsets is not None
    counted = torch.ones(1, 1, axis.body, device=x.device) if valid is None else valid.float()
    position = torch.arange(axis.body, device=x.device)
    block = torch.searchsorted(axis.offsets[0, 0].long(), position, right=True) - 1
    body = body if valid is None else body.masked_fill(~valid[..., None], 0.0)
    totals = body.new_zeros(*body.shape[:2], axis.blocks, body.shape[3]).index_add_(2, block, body)
    counts = counted.new_zeros(counted.shape[0], 1, axis.blocks).index_add_(2, block, counted)
    return totals / counts.clamp(min=1)[..., None], counts


def draft_scores(
    q: Tensor, k: Tensor, q_axis: BlockAxis, k_axis: BlockAxis, key_lengths: Tensor | None = None
) -> Tensor:
    """Logits (B, H, n, m) of pooled queries against pooled keys, q̄·k̄ / √D; -inf for blocks of padding alone."""
    keys, counts = block_means(k, k_axis, key_lengths)
    scores = block_means(q, q_axis)[0] @ keys.mT / math.sqrt(q.shape[3])
    return scores.masked_fill((counts == 0)[..., None, :], -math.inf)


def top_k_rows(scores: Tensor, k: int) -> BlockRows:
    """The k highest of each row of scores (B, H, n, m). Nothing is read back from the device.

    Raises:
        KernelError: k is not from 1 to the number of key blocks.
    """
    if not 1 <= k <= scores.shape[-1]:
        raise KernelError(f"k is {k}; it must be from 1 to the number of key blocks, {scores.shape[-1]}")
    return BlockRows(scores.topk(k, dim=-1).indices.int())


def top_p_mask(shares: Tensor, p: float, *, at_least: int = 1) -> Tensor:
    """The fewest entries of each row (..., m) whose shares reach p, and never fewer than so many; booleans."""
    ranked, order = shares.sort(dim=-1, descending=True)
    before = ranked.cumsum(dim=-1) - ranked
    kept = before < p
    kept[..., :at_least] = True
    return torch.zeros_like(kept).scatter_(-1, order, kept)


def with_best(mask: Tensor, scores: Tensor) -> Tensor:
    """The map with each row's best entry added, so that no row is empty."""
    return mask.scatter(-1, scores.argmax(dim=-1, keepdim=True), True)


def searches_on_triton(x: Tensor) -> bool:
    """Whether the Triton kernels of `kernels/search/` take x (B, H, L, D): on a GPU, and neither fp64 nor odd wide."""
    return x.is_cuda and x.dtype != torch.float64 and x.shape[3] in HEAD_DIMS


def check_fraction(name: str, value: float) -> None:
    """Raise KernelError unless the value lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise KernelError(f"{name} is {value}; it must be from 0 to 1")
