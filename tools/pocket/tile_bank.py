"""Sprites at any place, size and angle: every tile in four sharpnesses, and exact samples of it.

Everything is integer arithmetic, so the same numbers give the same bytes on every machine and device.
Layout legend: n tiles, k sprites, S texels and W pixels on a side. A packed texel is an int32 whose bytes are red,
green, blue and alpha, colours multiplied by alpha.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chatdit.tools.pocket.accessories import accessory_tiles
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.sprites import atlas_tiles

SHARPNESS = (64, 80, 104, 128)
"""Sides in pixels up to which each level of the bank draws without aliasing; a texel is half such a pixel."""
WINDOWS = (96, 128, 160, 192, PICTURE_PIXELS)
"""Sides of the squares of pixels that are computed for a sprite."""
_ONE = 1 << 16


class Tiles(NamedTuple):
    """Packed texels of many tiles, int32 in one row, and where each of k sprites finds its own."""

    texels: Tensor
    starts: Tensor
    """int64 (k,) on the CPU."""
    sides: Tensor
    """int64 (k,) on the CPU: texels on a side."""


class Geometry(NamedTuple):
    """Where sprites stand; every tensor is int64 (k,) on the CPU, pixels and whole degrees."""

    side: Tensor
    left: Tensor
    top: Tensor
    rotation: Tensor
    mirrored: Tensor


class Seen(NamedTuple):
    """Sprites as seen through windows of W pixels that lie inside the picture."""

    colours: Tensor
    """uint8 (k, W, W, 4), colours multiplied by alpha."""
    rows: Tensor
    """int64 (k, W, 1): of the picture."""
    columns: Tensor
    """int64 (k, 1, W)"""


def level_of(side: int) -> int:
    """Which level of the bank draws a sprite of `side` pixels."""
    return next((i for i, sharp in enumerate(SHARPNESS) if side <= sharp), len(SHARPNESS) - 1)


def window_of(side: int, rotation: int) -> int:
    """Side of the window for a sprite: one that holds it, turned, or the whole picture."""
    return next((w for w in WINDOWS if reach(side, rotation) + 2 <= w), WINDOWS[-1])


def reach(side: int, rotation: int) -> int:
    """Side in pixels of the upright square around a square turned by whole degrees."""
    return -(-side * (abs(cosine(rotation)) + abs(cosine(rotation - 90))) // _ONE)


def cosine(degrees: int) -> int:
    """Cosine of whole degrees as a number of 1/65536."""
    return _COSINES[degrees % 360]


# 360 fixed angles, so that a libm that is off in its last bit rounds to the same integers
_COSINES = tuple(round(math.cos(math.radians(d)) * _ONE) for d in range(360))


class TileBank:
    """Every subject's tile and then every accessory's, in each sharpness, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._texels = _all_texels().to(device)
        self._count = len(atlas_tiles()) + len(accessory_tiles())

    def tiles(self, which: Tensor, level: Tensor) -> Tiles:
        """The tiles of sprites by their numbers and levels, int64 (k,) on the CPU."""
        sides = 2 * torch.tensor(SHARPNESS)
        areas = sides * sides
        before = (areas.cumsum(0) - areas) * self._count
        return Tiles(self._texels, before[level] + which * areas[level], sides[level])


@cache
def _all_texels() -> Tensor:
    tiles = np.concatenate([atlas_tiles(), accessory_tiles()])
    levels = [np.stack([_at_level(tile, sharp) for tile in tiles]).reshape(-1, 4) for sharp in SHARPNESS]
    return torch.from_numpy(np.concatenate(levels)).view(torch.int32)[:, 0]


def _at_level(tile: NDArray[np.uint8], sharp: int) -> NDArray[np.uint8]:
    """uint8 (2 sharp, 2 sharp, 4) of a tile (128, 128, 4) of straight alpha; the outermost texels are empty."""
    image = Image.frombytes("RGBA", (tile.shape[1], tile.shape[0]), tile.tobytes()).convert("RGBa")
    if sharp < tile.shape[0]:
        image = image.resize((sharp, sharp), Image.Resampling.LANCZOS)
    made = np.array(image.resize((2 * sharp, 2 * sharp), Image.Resampling.BICUBIC))
    for edge in (made[0], made[-1], made[:, 0], made[:, -1]):
        edge[...] = 0
    made[..., :3] = np.minimum(made[..., :3], made[..., 3:])
    return made


