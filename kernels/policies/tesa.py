"""LinGen's TESA (arXiv 2412.09856): attention inside 3-D windows that shift from layer to layer.

LinGen's other branch, a state-space scan, is not attention and not here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.policies.geometry import Geometry, Grid, Place, check_fit
from chatdit.kernels.policies.remembered import remembered


@dataclass(frozen=True)
class Tesa:
    """Windows of `window` = (frames, rows, columns) tokens; every other layer shifts them by half a window.

    Windows at the border are smaller. The size is not the paper's, which we could not recover.
    """

    window: tuple[int, int, int] = (4, 4, 4)

    def __post_init__(self) -> None:
        if min(self.window) < 1:
            raise KernelError(f"window is {self.window}; each side must be positive")

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Static plan: each window meets itself."""
        check_fit(q, k, geometry)
        order, edges, rows = _windows(q.device, geometry.grid, self.window, layer.index % 2 == 1)
        axis = geometry.axis(offsets=edges, order=order, largest=math.prod(self.window))
        return BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths, trusted=True)


@remembered
def _windows(
    device: torch.device, grid: Grid, window: tuple[int, int, int], shifted: bool
) -> tuple[Tensor, Tensor, BlockRows]:
    """The order (1, 1, N) window by window, where each begins (1, 1, n + 1), and rows in which each meets itself."""
    number = window_of_token(grid, window, shifted=shifted, device=device)
    order = number.argsort(stable=True)
    count = math.prod(side // size + 2 for side, size in zip(grid, window, strict=True))
    edges = torch.searchsorted(number[order], torch.arange(count + 1, device=device))
    rows = BlockRows(torch.arange(count, dtype=torch.int32, device=device).view(1, 1, -1, 1))
    return order[None, None], edges[None, None], rows


def window_of_token(grid: Grid, window: tuple[int, int, int], *, shifted: bool, device: torch.device) -> Tensor:
    """(N,): the number of each token's window; numbers without tokens occur."""
    frames, height, width = grid
    token = torch.arange(frames * height * width, device=device)
    places = (token // (height * width), token // width % height, token % width)
    number = torch.zeros_like(token)
    for place, size, side in zip(places, window, grid, strict=True):
        shift = size // 2 if shifted else 0
        number = number * (side // size + 2) + (place + shift) // size
    return number
