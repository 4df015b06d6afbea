"""NABLA: pooled softmax, blocks up to a share of its mass, joined with a sliding window over tiles.

Source: arXiv 2507.13546, and its form in diffusers' Kandinsky 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import rows_from_mask
from chatdit.kernels.policies.block_choice import check_fraction, draft_scores, top_p_mask
from chatdit.kernels.policies.geometry import Geometry, Grid, Place, check_fit, tiled_axis
from chatdit.kernels.policies.remembered import remembered


@dataclass(frozen=True)
class Nabla:
    """Tiles of 8 x 8 tokens; `p` of the pooled mass; a window of `window` = (frames, rows, columns) tiles, all odd.

    A window of None leaves the choice to the pooled mass alone.
    """

    p: float = 0.9
    window: tuple[int, int, int] | None = (11, 3, 3)
    tile: tuple[int, int] = (8, 8)

    def __post_init__(self) -> None:
        check_fraction("p", self.p)

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with ragged rows; the number of entries is read back."""
        check_fit(q, k, geometry)
        axis = tiled_axis(geometry, self.tile, q.device)
        shares = draft_scores(q, k, axis, axis, geometry.key_lengths).softmax(dim=-1)
        chosen = top_p_mask(shares, self.p)
        if self.window is not None:
            chosen |= window_of_tiles(q.device, geometry.grid, self.tile, self.window)
        return BlockPlan(axis, axis, rows_from_mask(chosen), key_lengths=geometry.key_lengths, trusted=True)


@remembered
def window_of_tiles(device: torch.device, grid: Grid, tile: tuple[int, int], window: tuple[int, int, int]) -> Tensor:
    """(n, n): whether two tiles lie within a window of so many tiles, centred on one of them."""
    frames, height, width = grid
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    tiles = torch.arange(frames * rows * columns, device=device)
    near = torch.ones(len(tiles), len(tiles), dtype=torch.bool, device=device)
    for place, size in zip((tiles // (rows * columns), tiles // columns % rows, tiles % columns), window, strict=True):
        near &= (place[:, None] - place).abs() <= size // 2
    return near
