"""Where sprites stand, as words of a caption: "a cat [x33y40] [s16r3] on the beach".

A caption leaves open where its subjects stand. A model that is told so need not settle it while it draws, each part
of a sprite for itself; what settles it is `composer`, or whoever asks. The words are those of a layout (as boxes with
phrases are for CreatiLayout, arXiv 2412.03859), in the caption itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement
from chatdit.tools.pocket.vocabulary import caption_vocabulary

CELL = 4
"""Pixels between the centres that have words, across and down."""
SIDE_STEP, TURN_STEP = 6, 6
"""Pixels of a side and degrees of an angle between two words."""
_CELLS, _SIDES, _TURNS = PICTURE_PIXELS // CELL, 40, 7
_CENTRE, _MEASURE = re.compile(r"\[x(\d+)y(\d+)\]"), re.compile(r"\[s(\d+)r(\d+)\]")


class Spot(NamedTuple):
    """A sprite's square as its words tell it: the centre and side in pixels, the angle in degrees."""

    x: float
    y: float
    side: int
    rotation: int


def spot_words(placement: Placement) -> str:
    """The two words of where a sprite stands: of its square's centre, and of its side and angle."""
    x, y = (min(_CELLS - 1, max(0, int(c // CELL))) for c in placement.centre)
    side = min(_SIDES - 1, round(placement.side / SIDE_STEP))
    turn = min(_TURNS - 1, max(0, round(placement.rotation / TURN_STEP) + _TURNS // 2))
    return f"[x{x}y{y}] [s{side}r{turn}]"


def told_spots(caption: str) -> list[Spot]:
    """The spots that a caption tells, in order."""
    centres, measures = _CENTRE.findall(caption), _MEASURE.findall(caption)
    return [
        Spot((int(x) + 0.5) * CELL, (int(y) + 0.5) * CELL, int(s) * SIDE_STEP, (int(r) - _TURNS // 2) * TURN_STEP)
        for (x, y), (s, r) in zip(centres, measures, strict=False)
    ]


def spot_vocabulary() -> tuple[str, ...]:
    """All words of spots, in a fixed order."""
    centres = (f"[x{x}y{y}]" for y in range(_CELLS) for x in range(_CELLS))
    return (*centres, *(f"[s{s}r{r}]" for s in range(_SIDES) for r in range(_TURNS)))


def text_vocabulary() -> tuple[str, ...]:
    """Every phrase of captions and every word of spots: what a text encoder is trained with."""
    return (*caption_vocabulary(), *spot_vocabulary())


def spot_shares(word: str) -> tuple[int, tuple[float, float]] | None:
    """Whether a word tells a centre (0) or a side and angle (1), and both its numbers as shares in [0, 1)."""
    for kind, (pattern, sizes) in enumerate(((_CENTRE, (_CELLS, _CELLS)), (_MEASURE, (_SIDES, _TURNS)))):
        if found := pattern.fullmatch(word):
            return kind, (int(found[1]) / sizes[0], int(found[2]) / sizes[1])
    return None
