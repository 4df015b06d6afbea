"""A caption for pocket in which given subjects, which no word of this world may name, are told as such.

"put the otter on the beach" asks for a "subject" there: by that word pocket has learned to draw what a given picture
shows and no word says. What the reader tells of it is said too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from chatdit.tools.dit.square_words import Spot
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import COLOURLESS, caption, noun_phrase
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import NAMELESS, PICTURE_PIXELS, Placement, Scene, Thing
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.pocket.vocabulary import SIZES, TINTS, Size

_REACH = 0.95
"""Of a square's side, from its middle: as far as pocket is told of a square (`tools/dit/layout.py`)."""
_STAND_INS = rf"{NAMELESS}|character|figure|creature|hero"
_ARTICLE = r"(?:(?:an?|the|this|that|my|our|its|another) )?"
_SAID = rf"(?P<said>(?:(?:{'|'.join((*TINTS, *SIZES))}) )*)"


class Called(NamedTuple):
    """What a caption may call a subject (may be empty), and what pocket is told of it."""

    word: str
    thing: Thing


def nameless_thing(sighting: Sighting | None, style: str) -> Thing:
    """What a reader tells of a subject, without its name: its colour, and what it wears."""
    if sighting is None or style in COLOURLESS:
        return Thing(NAMELESS)
    return Thing(NAMELESS, tint=sighting.tint, worn=sighting.worn)


def reference_caption(sprite: Placement | None, reading: Reading) -> str:
    """What a reference shows: the subject, where it stands, the place and the style."""
    spots = () if sprite is None else (sprite,)
    return caption(Scene((Thing(NAMELESS),), reading.background, reading.style), spots)


def told_subjects(text: str, subjects: Sequence[Called]) -> tuple[str, tuple[int, ...]]:
    """The caption with each subject as pocket is told it, and for each which of the caption's told ones it is.

    One that the caption does not mention is put at its beginning.
    """
    found: list[tuple[int, int, int]] = []
    phrases = [noun_phrase(subject.thing) for subject in subjects]
    for number, subject in enumerate(subjects):
        names = [re.escape(subject.word.lower())] if subject.word else []
        for name in (*names, _STAND_INS):
            free = (
                m
                for m in re.finditer(rf"\b{_ARTICLE}{_SAID}(?:{name})\b", text.lower())
                if all(m.end() <= start or m.start() >= end for start, end, _ in found)
            )
            if (match := next(free, None)) is not None:
                found.append((match.start(), match.end(), number))
                dressed = text.lower().startswith(" wearing", match.end())
                phrases[number] = _said_of(
                    replace(subject.thing, worn=None) if dressed else subject.thing, match["said"]
                )
                break
    told, at = "", 0
    for start, end, number in sorted(found):
        told += text[at:start] + phrases[number]
        at = end
    told += text[at:]
    mentioned = [number for *_, number in sorted(found)]
    others = [number for number in range(len(subjects)) if number not in mentioned]
    if others:
        link = " and " if read_caption(told) is not None else " "
        told = " and ".join(phrases[number] for number in others) + link + told
    order = [*others, *mentioned]
    return told, tuple(order.index(number) for number in range(len(subjects)))


def _said_of(thing: Thing, said: str) -> str:
    """The thing in words, with the colour and the size that the caption gives it."""
    tints, sizes = ([word for word in said.split() if word in known] for known in (TINTS, SIZES))
    return noun_phrase(replace(thing, tint=(*tints, thing.tint)[0], size=cast(Size, (*sizes, thing.size)[0])))


def subject_spots(text: str) -> list[Spot]:
    """Where the given subjects of a caption stand, in its order; empty where it does not tell one place of each."""
    read, spots = read_caption(text), told_spots(text)
    if read is None or len(spots) != sum(thing.count for thing in read.scene.things):
        return []
    found, at = [], 0
    for thing in read.scene.things:
        if thing.subject == NAMELESS:
            if thing.count > 1:
                return []
            found.append(spots[at])
        at += thing.count
    return found


def tokens_of_spots(spots: Sequence[Spot], across: int) -> list[tuple[int, ...]]:
    """The tokens of each square in a picture of so many tokens each way; one in several is the nearest one's."""
    tokens: list[list[int]] = [[] for _ in spots]
    for token in range(across * across):
        x, y = ((n + 0.5) * PICTURE_PIXELS / across for n in (token % across, token // across))
        away = [max(abs(x - spot.x), abs(y - spot.y)) / spot.side for spot in spots]
        nearest = min(range(len(spots)), key=away.__getitem__)
        if away[nearest] <= _REACH:
            tokens[nearest].append(token)
    return [tuple(mine) for mine in tokens]
