"""Orders in which neighbours in a picture or a video are neighbours in the sequence.

Layout legend: F frames, H rows, W columns, N = F·H·W tokens in raster order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError

BITS = 21
"""Of a coordinate: three of them interleave into 63 bits."""


def morton_order(height: int, width: int, *, frames: int = 1, device: torch.device | None = None) -> Tensor:
    """(N,) int64: raster numbers of the tokens along a Z-order curve through a grid of any size.

    Every aligned cube (square, for one frame) of a power of two that lies inside the grid is one stretch of
    the order: 16 consecutive tokens are 4 x 4 where the sides are multiples of 4. Elsewhere cubes are cut off
    by the border, and stretches shift.

    Raises:
        KernelError: a side is not positive, or has more than 2²¹ tokens.
    """
    for name, side in (("frames", frames), ("height", height), ("width", width)):
        if not 1 <= side <= 1 << BITS:
            raise KernelError(f"{name} is {side}; a side has from 1 to {1 << BITS} tokens")
    token = torch.arange(frames * height * width, device=device)
    axes = [token % width, token // width % height]
    if frames > 1:
        axes.append(token // (width * height))
    code = torch.zeros_like(token)
    for bit in range(max(frames, height, width).bit_length()):
        for i, axis in enumerate(axes):
            code |= (axis >> bit & 1) << (bit * len(axes) + i)
    return code.argsort(stable=True)


def tile_of_token(
    height: int,
    width: int,
    tile: tuple[int, int],
    *,
    frames: int = 1,
    depth: int = 1,
    device: torch.device | None = None,
) -> Tensor:
    """(N,) int64: the number of the tile that holds each token, tiles counted in raster order.

    Tiles have `depth` frames and `tile` = (rows, columns); those at the border are smaller. A stable argsort of
    the numbers is the order tile by tile, raster order within each.

    Raises:
        KernelError: a side of the grid or of the tile is not positive.
    """
    sides = {"frames": frames, "height": height, "width": width, "depth": depth, "tile": min(tile)}
    for name, side in sides.items():
        if side < 1:
            raise KernelError(f"{name} is {side}; it must be positive")
    token = torch.arange(frames * height * width, device=device)
    f, y, x = token // (width * height) // depth, token // width % height // tile[0], token % width // tile[1]
    return (f * -(-height // tile[0]) + y) * -(-width // tile[1]) + x


def inverse_order(order: Tensor) -> Tensor:
    """Where each token went: `x[order][inverse_order(order)]` is x. Along the last axis, any leading axes."""
    places = torch.arange(order.shape[-1], device=order.device, dtype=order.dtype).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order.long(), places)
