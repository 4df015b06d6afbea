"""What a policy knows beside q and k: the grid the tokens stand in, the text beside it, where in the run it is.

Layout legend: B batch, L tokens of the sequence, N = F·H·W body tokens in raster order, n tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.morton import tile_of_token
from chatdit.kernels.plan.block_axis import MAX_BLOCK, MIN_BLOCK, BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan, HeadKind
from chatdit.kernels.policies.remembered import remembered

Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Geometry:
    """A picture or video of `frames` x `height` x `width` tokens, text segments, valid keys per batch entry (B,).

    Raises:
        KernelError: a side is not positive, or the text does not lie inside the sequence.
    """

    height: int
    width: int
    frames: int = 1
    text: tuple[Segment, ...] = ()
    key_lengths: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width"):
            if getattr(self, name) < 1:
                raise KernelError(f"{name} is {getattr(self, name)}; a grid has at least one token on each side")
        BlockAxis(self.length, MIN_BLOCK, dense=self.text)

    @property
    def grid(self) -> Grid:
        """Frames, rows and columns."""
        return self.frames, self.height, self.width

    @property
    def body(self) -> int:
        """Tokens of the grid, N."""
        return self.frames * self.height * self.width

    @property
    def length(self) -> int:
        """Tokens of the sequence, L."""
        return self.body + sum(stop - start for start, stop in self.text)

    def axis(
        self,
        block: int | None = None,
        offsets: Tensor | None = None,
        order: Tensor | None = None,
        largest: int | None = None,
    ) -> BlockAxis:
        """Blocks over the grid, the text dense."""
        return BlockAxis(self.length, block, offsets, order, self.text, largest)


@dataclass(frozen=True)
class Place:
    """Which of how many: a step of the sampler, a layer of the model."""

    index: int
    count: int


class Policy(Protocol):
    """Makes the plan of one self-attention call from q and k, both (B, H, L, D)."""

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan: ...


def check_fit(q: Tensor, k: Tensor, geometry: Geometry) -> None:
    """Raise KernelError unless q and k (B, H, L, D) are of the geometry's length."""
    for name, x in (("q", q), ("k", k)):
        if x.dim() != 4 or x.shape[2] != geometry.length:
            raise KernelError(f"{name} has shape {tuple(x.shape)}; the geometry has {geometry.length} tokens (axis 2)")


def all_dense(q: Tensor, geometry: Geometry) -> BlockPlan:
    """Every query meets every key: for steps and layers that a paper leaves alone."""
    kind: HeadKind = "dense"
    axis = geometry.axis(MAX_BLOCK)
    return BlockPlan(axis, axis, heads=(kind,) * q.shape[1], key_lengths=geometry.key_lengths, trusted=True)


def tiled_axis(geometry: Geometry, tile: tuple[int, int], device: torch.device, *, depth: int = 1) -> BlockAxis:
    """Blocks that are tiles of `depth` frames by `tile` = (rows, columns), tiles at the border smaller."""
    order, edges = _tile_order(device, geometry.grid, tile, depth)
    size = depth * tile[0] * tile[1]
    return geometry.axis(size, order=order) if edges is None else geometry.axis(None, edges, order, largest=size)


@remembered
def _tile_order(device: torch.device, grid: Grid, tile: tuple[int, int], depth: int) -> tuple[Tensor, Tensor | None]:
    """The order (1, 1, N) tile by tile; where tiles begin, (1, 1, n + 1), unless all are alike."""
    frames, height, width = grid
    tiles = tile_of_token(height, width, tile, frames=frames, depth=depth, device=device)
    order = tiles.argsort(stable=True)
    whole = not (frames % depth or height % tile[0] or width % tile[1])
    size = depth * tile[0] * tile[1]
    if whole and MIN_BLOCK <= size <= MAX_BLOCK and size % MIN_BLOCK == 0:
        return order[None, None], None
    count = -(-frames // depth) * -(-height // tile[0]) * -(-width // tile[1])
    edges = torch.searchsorted(tiles[order], torch.arange(count + 1, device=device))
    return order[None, None], edges[None, None]
