"""Captions read back: which scene a sentence of this world asks for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import NamedTuple

from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket.captions import POSITION_PHRASES
from chatdit.tools.pocket.figures import random_outfit
from chatdit.tools.pocket.scene import NAMELESS, RELATIONS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.spots import spot_words
from chatdit.tools.pocket.vocabulary import (
    ACCESSORIES,
    BACKGROUNDS,
    BOTTOMS,
    COUNT_WORDS,
    EDIT_WORDS,
    GARMENT_TEXTURES,
    PERSON,
    SIZES,
    STYLES,
    SUBJECTS,
    TINTS,
    TOPS,
    caption_vocabulary,
    find_subject,
    find_tint,
)

DEFAULT_BACKGROUND = "meadow"
_INSTRUCTING = frozenset(EDIT_WORDS) - {"by", "same"}
_COUNTS: Mapping[str, int] = {word: count for count, word in COUNT_WORDS.items()}


class ReadCaption(NamedTuple):
    """A scene, and behind which letter of the caption each of its things has been told."""

    scene: Scene
    ends: tuple[int, ...]

    def with_spots(self, caption: str, sprites: Sequence[Placement]) -> str:
        """The caption with where each of the scene's sprites stands, behind what it is called."""
        words, told, at = iter([spot_words(sprite) for sprite in sprites]), "", 0
        for thing, end in zip(self.scene.things, self.ends, strict=True):
            told += " ".join([caption[at:end], *islice(words, thing.count)])
            at = end
        return told + caption[at:]


@dataclass
class _Reading:
    things: list[Thing] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    pending: Thing = field(default_factory=lambda: Thing(NAMELESS))
    relation: str | None = None
    background: str = DEFAULT_BACKGROUND
    style: str = "plain"
    wearing: bool = False

    def take(self, phrase: str, end: int) -> None:
        """The next phrase, which ends at letter `end`."""
        kind, value = _meanings().get(phrase, ("", ""))
        if self.wearing and phrase in (*TOPS, *BOTTOMS):
            kind = "garment"
        if kind == "subject":
            outfit = random_outfit(random.Random(0)) if value == PERSON else None
            self.things.append(replace(self.pending, subject=value, outfit=outfit))
            self.ends.append(end)
        elif kind in ("worn", "garment") and self.things:
            self.ends[-1] = end
            if kind == "worn":
                worn = Worn(value, self.pending.tint or next(iter(TINTS)))
                self.things[-1] = replace(self.things[-1], worn=worn)
        elif kind in ("count", "size", "tint"):
            self.pending = replace(self.pending, **{kind: _COUNTS.get(value, value)})  # type: ignore[arg-type]
            return
        elif kind == "position" and self.things:
            self.things[0] = replace(self.things[0], position=value)  # type: ignore[arg-type]
        elif kind in ("relation", "background", "style"):
            setattr(self, kind, value)
        elif not kind:
            return
        self.wearing = kind in ("wearing", "worn", "garment", "texture")
        self.pending = Thing(NAMELESS)


def read_caption(caption: str) -> ReadCaption | None:
    """The scene of one picture's caption; None for an instruction and where no subject is named.

    What it leaves open is as `Scene` and `Thing` have it; a person's clothes, which have no say in where it stands, are
    anyone's. Words that are none of this world's are passed over.
    """
    phrases, reading = caption_vocabulary(), _Reading()
    for number, span in _tokenizer().phrases(caption):
        phrase = phrases[number - 1] if number else ""
        if phrase in _INSTRUCTING:
            return None
        reading.take(phrase, span.stop)
    things = tuple(reading.things)
    if not things:
        return None
    relation = reading.relation if len(things) == 2 and all(t.count == 1 for t in things) else None
    scene = Scene(things, reading.background, reading.style, relation)  # type: ignore[arg-type]
    return ReadCaption(scene, tuple(reading.ends))


@cache
def _tokenizer() -> PhraseTokenizer:
    return PhraseTokenizer(caption_vocabulary(), 96)


@cache
def _meanings() -> Mapping[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for phrase in caption_vocabulary():
        if (subject := find_subject(phrase)) is not None:
            found[phrase] = "subject", subject
        elif (tint := find_tint(phrase)) is not None:
            found[phrase] = "tint", tint
    found |= {PERSON: ("subject", PERSON), NAMELESS: ("subject", NAMELESS), f"{NAMELESS}s": ("subject", NAMELESS)}
    found |= {s.plural: ("subject", name) for name, s in SUBJECTS.items()}
    found |= {word: ("garment", word) for word in (*TOPS, *BOTTOMS) if word not in found}
    found |= {word: ("texture", word) for word in GARMENT_TEXTURES} | {"wearing": ("wearing", "")}
    found |= {word: ("worn", word) for word in ACCESSORIES if word not in found}
    found |= {word: ("size", word) for word in SIZES} | {word: ("count", word) for word in COUNT_WORDS.values()}
    found |= {b.phrase: ("background", name) for name, b in BACKGROUNDS.items()}
    found |= {f"{name} style": ("style", name) for name in STYLES} | {word: ("relation", word) for word in RELATIONS}
    found |= {phrase: ("position", name) for name, phrase in POSITION_PHRASES.items()}
    return found
