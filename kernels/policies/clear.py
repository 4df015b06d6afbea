"""CLEAR (arXiv 2412.16112): image tokens meet those inside a disc around them; text meets everything.

Tokens stand tile by tile instead of in raster order, so that a block of queries touches the tiles around it
and not whole rows of the picture. Tiles wholly inside every query's disc are met in full; the predicate is
asked only in those that the rim crosses.

Layout legend: n tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.morton import tile_of_token
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows, rows_from_mask
from chatdit.kernels.plan.pooling import ordered_body, pool_levels, valid_body
from chatdit.kernels.plan.predicates import Disc
from chatdit.kernels.policies.geometry import Geometry, Grid, Place, check_fit, tiled_axis
from chatdit.kernels.policies.remembered import remembered


@dataclass(frozen=True)
class Clear:
    """Radius in tokens: 8, 16 or 32 in the paper. The plan depends on the geometry alone.

    With `down_factor`, means of down_factor² neighbouring keys join the softmax without a weight, as the paper's
    pooled keys do (which are learned there).

    Raises:
        KernelError: on a call, for a video, or when tile or picture are no multiples of the down factor.
    """

    radius: float = 16.0
    tile: tuple[int, int] = (8, 8)
    down_factor: int | None = None

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Static plan, shared by batch and heads."""
        check_fit(q, k, geometry)
        if geometry.frames != 1:
            raise KernelError(f"frames is {geometry.frames}; CLEAR's disc is defined for one picture")
        axis = tiled_axis(geometry, self.tile, q.device)
        coarse: tuple[CoarseStream, ...] = ()
        if self.down_factor is not None:
            axis = self._nested(axis, geometry, self.down_factor)
            coarse = (_pooled_stream(k, axis, geometry, self.down_factor**2),)
        inside, rim = _disc_rows(q.device, geometry.grid, self.tile, self.radius)
        return BlockPlan(
            axis,
            axis,
            inside,
            rim,
            Disc(geometry.height, geometry.width, self.radius),
            coarse,
            key_lengths=geometry.key_lengths,
            trusted=True,
        )

    def _nested(self, axis: BlockAxis, geometry: Geometry, factor: int) -> BlockAxis:
        """The same tiles, inside them squares of factor² tokens one after the other."""
        for name, side in (("tile", math.gcd(*self.tile)), ("height", geometry.height), ("width", geometry.width)):
            if side % factor:
                raise KernelError(f"{name} is {side}, no multiple of down_factor, {factor}")
        assert axis.order is not None
        device = axis.order.device
        outer, inner = (
            tile_of_token(geometry.height, geometry.width, tile, device=device)
            for tile in (self.tile, (factor, factor))
        )
        order = (outer * geometry.body + inner).argsort(stable=True)
        return geometry.axis(axis.block, axis.offsets, order[None, None])


def _pooled_stream(k: Tensor, axis: BlockAxis, geometry: Geometry, span: int) -> CoarseStream:
    heads = tuple(range(k.shape[1]))
    pooled = pool_levels(ordered_body(k, axis, heads), span, 1, valid_body(axis, geometry.key_lengths, heads))[0]
    weight = torch.zeros_like(pooled.counts).masked_fill(pooled.counts == 0, -math.inf)
    return CoarseStream(pooled.means, log_weight=weight, span=span)


@remembered
def _disc_rows(device: torch.device, grid: Grid, tile: tuple[int, int], radius: float) -> tuple[BlockRows, BlockRows]:
    """The tiles that lie within the radius altogether, and those that do in part."""
    inside, touched = tile_distances(grid, tile, radius, device)
    return rows_from_mask(inside[None, None]), rows_from_mask((touched & ~inside)[None, None])


def tile_distances(grid: Grid, tile: tuple[int, int], radius: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """(n, n) booleans for the tiles of one frame: all pairs of two tiles are within the radius; some pair is."""
    _, height, width = grid
    nearest, farthest = (torch.zeros((), device=device) for _ in range(2))
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    number = torch.arange(rows * columns, device=device)
    places = ((number // columns, tile[0], height), (number % columns, tile[1], width))
    for place, size, side in places:
        first = place * size
        last = (first + size).clamp(max=side) - 1
        gap = (first[:, None] - last).clamp(min=0) + (first - last[:, None]).clamp(min=0)
        reach = torch.maximum(last[:, None] - first, last - first[:, None])
        nearest, farthest = nearest + gap**2, farthest + reach**2
    return farthest < radius**2, nearest < radius**2
