"""Settles where the subjects of a caption stand before it is drawn, by the seed: on the ground, unless they fly.

For models that were trained with words of spots. Who says where things stand is not overruled.
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
from chatdit.tools.pocket.scene import Placement, Scene, check
from chatdit.tools.pocket.spots import spot_words, told_spots
from chatdit.tools.pocket.wearing import bounds

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

Placer = Callable[[Scene, random.Random], tuple[Placement, ...]]
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


def settled(model: DiT, rows: Sequence[Row], place: Placer = grounded) -> list[Row]:
    """The rows as `model` is to draw them: composed if it knows the words of spots, else as they are."""
    knows = not model.defaults.open_vocabulary and not model.unknown_words(spot_words(Placement("", None, 0, 0, 64)))
    return [composed(row, place) for row in rows] if knows else list(rows)


def composed(row: Row, place: Placer = grounded) -> Row:
    """The row with spots in its caption, for every panel that is to be drawn and whose words ask for a scene."""
    if row.trajectory != "generate":
        return row
    tags = _PANEL.findall(row.caption)
    texts = [text.strip() for text in _PANEL.split(row.caption)[:: 2 if tags else 1]]
    texts = texts[1:] if tags else texts
    drawn = [not segment.wholly_known for segment in row.segments] if len(row.segments) == len(texts) else []
    told = [compose(t, f"{row.seed}-{i}", place) if i < len(drawn) and drawn[i] else t for i, t in enumerate(texts)]
    return replace(row, caption=" ".join(f"{tag} {t}" for tag, t in zip(tags, told, strict=True)) if tags else told[0])


def compose(caption: str, seed: str, place: Placer = grounded) -> str:
    """One picture's caption with the spots of its sprites; as it is where it tells some, or asks for no scene."""
    read = read_caption(caption)
    if read is None or told_spots(caption) or check(read.scene):
        return caption
    return read.with_spots(caption, place(read.scene, random.Random(seed)))


def _upright(sprites: Sequence[Placement], floats: Sequence[bool]) -> tuple[Placement, ...]:
    return tuple(s if floating else replace(s, rotation=0) for s, floating in zip(sprites, floats, strict=True))


def in_the_air(sprites: Sequence[Placement], floats: Sequence[bool]) -> float:
    """By how many pixels, in all, sprites miss the ground."""
    feet = [bounds(sprite)[3] for sprite, floating in zip(sprites, floats, strict=True) if not floating]
    return sum(max(0.0, abs(foot - GROUND) - _SLACK) for foot in feet)
