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
from chatdit.kernels.policies.geometry import Geometry, Place, check_fit


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
        number = window_of_token(geometry, self.window, shifted=layer.index % 2 == 1, device=q.device)
        order = number.argsort(stable=True)
        windows = _windows(geometry, self.window)
        edges = torch.searchsorted(number[order], torch.arange(windows + 1, device=q.device))
        axis = geometry.axis(offsets=edges[None, None], order=order[None, None], largest=math.prod(self.window))
        rows = BlockRows(torch.arange(windows, dtype=torch.int32, device=q.device).view(1, 1, -1, 1))
        return BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths, trusted=True)


def window_of_token(geometry: Geometry, window: tuple[int, int, int], *, shifted: bool, device: torch.device) -> Tensor:
    """(N,): the number of each token's window; numbers without tokens occur."""
    token = torch.arange(geometry.body, device=device)
    area = geometry.height * geometry.width
    places = (token // area, token // geometry.width % geometry.height, token % geometry.width)
    number = torch.zeros_like(token)
    for place, size, side in zip(places, window, (geometry.frames, geometry.height, geometry.width), strict=True):
        shift = size // 2 if shifted else 0
        number = number * (side // size + 2) + (place + shift) // size
    return number


def _windows(geometry: Geometry, window: tuple[int, int, int]) -> int:
    sides = zip((geometry.frames, geometry.height, geometry.width), window, strict=True)
    total = 1
    for side, size in sides:
        total *= side // size + 2
    return total
