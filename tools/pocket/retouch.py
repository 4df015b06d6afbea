"""Edits in place: from what a picture shows and what it shall show to where it is painted anew, and by which words.

What need not change is left where it stands and told so; only the squares of what does are painted. Where an earlier
version of the picture shows what is wanted now, its pixels come back instead, so that edits of edits lose nothing.
Pixels throughout.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from chatdit.tools.pocket import world
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import COLOURLESS
from chatdit.tools.pocket.closer_look import placed
from chatdit.tools.pocket.composer import AIRBORNE, GROUNDLESS, grounded, in_the_air
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Position, Scene, Thing, check
from chatdit.tools.pocket.wearing import bounds

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom."""
WHOLE: PixelBox = (0, 0, PICTURE_PIXELS, PICTURE_PIXELS)
MARGIN = 6
"""Pixels around what changes, for its soft edge."""
_TRIES, _LEAST_SIDE = 24, 40
_ASIDE = 40
_SLACK = 12
"""Pixels that a side may be off what its word means, as a reader tells it."""
_STILL, _STILL_TURN = 8, 9
"""Pixels and degrees by which one sprite is read differently in two pictures."""


class Restored(NamedTuple):
    """A square that gets the pixels of an earlier version."""

    box: PixelBox
    version: int


class Retouch(NamedTuple):
    """How a picture becomes another: the caption with every sprite's spot, what is painted anew and what comes back."""

    caption: str
    repaint: tuple[PixelBox, ...] | None
    """None for the whole picture, whose sprites stay where they are."""
    restored: tuple[Restored, ...] = ()
    base: int | None = None
    """The earlier version that is begun with; None for the picture itself."""


def retouch(
    reading: Reading,
    caption: str,
    rng: random.Random,
    earlier: Sequence[Reading] = (),
    *,
    upright: bool = False,
    room: PixelBox = WHOLE,
) -> Retouch | None:
    """How the picture that `reading` tells of comes to show `caption`; None where that is no scene of this world.

    A sprite of another look, subject or size keeps its spot; one that is not wanted goes, and one that is new finds
    room. A caption of another place or style paints the whole picture, unless a version among `earlier` (oldest first)
    had them. With `upright` nothing stays turned. What is new finds room inside of `room`.
    """
    read = read_caption(caption)
    if read is None or check(read.scene):
        return None
    scene = read.scene
    before, *versions = (_sprites(r) for r in (reading, *earlier))
    alike = [v for v, r in enumerate(earlier) if (r.background, r.style) == (scene.background, scene.style)]
    colours = scene.style not in COLOURLESS
    once = [s for v in alike for s in versions[v]]
    after = _stood(scene, before, once, colours=colours, rng=rng, room=room)
    if upright:
        after = tuple(replace(sprite, rotation=0) for sprite in after)
    told = read.with_spots(caption, after)
    base = None
    if (scene.background, scene.style) != (reading.background, reading.style):
        if not alike:
            return Retouch(told, None)
        base = alike[0]
        before = versions[base]
    changed = [*_missing(before, after, colours), *_missing(after, before, colours)]
    restored: list[Restored] = []
    repaint: list[PixelBox] = []
    for sprite in changed:
        room = _around(sprite, 2 * MARGIN)  # all that was painted before, wherever its box was read then
        version = next((v for v in alike if v != base and _as_wanted(room, versions[v], after, colours)), None)
        if version is None:
            repaint.append(_around(sprite))
        else:
            restored.append(Restored(room, version))
    return Retouch(told, tuple(dict.fromkeys(repaint)), tuple(dict.fromkeys(restored)), base)


def _sprites(reading: Reading) -> list[Placement]:
    return [replace(placed(s), worn=s.worn) for s in reading.sightings]


def _missing(sprites: Sequence[Placement], others: Sequence[Placement], colours: bool) -> list[Placement]:
    """Those that are not among `others`."""
    return [s for s in sprites if not any(_still(s, other, colours) for other in others)]


def _still(one: Placement, other: Placement, colours: bool) -> bool:
    """Whether both are one sprite on one spot, as far as a reader can tell."""
    far = max(abs(a - b) for a, b in zip((*one.centre, one.side), (*other.centre, other.side), strict=True))
    turn = abs((one.rotation - other.rotation + 180) % 360 - 180)
    looks = not colours or (one.tint, one.worn) == (other.tint, other.worn)
    return one.subject == other.subject and looks and far <= _STILL and turn <= _STILL_TURN


def _as_wanted(box: PixelBox, version: Sequence[Placement], after: Sequence[Placement], colours: bool) -> bool:
    """Whether an earlier version shows in `box` just what is wanted there."""
    then, now = ([s for s in sprites if _overlap(box, bounds(s))] for sprites in (version, after))
    return not _missing(then, now, colours) and not _missing(now, then, colours)


def _overlap(one: PixelBox, other: PixelBox) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _stood(
    scene: Scene,
    before: Sequence[Placement],
    once: Sequence[Placement],
    *,
    colours: bool,
    rng: random.Random,
    room: PixelBox,
) -> tuple[Placement, ...]:
    """Where the scene's sprites stand, in its order: those of before as they were, as far as they may.

    What comes back stands where it stood `once`, if there is room.
    """
    wanted = [thing for thing in scene.things for _ in range(thing.count)]
    found = _matched(wanted, before, colours=colours)
    after: list[Placement | None] = [
        None if sprite is None else _kept(thing, sprite, one=_one(thing, wanted, before), colours=colours, rng=rng)
        for thing, sprite in zip(wanted, found, strict=True)
    ]
    fresh = grounded(scene, rng)
    for at, sprite in enumerate(after):
        if sprite is None:
            others = [s for s in after if s is not None]
            back = _back(wanted[at], once, others, colours=colours)
            after[at] = back or _new(fresh[at], others, scene, rng, room)
    stood = tuple(sprite for sprite in after if sprite is not None)
    return stood if len(stood) == len(wanted) and _in_relation(scene, stood) else fresh