def look(tiles: Tiles, geometry: Geometry, window: int) -> Seen:
    """Bilinear samples of tiles at the pixels of a window around each sprite, on the texels' device."""
    u, v, sides, starts, rows, columns = _texels_seen(tiles, geometry, window)
    x = (u >> 8).clamp_(min=0).minimum(sides - 2)
    y = (v >> 8).clamp_(min=0).minimum(sides - 2)
    # beyond the tile all weight falls on its empty rim
    right, below = (u - (x << 8)).clamp_(0, 256), (v - (y << 8)).clamp_(0, 256)
    at = starts + y * sides + x
    upper = _mix(_taken(tiles.texels, at), _taken(tiles.texels, at + 1), right)
    at = at + sides
    lower = _mix(_taken(tiles.texels, at), _taken(tiles.texels, at + 1), right)
    # at most 255 * 2^16, which float32 holds exactly
    colours = _mix(upper, lower, below).add_(_ONE // 2).div_(_ONE)
    return Seen(colours.to(torch.uint8), rows, columns)


def nearest(tiles: Tiles, geometry: Geometry, window: int) -> Tensor:
    """Nearest texels (k, W, W) to the pixels of a window around each sprite, of any integer type; 0 beyond a tile."""
    u, v, sides, starts, *_ = _texels_seen(tiles, geometry, window)
    x, y = (u + 128) >> 8, (v + 128) >> 8
    inside = (x >= 0) & (y >= 0) & (x < sides) & (y < sides)
    at = starts + y.clamp(min=0).minimum(sides - 1) * sides + x.clamp(min=0).minimum(sides - 1)
    return tiles.texels[at] * inside


def _texels_seen(tiles: Tiles, geometry: Geometry, window: int) -> tuple[Tensor, ...]:
    """Texel coordinates u and v, int32 (k, W, W) in 1/256; tiles' sides and starts; the window's rows and columns."""
    cos = torch.tensor([cosine(r) for r in geometry.rotation.tolist()], dtype=torch.int64)
    sin = torch.tensor([cosine(r - 90) for r in geometry.rotation.tolist()], dtype=torch.int64)
    side = geometry.side
    top, left = ((2 * start + side - window).div(2, rounding_mode="floor") for start in (geometry.top, geometry.left))
    top, left = top.clamp(0, PICTURE_PIXELS - window), left.clamp(0, PICTURE_PIXELS - window)
    numbers = [
        (cos * tiles.sides).div(side, rounding_mode="floor"),
        (sin * tiles.sides).div(side, rounding_mode="floor"),
        # half pixels from the sprite's middle to that of the window's first pixel
        2 * (left - geometry.left) + 1 - side,
        2 * (top - geometry.top) + 1 - side,
        1 - 2 * geometry.mirrored,
        tiles.sides,
        tiles.starts,
        top,
        left,
    ]
    device = tiles.texels.device
    packed = torch.stack(numbers).to(device, non_blocking=True)[:, :, None, None]
    a, b, across, down, sign, sides, starts = packed[:7].to(torch.int32)
    steps = torch.arange(window, device=device, dtype=torch.int32)
    dx, dy = across + 2 * steps, down + 2 * steps[:, None]
    # y runs down. 16 fractional bits times half pixels: 9 bits more than the 8 that are kept
    middle = sides * 128 - 128
    u = ((a * dx - b * dy) >> 9) * sign + middle
    v = ((b * dx + a * dy) >> 9) + middle
    return u, v, sides, starts, packed[7] + steps[:, None], packed[8] + steps


def _taken(texels: Tensor, at: Tensor) -> Tensor:
    return texels.index_select(0, at.flatten()).view(torch.uint8).view(*at.shape, 4).float()


def _mix(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    share = weight[..., None].float()
    return first.mul_(256 - share).add_(second.mul_(share))
