"""AdaSpa (arXiv 2502.21079): blocks chosen by their true share of attention, searched for at a few steps.

Layout legend: B batch, H heads, L tokens, N body tokens, n blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import segment_tokens, take_body
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.pooling import pool_levels
from chatdit.kernels.policies.block_choice import check_fraction, searches_on_triton
from chatdit.kernels.policies.geometry import Geometry, Place, all_dense, check_fit

QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class AdaSpa:
    """Blocks of 64 tokens, `sparsity` of them left out, searched at `search_steps`, reused in between.

    Steps before the first search are dense (the first 10 of the paper's 50). Every row of a head keeps as many
    blocks; heads that recall over `recall` of the mass keep fewer, as many others keep more. LSEs of the first
    search serve the later ones. Both are remembered: one policy serves one sampling run and guidance branch.
    """

    sparsity: float = 0.8
    block: int = 64
    search_steps: tuple[int, ...] = (10, 30)
    recall: float = 0.8
    remembered: dict[int, tuple[BlockRows, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_fraction("sparsity", self.sparsity)
        check_fraction("recall", self.recall)

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with fixed rows, and counts for each head; nothing is read back from the device.

        Raises:
            KernelError: q or k does not fit the geometry, or the layer was searched at another size.
        """
        check_fit(q, k, geometry)
        if step.index < min(self.search_steps):
            return all_dense(q, geometry)
        known = self.remembered.get(layer.index)
        if known is not None and known[1].shape != (q.shape[0], q.shape[1], geometry.body):
            raise KernelError(
                f"q has batch, heads and picture tokens {(q.shape[0], q.shape[1], geometry.body)}, the search of layer "
                f"{layer.index} had {tuple(known[1].shape)}; make a policy for each sampling run"
            )
        if known is None or step.index in self.search_steps:
            mass, lse = block_mass(q, k, geometry, self.block, known[1] if known is not None else None)
            known = adaptive_rows(mass, self.sparsity, self.recall), lse
            self.remembered[layer.index] = known
        axis = geometry.axis(self.block)
        return BlockPlan(axis, axis, known[0], key_lengths=geometry.key_lengths, trusted=True)


def block_mass(
    q: Tensor, k: Tensor, geometry: Geometry, block: int, lse: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Share of each body block of keys in each body block of queries (B, H, n, n) fp32, and LSEs (B, H, N).

    Mean over the block's queries of dense attention's weights; of `lse` from an earlier search, approximately.
    The weights of all pairs are never in memory. On a GPU, Triton kernels do it.
    """
    if searches_on_triton(q) and block & (block - 1) == 0:
        return fused_mass(q, k, geometry, block, lse)
    queries = take_body(q.detach(), geometry.axis(block)).float() / math.sqrt(q.shape[3])
    keys = k.detach().float()
    padding = _padding(geometry, k)
    if padding is not None:
        keys = keys.masked_fill(padding[:, None, :, None], 0.0)
    masses, sums = [], []
    step = max(block, QUERIES_AT_ONCE // block * block)
    for i in range(0, geometry.body, step):
        logits = queries[:, :, i : i + step] @ keys.mT
        if padding is not None:
            logits = logits.masked_fill(padding[:, None, None], -math.inf)
        own = logits.logsumexp(dim=-1) if lse is None else lse[:, :, i : i + step]
        weights = (logits - own[..., None]).exp()
        rows = pool_levels(weights, block, 1)[0].means
        columns = take_body(rows.mT, geometry.axis(block))
        masses.append(_block_sums(columns, block).mT)
        sums.append(own)
    return torch.cat(masses, dim=2), torch.cat(sums, dim=2)


def fused_mass(q: Tensor, k: Tensor, geometry: Geometry, block: int, lse: Tensor | None) -> tuple[Tensor, Tensor]:
    """What `block_mass` gives, by Triton kernels; for fp32, fp16 and bf16, and blocks of a power of two from 16."""
    from chatdit.kernels.search.block_mass import block_shares

    axis, padding = geometry.axis(block), _padding(geometry, k)
    text = segment_tokens(geometry.text, k.device)
    keys, scale = k.detach(), 1 / math.sqrt(q.shape[3])
    if len(text):  # behind the body, so that blocks are of the body alone
        keys = torch.cat([take_body(keys, axis), keys[:, :, text]], dim=2)
        if padding is not None:
            padding = torch.cat([take_body(padding[:, None, :, None], axis)[:, 0, :, 0], padding[:, text]], dim=1)
    return block_shares(take_body(q.detach(), axis), keys, block, geometry.body, scale, padding, lse)


def adaptive_rows(mass: Tensor, sparsity: float, recall: float) -> BlockRows:
    """Each row's heaviest blocks: (1 - s) of them, or as the head's recall says (section 4.3 of the paper).

    Of H heads, h recall more than `recall` at sparsity s. They get sparsity (1 + s) / 2, and the h heads with
    the lowest recall (3s - 1) / 2, so that the total stays; h is at most half of the heads.
    """
    blocks = mass.shape[-1]
    keep = [max(1, round((1 - s) * blocks)) for s in ((1 + sparsity) / 2, sparsity, max(0.0, (3 * sparsity - 1) / 2))]
    best = mass.topk(keep[2], dim=-1)
    recalled = best.values[..., : keep[1]].sum(-1).mean(-1)
    rank = recalled.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    heads = mass.shape[1]
    sure = (recalled > recall).sum(dim=-1, keepdim=True).clamp(max=heads // 2)
    counts = torch.full_like(rank, keep[1])
    counts = counts.masked_fill(rank < sure, keep[0]).masked_fill(rank >= heads - sure, keep[2])
    return BlockRows(best.indices.int(), counts[..., None].expand(*mass.shape[:3]))


def _padding(geometry: Geometry, k: Tensor) -> Tensor | None:
    """(B, L): keys that are none."""
    if geometry.key_lengths is None:
        return None
    return torch.arange(geometry.length, device=k.device) >= geometry.key_lengths[:, None]


def _block_sums(x: Tensor, block: int) -> Tensor:
    x = F.pad(x, (0, 0, 0, -x.shape[2] % block))
    return x.view(*x.shape[:2], -1, block, x.shape[3]).sum(dim=3)