def _matched(wanted: Sequence[Thing], before: Sequence[Placement], *, colours: bool) -> list[Placement | None]:
    """For each thing the sprite that it was: the one of its look, else of its kind, else one that nobody wants."""
    found: list[Placement | None] = [None] * len(wanted)
    left = list(before)
    for alike in (
        lambda thing, sprite: _same(thing, sprite, colours=colours),
        lambda thing, sprite: thing.subject == sprite.subject,
        lambda thing, sprite: len(wanted) == len(before),
    ):
        for at, thing in enumerate(wanted):
            sprite = next((s for s in left if alike(thing, s)), None) if found[at] is None else None
            if sprite is not None:
                found[at] = sprite
                left.remove(sprite)
    return found


def _same(thing: Thing, sprite: Placement, *, colours: bool) -> bool:
    looks = (thing.tint, thing.worn) == (sprite.tint, sprite.worn)
    return thing.subject == sprite.subject and (looks or not colours)


def _one(thing: Thing, wanted: Sequence[Thing], before: Sequence[Placement]) -> bool:
    """Whether the thing is alone, and so has a size; what was left alone keeps its own unless another is named."""
    return len(wanted) == 1 and (len(before) == 1 or thing.size != "medium" or thing.position is not None)


def _kept(thing: Thing, sprite: Placement, *, one: bool, colours: bool, rng: random.Random) -> Placement:
    """The sprite on its spot, as `thing` looks; another size or position moves it."""
    if not _same(thing, sprite, colours=colours):
        sprite = replace(sprite, subject=thing.subject, tint=thing.tint, worn=thing.worn)
    low, high = world.SIDES[thing.size]
    if one and not low - _SLACK <= sprite.side <= high + _SLACK:
        side = rng.randint(low, high)
        left = round(sprite.left + (sprite.side - side) / 2)
        sprite = _inside(replace(sprite, left=left, top=sprite.top + sprite.side - side, side=side))
    if one and thing.position is not None and not _is_at(thing.position, sprite):
        (moved,) = world.place(Scene((thing,), "studio"), rng)
        across, down = (round(c - sprite.side / 2) for c in moved.centre)
        sideways = thing.position in ("left", "right")
        sprite = replace(sprite, left=across, top=sprite.top if sideways else down)
    return _inside(sprite)


def _back(thing: Thing, once: Sequence[Placement], others: Sequence[Placement], *, colours: bool) -> Placement | None:
    """The sprite as it stood in an earlier version, if it did and there is room."""
    alike = (s for s in once if _same(thing, s, colours=colours))
    return next((s for s in alike if not any(world.touch(s, other) for other in others)), None)


def _new(
    fresh: Placement, others: Sequence[Placement], scene: Scene, rng: random.Random, room: PixelBox
) -> Placement | None:
    """One more sprite where there is room; smaller when there is little."""
    least = min(_LEAST_SIDE, round(0.8 * min(room[2] - room[0], room[3] - room[1])))
    side = fresh.side
    while side >= least:
        upright = replace(fresh, rotation=0, side=side)
        spots = [spot for _ in range(_TRIES) if (spot := _free(upright, others, rng, room)) is not None]
        if spots:
            floats = [scene.background in GROUNDLESS or fresh.subject in AIRBORNE]
            return min(spots, key=lambda spot: in_the_air([spot], floats))
        side = math.floor(0.9 * side)
    return None


def _free(sprite: Placement, others: Sequence[Placement], rng: random.Random, room: PixelBox) -> Placement | None:
    """The sprite somewhere in the room, if it does not stand in another's way there."""
    left, top, right, bottom = bounds(replace(sprite, left=0, top=0))
    across, down = (room[0] - left, room[2] - right), (room[1] - top, room[3] - bottom)
    if across[0] > across[1] or down[0] > down[1]:
        return None
    moved = replace(sprite, left=rng.randint(*across), top=rng.randint(*down))
    return None if any(world.touch(moved, other) for other in others) else moved


def _inside(sprite: Placement) -> Placement:
    """The sprite moved into the picture, with what it wears."""
    left, top, right, bottom = bounds(sprite)
    across = max(0, -left) - max(0, right - PICTURE_PIXELS)
    down = max(0, -top) - max(0, bottom - PICTURE_PIXELS)
    return replace(sprite, left=sprite.left + across, top=sprite.top + down)


def _is_at(position: Position, sprite: Placement) -> bool:
    x, y = sprite.centre
    middle = PICTURE_PIXELS / 2
    if position == "middle":
        return abs(x - middle) < _ASIDE and abs(y - middle) < _ASIDE
    return {"left": middle - x, "right": x - middle, "top": middle - y, "bottom": y - middle}[position] > 0


def _in_relation(scene: Scene, sprites: Sequence[Placement]) -> bool:
    if scene.relation is None:
        return True
    (x1, y1), (x2, y2) = (sprite.centre for sprite in sprites)
    return {"left of": x2 - x1, "right of": x1 - x2, "above": y2 - y1, "below": y1 - y2}[scene.relation] > 0


def _around(sprite: Placement, margin: int = MARGIN) -> PixelBox:
    left, top, right, bottom = bounds(sprite)
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(PICTURE_PIXELS, right + margin),
        min(PICTURE_PIXELS, bottom + margin),
    )
