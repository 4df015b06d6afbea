"""Where an accessory sits on its wearer, found from the outline of the wearer's sprite."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from chatdit.tools.pocket.accessories import SINKS, WIDTHS
from chatdit.tools.pocket.scene import Placement
from chatdit.tools.pocket.sprites import atlas_tiles
from chatdit.tools.pocket.tile_bank import cosine, reach
from chatdit.tools.pocket.vocabulary import PERSON, SUBJECTS

_UNITS = 128
_PERSON_TOP = (64, 9, 27)
_NAMELESS_TOP = (64, 5, 52)
"""The median of all sprites."""
_BADGE_UNITS = 30
_SYMMETRIC = 0.86


def worn_square(wearer: Placement) -> tuple[int, int, int]:
    """Left, top and side in pixels of the square of what `wearer` wears, to be turned as far as the wearer.

    Raises:
        ValueError: it wears nothing.
    """
    if wearer.worn is None:
        raise ValueError(f"the {wearer.subject} wears nothing: expected something worn")
    x, y, units = _seat(wearer, wearer.worn.kind)
    x = -x if wearer.variant % 2 else x
    cos, sin = cosine(wearer.rotation), cosine(wearer.rotation - 90)
    side = max(8, wearer.side * units // _UNITS)
    # the seat turns about the wearer's middle, counterclockwise while y runs down
    across, down = (x * cos + y * sin) * wearer.side, (y * cos - x * sin) * wearer.side
    left, top = (
        (2 * start + wearer.side - side + 2 * (way // _UNITS >> 16)) // 2
        for start, way in ((wearer.left, across), (wearer.top, down))
    )
    return left, top, side


def bounds(sprite: Placement) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels of the upright box around a sprite and what it wears."""
    squares = [(sprite.left, sprite.top, sprite.side)] + ([worn_square(sprite)] if sprite.worn else [])
    boxes = [_upright(*square, sprite.rotation) for square in squares]
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)


def _upright(left: int, top: int, side: int, rotation: int) -> tuple[int, int, int, int]:
    more = (reach(side, rotation) - side + 1) // 2
    return left - more, top - more, left + side + more, top + side + more


def _seat(wearer: Placement, kind: str) -> tuple[int, int, int]:
    """Where the accessory's middle is, from the wearer's middle, and its side, in 1/128 of the wearer's side.

    One whom no word names wears it as most do.
    """
    known = SUBJECTS.get(wearer.subject)
    if kind == "badge":
        x, y = (64, 58) if known is None else _middles()[known.index]
        return x - _UNITS // 2, y - _UNITS // 2, _BADGE_UNITS if wearer.subject != PERSON else 12
    unnamed = _PERSON_TOP if wearer.subject == PERSON else _NAMELESS_TOP
    x, y, width = unnamed if known is None else _tops()[known.index]
    side = round(width * WIDTHS[kind])
    return x - _UNITS // 2, y + round(SINKS[kind] * side) - side // 2 - _UNITS // 2, side


@cache
def _tops() -> tuple[tuple[int, int, int], ...]:
    """For each subject x and y of its highest point, and how wide it is a little below."""
    return tuple(_top(tile[..., 3] > 127) for tile in atlas_tiles())


@cache
def _middles() -> tuple[tuple[int, int], ...]:
    """For each subject x and y of the middle of what it covers."""
    points = [np.nonzero(tile[..., 3] > 127) for tile in atlas_tiles()]
    return tuple((int(columns.sum()) // len(columns), int(rows.sum()) // len(rows)) for rows, columns in points)


def _top(shape: NDArray[np.bool_]) -> tuple[int, int, int]:
    mirrored = shape[:, ::-1]
    if (shape & mirrored).sum() > _SYMMETRIC * (shape | mirrored).sum():
        # a face or the like: in the middle, between its ears
        x = shape.shape[1] // 2
        y = int(np.flatnonzero(shape[:, x - 3 : x + 3].all(axis=1))[0])
    else:
        y = int(np.flatnonzero(shape.sum(axis=1) >= 4)[0])
        columns = np.flatnonzero(shape[y : y + 7].any(axis=0))
        x = int(columns[len(columns) // 2])
    row = shape[min(y + 16, len(shape) - 1)]
    left = right = x
    while left > 0 and row[left - 1]:
        left -= 1
    while right < len(row) - 1 and row[right + 1]:
        right += 1
    return x, y, max(28, min(60, right - left))
