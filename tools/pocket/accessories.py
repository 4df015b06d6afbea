"""What subjects can wear: small drawings in white and grey, to be dyed, and where they sit.

A drawing fills a tile of 128 x 128; what is worn on top stands on the middle of the tile's lower edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chatdit.tools.pocket.vocabulary import ACCESSORIES

TILE_PIXELS = 128
_SCALE = 4
_SIDE = TILE_PIXELS * _SCALE
_WHITE, _LIGHT, _MIDDLE, _DARK = ((v, v, v, 255) for v in (225, 185, 150, 90))
WIDTHS: Mapping[str, float] = {
    "top hat": 1.5,
    "party hat": 1.1,
    "bow": 1.2,
    "flower": 0.9,
    "halo": 1.5,
    "badge": 0.0,
}
"""Side of each drawing, in widths of what it stands on; a badge sits in the middle of its wearer instead."""
SINKS: Mapping[str, float] = {"top hat": 0.16, "party hat": 0.14, "bow": 0.26, "flower": 0.34, "halo": 0.1}
"""How deep each stands in its wearer, in its own sides."""


@cache
def accessory_tiles() -> NDArray[np.uint8]:
    """uint8 (n, 128, 128, 4), straight alpha, in `ACCESSORIES`' order."""
    return np.stack([_drawn(_PAINTERS[name]) for name in ACCESSORIES])


def _drawn(paint: Callable[[ImageDraw.ImageDraw], None]) -> NDArray[np.uint8]:
    canvas = Image.new("RGBA", (_SIDE, _SIDE))
    paint(ImageDraw.Draw(canvas))
    # premultiplied while it shrinks, so that edges keep their colour
    small = canvas.convert("RGBa").resize((TILE_PIXELS, TILE_PIXELS), Image.Resampling.BOX)
    return np.array(small.convert("RGBA"))


def _box(*fractions: float) -> list[float]:
    return [f * _SIDE for f in fractions]


def _points(*fractions: tuple[float, float]) -> list[tuple[float, float]]:
    return [(x * _SIDE, y * _SIDE) for x, y in fractions]


def _top_hat(draw: ImageDraw.ImageDraw) -> None:
    draw.rounded_rectangle(_box(0.22, 0.22, 0.78, 0.9), 0.06 * _SIDE, fill=_MIDDLE)
    draw.rectangle(_box(0.22, 0.68, 0.78, 0.82), fill=_DARK)
    draw.rounded_rectangle(_box(0.04, 0.82, 0.96, 0.95), 0.06 * _SIDE, fill=_MIDDLE)


def _party_hat(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon(_points((0.5, 0.12), (0.16, 0.95), (0.84, 0.95)), fill=_MIDDLE)
    for x, y in ((0.5, 0.45), (0.38, 0.68), (0.62, 0.7), (0.3, 0.88), (0.52, 0.88), (0.7, 0.9)):
        draw.ellipse(_box(x - 0.05, y - 0.05, x + 0.05, y + 0.05), fill=_WHITE)
    draw.ellipse(_box(0.4, 0.03, 0.6, 0.23), fill=_WHITE)


def _bow(draw: ImageDraw.ImageDraw) -> None:
    for side in (-1, 1):
        draw.polygon(_points((0.5, 0.7), (0.5 + side * 0.44, 0.46), (0.5 + side * 0.44, 0.94)), fill=_MIDDLE)
        draw.polygon(_points((0.5, 0.7), (0.5 + side * 0.36, 0.62), (0.5 + side * 0.36, 0.78)), fill=_DARK)
    draw.rounded_rectangle(_box(0.41, 0.58, 0.59, 0.82), 0.06 * _SIDE, fill=_LIGHT)


def _flower(draw: ImageDraw.ImageDraw) -> None:
    for turn in range(5):
        angle = math.tau * turn / 5 - math.pi / 2
        x, y = 0.5 + 0.24 * math.cos(angle), 0.55 + 0.24 * math.sin(angle)
        draw.ellipse(_box(x - 0.19, y - 0.19, x + 0.19, y + 0.19), fill=_MIDDLE)
    draw.ellipse(_box(0.35, 0.4, 0.65, 0.7), fill=_WHITE)


def _halo(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse(_box(0.06, 0.5, 0.94, 0.82), outline=_LIGHT, width=round(0.09 * _SIDE))


def _badge(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse(_box(0.06, 0.06, 0.94, 0.94), fill=_WHITE)
    draw.ellipse(_box(0.14, 0.14, 0.86, 0.86), fill=_MIDDLE)
    star = [
        (0.5 + r * math.sin(math.tau * i / 10), 0.5 - r * math.cos(math.tau * i / 10))
        for i, r in enumerate([0.3, 0.13] * 5)
    ]
    draw.polygon(_points(*star), fill=_WHITE)


_PAINTERS: Mapping[str, Callable[[ImageDraw.ImageDraw], None]] = {
    "top hat": _top_hat,
    "party hat": _party_hat,
    "bow": _bow,
    "flower": _flower,
    "halo": _halo,
    "badge": _badge,
}
