"""Boxes with phrases as a scene of this world whose sprites stand in them, to the pixel.

Boxes are in fractions of the picture, placements in pixels of 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.scene import NAMELESS, PICTURE_PIXELS, Placement, Scene, Thing, check
from chatdit.tools.pocket.sprites import atlas_tiles
from chatdit.tools.pocket.vocabulary import PERSON, SUBJECTS
from chatdit.tools.pocket.wearing import worn_square
from chatdit.tools.types import Box, ToolError

LEAST_SIDE, MOST_SIDE = 40, 232
"""Pixels of a sprite's square that can be drawn."""
_ANY = (0.06, 0.06, 0.94, 0.94)
"""What a sprite that nobody knows covers of its square, more or less."""


@dataclass(frozen=True)
class Boxed:
    """What is asked of one box, as a thing of this world and where its sprite stands."""

    thing: Thing
    sprite: Placement


def boxed(phrase: str, box: Box, *, nameless: bool = False) -> Boxed:
    """The sprite of `phrase`, as large as the box holds, in its middle; with `nameless` a subject may have no name.

    Raises:
        ToolError: the phrase names no single subject of this world, or the box is too small for one.
    """
    read = read_caption(phrase)
    things = () if read is None else read.scene.things
    if len(things) != 1 or things[0].count != 1 or things[0].subject in (PERSON, *([] if nameless else [NAMELESS])):
        raise ToolError(f"{phrase!r} is no single subject that stands in a box: expected one such as 'a red cat'")
    thing = replace(things[0], size="medium", position=None)
    left, top, right, bottom = (round(v * PICTURE_PIXELS) for v in (box.x1, box.y1, box.x2, box.y2))
    sprite = Placement(thing.subject, thing.tint, 0, 0, 128, worn=thing.worn)
    x1, y1, x2, y2 = visible(sprite)
    side = int(128 * min((right - left) / (x2 - x1), (bottom - top) / (y2 - y1)))
    if side < LEAST_SIDE:
        raise ToolError(
            f"the box of {phrase!r} is {right - left}x{bottom - top} pixels of {PICTURE_PIXELS}: make it larger"
        )
    sprite = replace(sprite, side=min(side, MOST_SIDE))
    x1, y1, x2, y2 = visible(sprite)
    x, y = round((left + right - x1 - x2) / 2), round((top + bottom - y1 - y2) / 2)
    return Boxed(thing, replace(sprite, left=x, top=y))


def visible(sprite: Placement) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in pixels of what is seen of an upright sprite and of what it wears."""
    x1, y1, x2, y2 = _ANY if sprite.subject == NAMELESS else _contents()[SUBJECTS[sprite.subject].index]
    corners = ((x1, y1), (x2, y2))
    found = [(sprite.left + x * sprite.side, sprite.top + y * sprite.side) for x, y in corners]
    if sprite.worn is not None:
        left, top, side = worn_square(sprite)
        found += [(left, top), (left + side, top + side)]
    across, down = zip(*found, strict=True)
    return min(across), min(down), max(across), max(down)


def boxed_scene(boxes: Sequence[Boxed], background: str, style: str) -> tuple[Scene, list[Placement]]:
    """The scene of all boxes, like things as one, and the sprites in its order.

    Raises:
        ToolError: more kinds or more sprites than a picture of this world holds.
    """
    kinds = list(dict.fromkeys(entry.thing for entry in boxes))
    sprites = [[entry.sprite for entry in boxes if entry.thing == kind] for kind in kinds]
    things = tuple(replace(kind, count=len(mine)) for kind, mine in zip(kinds, sprites, strict=True))
    scene = Scene(things, background, style)
    if faults := check(scene):
        raise ToolError("; ".join(faults))
    return scene, [sprite for mine in sprites for sprite in mine]


@cache
def _contents() -> tuple[tuple[float, float, float, float], ...]:
    """For each subject the box of what its sprite covers, in fractions of its square."""
    found = []
    for tile in atlas_tiles():
        shape = tile[..., 3] > 40
        rows, columns = np.nonzero(shape.any(axis=1))[0], np.nonzero(shape.any(axis=0))[0]
        height, width = shape.shape
        found.append((columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height))
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in found)
