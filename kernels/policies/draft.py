"""DraftAttention (arXiv 2505.14708): attention between pooled patches drafts which blocks to keep."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import rows_from_mask
from chatdit.kernels.policies.block_choice import check_fraction, draft_scores, with_best
from chatdit.kernels.policies.geometry import Geometry, Place, all_dense, check_fit, tiled_axis


@dataclass(frozen=True)
class Draft:
    """Patches of 8 x 16 tokens of a frame; one threshold for each head keeps the top 1 - `sparsity` of the map.

    The first quarter of the steps is dense. Rows hold as many blocks as pass the threshold; a row's best block
    is kept even where it does not, so that no row is empty. Any resolution: patches at the border are smaller.
    """

    sparsity: float = 0.9
    patch: tuple[int, int] = (8, 16)
    dense_steps: float = 0.25

    def __post_init__(self) -> None:
        check_fraction("sparsity", self.sparsity)
        check_fraction("dense_steps", self.dense_steps)

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with ragged rows; the number of entries is read back."""
        check_fit(q, k, geometry)
        if step.index < self.dense_steps * step.count:
            return all_dense(q, geometry)
        axis = tiled_axis(geometry, self.patch, q.device)
        draft = draft_scores(q, k, axis, axis, geometry.key_lengths).softmax(dim=-1)
        rows = rows_from_mask(with_best(top_share(draft, 1 - self.sparsity), draft))
        return BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths, trusted=True)


def top_share(draft: Tensor, share: float) -> Tensor:
    """Which entries of each head's map (B, H, n, m) are among its top share, as one threshold over all rows."""
    flat = draft.flatten(2)
    kept = max(1, round(share * flat.shape[-1]))
    threshold = flat.kthvalue(flat.shape[-1] - kept + 1, dim=-1).values
    return torch.ge(draft, threshold[..., None, None])
