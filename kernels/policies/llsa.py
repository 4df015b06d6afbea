"""LLSA, trainable log-linear sparse attention (arXiv 2512.16615), with its Morton order of the grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan
from chatdit.kernels.morton import morton_order
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.policies.geometry import Geometry, Grid, Place, check_fit
from chatdit.kernels.policies.remembered import remembered


@dataclass(frozen=True)
class Llsa:
    """B = 16 and K = 8 as in the paper; differentiable, for every step and layer.

    Raises:
        KernelError: on a call, when q and k do not fit the geometry or there are fewer than K key blocks.
    """

    hierarchy: Hierarchy = field(default_factory=Hierarchy)

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with picked blocks and a stream of summaries for each level."""
        check_fit(q, k, geometry)
        axis = geometry.axis(self.hierarchy.block, order=_curve(q.device, geometry.grid))
        return llsa_plan(q, k, self.hierarchy, axis, axis, geometry.key_lengths)


@remembered
def _curve(device: torch.device, grid: Grid) -> Tensor:
    """(1, 1, N): the grid's tokens along a Z-order curve."""
    frames, height, width = grid
    return morton_order(height, width, frames=frames, device=device)[None, None]
