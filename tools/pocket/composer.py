"""Settles where the subjects of a caption stand before it is drawn, by the seed: on the ground, unless they fly.

For models that were trained with words of spots. Who says where things stand is not overruled. Of a given picture a
reader can tell it: what is copied from there is then copied from known places.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatdit.tools.dit.rows import Row
from chatdit.tools.pocket import world
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.scene import NAMELESS, Placement, Scene, check
from chatdit.tools.pocket.spots import spot_words, told_spots
from chatdit.tools.pocket.wearing import bounds

if TYPE_CHECKING:
    from torch import Tensor

    from chatdit.tools.dit.model import DiT

Placer = Callable[[Scene, random.Random], tuple[Placement, ...]]
Look = Callable[["Tensor"], Sequence[Placement]]
"""The sprites of a picture (3, H, W) in [-1, 1], the surest first."""
AIRBORNE = frozenset((
    *("bee", "ladybug", "butterfly", "eagle", "bat", "owl", "parrot", "rocket", "helicopter", "airplane", "balloon"),
    *("kite", "parachute", "flying saucer", "feather", "ghost", "explosion", "droplet", "rainbow", "moon", "sun"),
    "star",
))  # fmt: skip
"""Subjects that need no ground."""
GROUNDLESS = frozenset({"underwater", "sky", "space"})
"""Places where nothing does."""
GROUND = 230
"""Pixels from the top where what stands has its feet, more or less."""
_SLACK, _TRIES = 16, 24
_PANEL = re.compile(r"(\[panel\d+\])")


def grounded(scene: Scene, rng: random.Random) -> tuple[Placement, ...]:
    """Where each sprite stands: of several ways the world could have it, that which leaves the least in the air."""
    floats = [scene.background in GROUNDLESS or t.subject in AIRBORNE for t in scene.things for _ in range(t.count)]
    ways = [_upright(world.place(scene, rng), floats) for _ in range(1 if all(floats) else _TRIES)]
    return min(ways, key=lambda sprites: in_the_air(sprites, floats))


def unseen(picture: Tensor) -> tuple[Placement, ...]:
    """Of who cannot look: nothing."""
    return ()


def settled(model: DiT, rows: Sequence[Row], place: Placer = grounded, look: Look = unseen) -> list[Row]:
    """The rows as `model` is to draw them: composed if it knows the words of spots, else as they are."""
    knows = not model.defaults.open_vocabulary and not model.unknown_words(spot_words(Placement("", None, 0, 0, 64)))
    return [composed(row, place, look) for row in rows] if knows else list(rows)


def composed(row: Row, place: Placer = grounded, look: Look = unseen) -> Row:
    """The row with spots in its caption, for every panel whose words ask for a scene.

    What is to be drawn is placed, what a given picture shows is looked up there.
    """
    if row.trajectory != "generate":
        return row
    tags = _PANEL.findall(row.caption)
    texts = [text.strip() for text in _PANEL.split(row.caption)[:: 2 if tags else 1]]
    texts = texts[1:] if tags else texts
    if len(texts) != len(row.segments):
        return row
    told = [
        seen(text, look(segment.known))
        if segment.wholly_known and segment.known is not None
        else compose(text, f"{row.seed}-{i}", place)
        for i, (text, segment) in enumerate(zip(texts, row.segments, strict=True))
    ]
    return replace(row, caption=" ".join(f"{tag} {t}" for tag, t in zip(tags, told, strict=True)) if tags else told[0])


def compose(caption: str, seed: str, place: Placer = grounded) -> str:
    """One picture's caption with the spots of its sprites; as it is where it tells some, or asks for no scene."""
    read = read_caption(caption)
    if read is None or told_spots(caption) or check(read.scene):
        return caption
    return read.with_spots(caption, place(read.scene, random.Random(seed)))


def seen(caption: str, sprites: Sequence[Placement]) -> str:
    """A given picture's caption with the spots of those of its sprites that the caption tells of.

    As it is where it tells some, or where one of its things is not among the sprites.
    """
    read = read_caption(caption)
    if read is None or told_spots(caption):
        return caption
    left, found = list(sprites), dict[int, Placement]()
    wanted = [thing.subject for thing in read.scene.things for _ in range(thing.count)]
    for at in sorted(range(len(wanted)), key=lambda at: wanted[at] == NAMELESS):
        sprite = next((s for s in left if wanted[at] in (s.subject, NAMELESS)), None)
        if sprite is None:
            return caption
        left.remove(sprite)
        found[at] = sprite
    return read.with_spots(caption, [found[at] for at in range(len(wanted))])


def _upright(sprites: Sequence[Placement], floats: Sequence[bool]) -> tuple[Placement, ...]:
    return tuple(s if floating else replace(s, rotation=0) for s, floating in zip(sprites, floats, strict=True))


def in_the_air(sprites: Sequence[Placement], floats: Sequence[bool]) -> float:
    """By how many pixels, in all, sprites miss the ground."""
    feet = [bounds(sprite)[3] for sprite, floating in zip(sprites, floats, strict=True) if not floating]
    return sum(max(0.0, abs(foot - GROUND) - _SLACK) for foot in feet)
