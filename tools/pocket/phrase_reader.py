"""Phrases that name things in a picture, read: "the red cat on the left", "the fox and two dogs", "the cat's hat".

Nothing here looks at a picture; `tools/pocket/pointing.py` finds what is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from chatdit.tools.pocket.scene import Position, RelationKind
from chatdit.tools.pocket.vocabulary import (
    ACCESSORIES,
    COUNT_WORDS,
    PERSON,
    SUBJECTS,
    TINT_SYNONYMS,
    TINTS,
    Size,
)

Kind = Literal[
    "subject", "any", "tint", "place", "size", "worn", "wearing", "bare", "owner", "owned", "relation", "and", "number"
]


@dataclass(frozen=True)
class Named:
    """One noun of a phrase: what it says of the things that it names, and whether it names several."""

    subject: str | None = None
    """None for a thing of any kind."""
    tint: str | None = None
    places: tuple[Position, ...] = ()
    size: Size | None = None
    several: bool = False
    wears: tuple[str, ...] = ()
    """It wears one of these, or, if `bare`, none of them."""
    wears_tint: str | None = None
    bare: bool = False
    part: tuple[str, ...] = ()
    """Not the thing is named but which of these it wears."""
    beside: tuple[RelationKind, Named] | None = None
    """How it stands to another thing."""


class ReadPhrase(NamedTuple):
    """What a phrase names, and the words of it that say nothing here."""

    named: tuple[Named, ...]
    unknown: tuple[str, ...]


def read_phrase(phrase: str) -> ReadPhrase:
    """What `phrase` names; articles and words like "is" are passed over."""
    reader = _Reader()
    for word, meaning in _meanings(phrase):
        reader.take(word, meaning)
    return reader.read()


class _Meaning(NamedTuple):
    kind: Kind
    value: str = ""
    several: bool = False


class _Reader:
    """Takes word by word; `_open` is what has been said of a noun that is still to come."""

    def __init__(self) -> None:
        self._done: list[Named] = []
        self._unknown: list[str] = []
        self._noun: Named | None = None
        self._open = Named()
        self._link: Literal["", "wearing", "bare", "owner", "owned"] = ""
        self._relation: tuple[RelationKind, Named] | None = None

    def take(self, word: str, meaning: _Meaning | None) -> None:
        if meaning is None:
            self._unknown.append(word)
        elif meaning.kind in ("subject", "any"):
            self._head(meaning)
        elif meaning.kind == "worn":
            self._worn(meaning)
        elif meaning.kind in ("wearing", "bare", "owned"):
            self._link = meaning.kind
        elif meaning.kind == "owner":
            # "the hat on the cat", but also "the fox on the left"
            self._link = "owner" if self._noun is not None and self._noun.part else self._link
        elif meaning.kind == "and":
            self._close()
        elif meaning.kind == "relation":
            self._relate(meaning.value)  # type: ignore[arg-type]
        else:
            self._describe(meaning)

    def read(self) -> ReadPhrase:
        """What was said, after the last word."""
        self._close()
        return ReadPhrase(tuple(self._done), tuple(self._unknown))

    def _head(self, meaning: _Meaning) -> None:
        said, self._open = self._open, Named()
        several = said.several or meaning.several
        noun = replace(said, subject=meaning.value or None, several=several)
        if self._link == "owner" and self._noun is not None and self._noun.part:
            # "the hat of the red cat"
            noun = replace(noun, part=self._noun.part, wears=self._noun.wears, wears_tint=self._noun.wears_tint)
        elif self._noun is not None:
            self._close()
        self._noun, self._link = noun, ""

    def _worn(self, meaning: _Meaning) -> None:
        kinds = tuple(meaning.value.split(","))
        tint, self._open = self._open.tint, replace(self._open, tint=None)
        link, self._link = self._link, ""
        noun = self._noun
        if noun is None or link not in ("wearing", "bare", "owned"):
            self._close()
            noun = replace(self._open, part=kinds)
            self._open = Named()
        elif link == "owned":
            noun = replace(noun, part=kinds)
        self._noun = replace(noun, wears=kinds, wears_tint=tint, bare=link == "bare")

    def _describe(self, meaning: _Meaning) -> None:
        # what follows a noun says something of it: "the fox on the left", "the hat that is red"
        after = self._noun is not None and not self._link
        said = self._noun if after and self._noun is not None else self._open
        if meaning.kind == "place":
            said = replace(said, places=(*said.places, meaning.value))  # type: ignore[arg-type]
        elif meaning.kind == "number":
            said = replace(said, several=True)
        elif meaning.kind == "size":
            said = replace(said, size=meaning.value)  # type: ignore[arg-type]
        elif after and said.part:
            said = replace(said, wears_tint=meaning.value)
        else:
            said = replace(said, tint=meaning.value)
        if after:
            self._noun = said
        else:
            self._open = said

    def _relate(self, relation: RelationKind) -> None:
        if self._noun is None and self._open == Named():
            return self._describe(_Meaning("place", _ENDS[relation]))
        first, self._noun, self._open = self._noun or self._open, None, Named()
        self._relation = relation, first

    def _close(self) -> None:
        noun, said = self._noun, self._open
        if noun is None:
            noun = said if said != Named() else None
        elif said.places or said.size:
            # "the hat on the left"
            noun = replace(noun, places=(*noun.places, *said.places), size=said.size or noun.size)
        if self._relation is not None:
            relation, first = self._relation
            noun = first if noun is None else replace(first, beside=(relation, noun))
        if noun is not None:
            self._done.append(noun)
        self._noun, self._relation, self._open, self._link = None, None, Named(), ""


def _meanings(phrase: str) -> Iterator[tuple[str, _Meaning | None]]:
    """Every word of the phrase, or the longest run of words that means something, and what it means."""
    words = re.findall(r"[\w-]+|'s\b|,", phrase.lower().replace("’", "'"))
    lexicon, at = _lexicon(), 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            run = " ".join(words[at : at + length])
            if run in lexicon:
                yield run, lexicon[run]
                break
        else:
            length = 1
            if words[at] not in _PASSED_OVER:
                yield words[at], None
        at += length


_LONGEST = 5
_PASSED_OVER: frozenset[str] = frozenset(
    (
        "a", "an", "the", "this", "that", "these", "those", "which", "who", "is", "are", "it", "its", "on",
        "in", "at", "to", "side", "part", "picture", "image", "there", "only", "just",
    )
)  # fmt: skip
_PEOPLE = ("person", "human", "man", "woman", "boy", "girl", "child", "kid", "figure")
_CROWD = ("persons", "people", "humans", "men", "women", "boys", "girls", "children", "kids", "figures")
_ANYTHING = ("thing", "one", "object", "subject", "item", "sprite")
_EVERYTHING = ("everything", "anything", "them")
_NUMBERS = ("five", "six", "all", "both", "every", "each")
_PLACES: Mapping[Position, str] = {
    "left": "left, leftmost, left-hand, left hand, farthest left, furthest left",
    "right": "right, rightmost, right-hand, right hand, farthest right, furthest right",
    "top": "top, upper, uppermost, topmost, highest",
    "bottom": "bottom, lower, lowest, lowermost",
    "middle": "middle, centre, center, central, middlemost",
}
_SIZES: Mapping[Size, str] = {
    "small": "small, smaller, smallest, little, littlest, tiny, tiniest",
    "medium": "medium, medium-sized, middle-sized",
    "large": "large, larger, largest, big, bigger, biggest, huge",
}
_WORN: Mapping[str, str] = {
    "top hat": "cylinder hat, tall hat",
    "party hat": "birthday hat, paper hat, pointed hat",
    "bow": "bow tie, ribbon",
    "flower": "",
    "halo": "",
    "badge": "medal",
}
_RELATIONS: Mapping[RelationKind, str] = {
    "left of": "left of, to the left of, on the left of, left from",
    "right of": "right of, to the right of, on the right of, right from",
    "above": "above, over, on top of, atop",
    "below": "below, under, underneath, beneath",
}
_ENDS: Mapping[RelationKind, Position] = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}
_LINKS: Mapping[Kind, str] = {
    "wearing": "wearing, with, wears, dressed in, that wears, who wears",
    "bare": "without, not wearing, wearing no, with no",
    "owner": "of, on, worn by, from",
    "owned": "'s",
    "and": "and, plus, as well as, along with, together with",
}


@cache
def _lexicon() -> Mapping[str, _Meaning]:
    found = {word: _Meaning("subject", PERSON) for word in _PEOPLE}
    found |= {word: _Meaning("subject", PERSON, True) for word in _CROWD}
    for subject in SUBJECTS.values():
        names = {word.lower() for word in subject.synonyms}
        found |= {n: _Meaning("subject", subject.name, _is_plural(n, names)) for n in names if n not in found}
    found |= {s.plural: _Meaning("subject", name, s.plural != name) for name, s in SUBJECTS.items()}
    found |= {name: _Meaning("subject", name) for name in SUBJECTS}
    found |= {word: _Meaning("any") for word in _ANYTHING}
    found |= {word: _Meaning("any", "", True) for word in (*(f"{w}s" for w in _ANYTHING), *_EVERYTHING)}
    for kind in ACCESSORIES:
        names = {kind, *_listed(_WORN[kind])}
        found |= {n: _Meaning("worn", kind) for n in (*names, *(f"{n}s" for n in names))}
    found |= {word: _Meaning("worn", "top hat,party hat") for word in ("hat", "hats", "cap", "caps")}
    found |= {word: _Meaning("place", place) for place, words in _PLACES.items() for word in _listed(words)}
    found |= {word: _Meaning("size", size) for size, words in _SIZES.items() for word in _listed(words)}
    found |= {tint: _Meaning("tint", tint) for tint in TINTS}
    found |= {w: _Meaning("tint", tint) for tint, words in TINT_SYNONYMS.items() for w in words if w not in found}
    found |= {
        word: _Meaning("number", word)
        for word in (*COUNT_WORDS.values(), "five", "six", "all", "both", "every", "each")
    }
    found |= {word: _Meaning("relation", kind) for kind, words in _RELATIONS.items() for word in _listed(words)}
    found |= {word: _Meaning(kind) for kind, words in _LINKS.items() for word in _listed(words)}
    return found | {",": _Meaning("and")}


def _listed(words: str) -> list[str]:
    return words.split(", ") if words else []


def _is_plural(word: str, names: set[str]) -> bool:
    singulars = {word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y"} - {word}
    return bool(singulars & names)
