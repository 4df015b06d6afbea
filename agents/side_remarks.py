"""Words of a message that ask for nothing to be drawn: what a picture is for, who asks, how it is called.

Only unknown words are judged here, by where they stand. What stands elsewhere may be the very thing to draw and is
asked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import Kind

_ENDS: frozenset[Kind] = frozenset(("comma", "colon", "stop", "then", "item"))
_DRAWN: frozenset[Kind] = frozenset(
    ("subject", "background", "style", "pronoun", "deictic", "attached", "picture_number")
)
_LIGHT: frozenset[Kind] = frozenset(("unknown", "filler", "article", "definite", "undrawable", "and", "into", "number"))
_TITLE: frozenset[Kind] = frozenset(
    (*_LIGHT, "near", "relation", "locative", "picture", "draw", "make", "with", "vague", "another")
)
_PURPOSE: frozenset[Kind] = frozenset(
    ("unknown", "filler", "article", "definite", "undrawable", "and", "into", "picture")
)
_DEED: frozenset[Kind] = frozenset((*_LIGHT, "near", "relation", "locative"))
_WE = ("i", "we")
_VERB = re.compile(r"[a-z]{2,}(?:ing|ed|es|[^s]s)")


def without_side_remarks(lexemes: Sequence[Lexeme]) -> tuple[list[Lexeme], list[str]]:
    """`lexemes` without such words, and the unknown ones among them.

    Left out are "for my shop" and "to hang above my sofa", the title in "a ticket for the aquarium: a crab", the
    sentence "I write about architecture.", and what a subject does in "a balloon rises on the playground".
    """
    words = list(lexemes)
    if not any(word.kind == "subject" for word in words):
        return words, []
    told: list[str] = []
    for start, end in [*_titles(words), *_purposes(words), *_predicates(words)]:
        told += [word.text for word in words[start:end] if word.kind == "unknown"]
        words[start:end] = [replace(word, kind="filler", value="") for word in words[start:end]]
    return words, list(dict.fromkeys(told))


def _titles(words: Sequence[Lexeme]) -> list[tuple[int, int]]:
    """What stands before a colon and draws nothing, and sentences of the kind "I write ..." or "we run ..."."""
    found, start = [], 0
    for at, word in enumerate(words):
        if word.kind not in ("colon", "stop"):
            continue
        part = words[start:at]
        unknown = [i for i, w in enumerate(part) if w.kind == "unknown"]
        titled = word.kind == "colon" and all(w.kind in _TITLE for w in part)
        told_of = bool(unknown and unknown[0]) and part[unknown[0] - 1].text in _WE and unknown[0] <= 2
        if unknown and (titled or (word.kind == "stop" and told_of and not any(w.kind in _DRAWN for w in part))):
            found += [(start + i, start + i + 1) for i in unknown]
        start = at + 1
    return found


def _purposes(words: Sequence[Lexeme]) -> list[tuple[int, int]]:
    """ "for my shop", "about the sea", "to hang above my sofa", up to a comma or what is drawn."""
    found = []
    for at, word in enumerate(words):
        if word.text in ("for", "about"):
            end = _while(words, at + 1, _PURPOSE)
        elif word.text in ("to", "into") and at + 1 < len(words) and words[at + 1].kind == "unknown":
            end = _while(words, at + 1, _DEED)
        else:
            continue
        ends_there = end == len(words) or words[end].kind in (*_ENDS, "locative", "background")
        if ends_there and any(w.kind == "unknown" for w in words[at:end]):
            found.append((at, end))
    return found


def _predicates(words: Sequence[Lexeme]) -> list[tuple[int, int]]:
    """A verb after its subject, before a place or the end: "how a monkey is painted on the beach"."""
    found = []
    for at, word in enumerate(words):
        if word.kind != "unknown" or not _VERB.fullmatch(word.text):
            continue
        before = at - 1
        while before >= 0 and words[before].kind == "filler":
            before -= 1
        after = words[at + 1].kind if at + 1 < len(words) else "stop"
        if before >= 0 and words[before].kind == "subject" and after in (*_ENDS, "locative", "background", "resize"):
            found.append((at, at + 1))
    return found


def _while(words: Sequence[Lexeme], at: int, kinds: frozenset[Kind]) -> int:
    while at < len(words) and words[at].kind in kinds:
        at += 1
    return at
