"""Words of a caption that say where things stand: "a cat [133x160] [96r354] on the beach".

The cat's square has its middle at (133, 160) pixels, sides of 96 and is turned by -6 degrees, counterclockwise. Text
tokens of such words are coarse; `layout.py` tells the rest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PICTURE = 256
"""Pixels of the side of pictures whose squares have words."""
CELL, SIDE_STEP, TURN_STEP = 4, 6, 6
"""Pixels of a centre, pixels of a side and degrees of an angle between two text tokens."""
CELLS, SIDES, TURNS = PICTURE // CELL, 40, 7
_CENTRE, _MEASURE = re.compile(r"\[(\d+)x(\d+)\]"), re.compile(r"\[(\d+)r(\d+)\]")
_PANEL = re.compile(r"\[panel(\d+)\]")


class Spot(NamedTuple):
    """A sprite's square as its words tell it: the centre and side in pixels, the angle in whole degrees."""

    x: float
    y: float
    side: int
    rotation: int


class Told(NamedTuple):
    """A square in a caption: in which panel, counted from 0, and which word of the caption told it last."""

    panel: int
    spot: Spot
    word: int


def words_of(spot: Spot) -> str:
    """The two words of a square."""
    return f"[{max(0, round(spot.x))}x{max(0, round(spot.y))}] [{spot.side}r{spot.rotation % 360}]"


def squares_of(words: list[str]) -> list[Told]:
    """The squares that the words of a caption tell, in order."""
    found: list[Told] = []
    panel, centre = 0, None
    for at, word in enumerate(words):
        if tag := _PANEL.fullmatch(word):
            panel = int(tag[1]) - 1
        elif match := _CENTRE.fullmatch(word):
            centre = float(match[1]), float(match[2])
        elif (match := _MEASURE.fullmatch(word)) and centre is not None:
            turn = int(match[2]) % 360
            found.append(Told(panel, Spot(*centre, int(match[1]), turn - 360 if turn > 180 else turn), at))
            centre = None
    return found


def token_word(word: str) -> str:
    """The word that has a text token: a coarse one for words of squares, any other as it is."""
    if match := _CENTRE.fullmatch(word):
        x, y = (min(CELLS - 1, int(n) // CELL) for n in match.groups())
        return f"[x{x}y{y}]"
    if match := _MEASURE.fullmatch(word):
        turn = int(match[2]) % 360
        turn -= 360 * (turn > 180)
        step = min(TURNS - 1, max(0, round(turn / TURN_STEP) + TURNS // 2))
        return f"[s{min(SIDES - 1, round(int(match[1]) / SIDE_STEP))}r{step}]"
    return word
