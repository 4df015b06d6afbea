"""Where sprites stand, as words of a caption: "a cat [133x160] [96r0] on the beach".

A caption leaves open where its subjects stand. A model that is told so need not settle it while it draws, each part
of a sprite for itself; what settles it is `composer`, or whoever asks. The words are those of a layout (as boxes with
phrases are for CreatiLayout, arXiv 2412.03859), in the caption itself; `tools/dit/square_words.py` reads them.
"""

from __future__ import annotations

import re

from chatdit.tools.dit.square_words import CELLS, SIDES, TURNS, Spot, squares_of, words_of
from chatdit.tools.pocket.scene import Placement
from chatdit.tools.pocket.vocabulary import caption_vocabulary

_CENTRE, _MEASURE = re.compile(r"\[x(\d+)y(\d+)\]"), re.compile(r"\[s(\d+)r(\d+)\]")
_WORD = re.compile(r"\[[^\]]+\]")


def spot_words(placement: Placement) -> str:
    """The two words of where a sprite stands: of its square's centre, and of its side and angle."""
    return words_of(Spot(*placement.centre, placement.side, placement.rotation))


def told_spots(caption: str) -> list[Spot]:
    """The spots that a caption tells, in order."""
    return [told.spot for told in squares_of(_WORD.findall(caption))]


def spot_vocabulary() -> tuple[str, ...]:
    """All coarse words of spots, which have text tokens, in a fixed order."""
    centres = (f"[x{x}y{y}]" for y in range(CELLS) for x in range(CELLS))
    return (*centres, *(f"[s{s}r{r}]" for s in range(SIDES) for r in range(TURNS)))


def text_vocabulary() -> tuple[str, ...]:
    """Every phrase of captions and every word of spots: what a text encoder is trained with."""
    return (*caption_vocabulary(), *spot_vocabulary())


def spot_shares(word: str) -> tuple[int, tuple[float, float]] | None:
    """Whether a coarse word tells a centre (0) or a side and angle (1), and both its numbers as shares in [0, 1)."""
    for kind, (pattern, sizes) in enumerate(((_CENTRE, (CELLS, CELLS)), (_MEASURE, (SIDES, TURNS)))):
        if found := pattern.fullmatch(word):
            return kind, (int(found[1]) / sizes[0], int(found[2]) / sizes[1])
    return None
