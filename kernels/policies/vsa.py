"""Top-k of pooled scores over cubes of 64 tokens, the fine branch of VSA (arXiv 2505.13389).

VSA's coarse branch is an output of its own, gated and added by the model; it is not part of the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.policies.block_choice import draft_scores, top_k_rows
from chatdit.kernels.policies.geometry import Geometry, Place, check_fit, tiled_axis


@dataclass(frozen=True)
class Vsa:
    """The k best cubes of 4 x 4 x 4 tokens for each cube of queries; cubes at the border are smaller.

    The paper speaks of videos. A picture is one frame, and its cubes are tiles of 8 x 8: as many tokens, in the plane.

    Raises:
        KernelError: on a call, when k exceeds the number of cubes.
    """

    k: int = 32
    tile: tuple[int, int] = (4, 4)
    depth: int = 4

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with fixed-K rows; nothing is read back from the device."""
        check_fit(q, k, geometry)
        tile, depth = self.tile, self.depth
        if geometry.frames == 1:
            wider = math.isqrt(depth)
            tile, depth = (tile[0] * wider, tile[1] * depth // wider), 1
        axis = tiled_axis(geometry, tile, q.device, depth=depth)
        rows = top_k_rows(draft_scores(q, k, axis, axis, geometry.key_lengths), self.k)
        return BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths, trusted=True)
