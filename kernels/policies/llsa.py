"""LLSA, trainable log-linear sparse attention (arXiv 2512.16615), with its Morton order of the grid."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan
from chatdit.kernels.morton import morton_order
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.policies.geometry import Geometry, Place, check_fit


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
        order = morton_order(geometry.height, geometry.width, frames=geometry.frames, device=q.device)
        axis = geometry.axis(self.hierarchy.block, order=order[None, None])
        return llsa_plan(q, k, self.hierarchy, axis, axis, geometry.key_lengths)
