"""Text to lexemes: the longest known phrase at each place, then a few readings by context."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chatdit.agents.lexicon import PLACE_OR_SUBJECT, Kind, Meaning, longest_phrase, phrase_table, plural_words
from chatdit.tools.pocket.vocabulary import find_background

_WORD = re.compile(r"#\d+|[^\W_]+(?:['&-][^\W_]+)*|[.,;:!?\n&]|[^\w\s]", re.UNICODE)
_ITEM = re.compile(r"(?m)^[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]+")
_CONTRACTIONS = (("n't", " not"), ("it's", "it is"), ("there's", "there is"), ("'re", " are"), ("'ve", " have"))
_PUNCTUATION: dict[str, Kind] = {",": "comma", ":": "colon", "\u2014": "comma", "\u2013": "comma"}
_PUNCTUATION |= dict.fromkeys(".;!?\n\u3002", "stop")
_IN_NOUN_PHRASE: frozenset[Kind] = frozenset(("size", "tint", "resize", "undrawable", "colour", "filler"))
_BEFORE_PLACE: frozenset[Kind] = frozenset(("article", "definite", "same", "undrawable", "size", "filler"))
_GROWING = ("grow", "grows", "shrink", "shrinks")
_SIDES = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}
ITEM_MARK = "\u2022"


@dataclass(frozen=True)
class Lexeme:
    """One phrase of the text: what it is, its value, and the words as written (lower case)."""

    kind: Kind
    value: str | int
    text: str
    plural: bool = False


def lex(text: str) -> list[Lexeme]:
    """Every phrase of `text` in order; nothing is dropped except quotes, brackets and control characters."""
    words = _WORD.findall(_clean(text))
    lexemes: list[Lexeme] = []
    at = 0
    while at < len(words):
        length, found = _longest(words, at)
        lexemes += found
        at += length
    return _by_context(lexemes)


def next_subject(lexemes: list[Lexeme], at: int, through: Iterable[Kind] = _IN_NOUN_PHRASE) -> int | None:
    """Index of the subject that the noun phrase standing at `at` leads to, or None."""
    passed = frozenset(through)
    while at < len(lexemes):
        if lexemes[at].kind == "subject":
            return at
        if lexemes[at].kind not in passed:
            return None
        at += 1
    return None


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower().replace("\r\n", "\n").replace("\u2019", "'")
    text = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else " " for c in text)
    text = text.replace("\ufe0f", "")
    for short, full in _CONTRACTIONS:
        text = text.replace(short, full)
    text = re.sub(r"'s\b", "", text)
    return _ITEM.sub(f"\n{ITEM_MARK} ", text)


def _longest(words: list[str], at: int) -> tuple[int, list[Lexeme]]:
    table = phrase_table()
    for length in range(min(longest_phrase(), len(words) - at), 0, -1):
        phrase = " ".join(words[at : at + length])
        if phrase in table:
            return length, [_known(phrase, table[phrase])]
    return 1, _single(words[at])


def _single(word: str) -> list[Lexeme]:
    if word in _PUNCTUATION:
        return [Lexeme(_PUNCTUATION[word], "", word)]
    if word == ITEM_MARK:
        return [Lexeme("item", "", word)]
    if word.isdecimal():
        return [Lexeme("number", int(word[:6]), word)]
    if word[0] == "#" and len(word) > 1:
        return [Lexeme("picture_number", int(word[1:7]), word)]
    if "-" in word and (spaced := word.replace("-", " ")) in phrase_table():
        return [_known(spaced, phrase_table()[spaced])]
    if "-" in word:
        return [lexeme for part in word.split("-") if part for lexeme in _longest([part], 0)[1]]
    if not word[0].isalnum() and ord(word[0]) < 0x2000:
        return []
    return [Lexeme("unknown", word, word)]


def _known(phrase: str, meaning: Meaning) -> Lexeme:
    return Lexeme(meaning.kind, meaning.value, phrase, plural=phrase in plural_words())


def _by_context(lexemes: list[Lexeme]) -> list[Lexeme]:
    lexemes = _sides_of_pictures(_merge_picture_numbers(lexemes))
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind in ("locative", "relation", "into", "near") and (place := _place_after(lexemes, at)) is not None:
            lexemes[place] = replace(lexemes[place], kind="background", value=_place_name(lexemes[place]))
            lexemes[at] = replace(lexeme, kind="locative", value="")
        elif lexeme.text == "inside" and next_subject(lexemes, at + 1, _BEFORE_PLACE) is None:
            lexemes[at] = replace(lexeme, kind="background", value=str(find_background("inside")))
        elif lexeme.kind == "another":
            lexemes[at] = _another(lexemes, at)
        elif lexeme.text in ("gray", "grey") and next_subject(lexemes, at + 1) is not None:
            lexemes[at] = replace(lexeme, kind="colour")
        elif lexeme.text == "orange" and _is_fruit(lexemes, at):
            lexemes[at] = Lexeme("subject", "tangerine", "orange")
        else:
            lexemes[at] = _by_what_follows(lexeme, lexemes[at + 1 :], departs=_departs(lexemes, at))
    return _drop_left_places(_corrections(lexemes))


def _sides_of_pictures(lexemes: list[Lexeme]) -> list[Lexeme]:
    """ "to the right side of the picture" is a place in it, not beside it."""
    read: list[Lexeme] = []
    for lexeme in lexemes:
        before = read[-1] if read else None
        if before is not None and before.kind == "definite" and len(read) > 1:
            before = read[-2]
        of_picture = lexeme.kind == "attached" or (lexeme.kind == "picture" and lexeme.value == 1)
        if of_picture and before is not None and before.kind == "relation":
            read = read[: next(i for i, w in enumerate(read) if w is before)]
            read.append(Lexeme("position", _SIDES[str(before.value)], f"{before.text} {lexeme.text}"))
        else:
            read.append(lexeme)
    return read


def _by_what_follows(lexeme: Lexeme, later: Sequence[Lexeme], *, departs: bool) -> Lexeme:
    if departs:
        return Lexeme("gone", "", lexeme.text)
    sized = lexeme.kind == "locative" and bool(later) and later[0].text.endswith(" size")
    told_how = lexeme.text in _GROWING and any(word.kind == "size" for word in later)
    if sized or told_how:
        return replace(lexeme, kind="filler")
    if lexeme.text == "take":
        taken = any(word.text.split()[0] in ("away", "out", "off") for word in later)
        return replace(lexeme, kind="remove" if taken and not any(w.kind in ("put", "draw") for w in later) else "put")
    return lexeme


def _same_before(lexemes: Sequence[Lexeme]) -> int:
    """How many words at the end lead to the pictures drawn last: "both", "the same", "the same two"."""
    counted = len(lexemes) > 1 and lexemes[-1].kind == "number" and lexemes[-2].kind == "same"
    return 2 if counted else int(bool(lexemes) and (lexemes[-1].kind == "same" or lexemes[-1].text == "both"))


def _merge_picture_numbers(lexemes: list[Lexeme]) -> list[Lexeme]:
    merged: list[Lexeme] = []
    for lexeme in lexemes:
        before = merged[-1] if merged else None
        if lexeme.kind == "number" and before and before.kind == "picture" and before.value == 1:
            merged[-1] = Lexeme("picture_number", lexeme.value, f"{before.text} {lexeme.text}")
        elif lexeme.kind == "picture" and lexeme.value == 2 and (said := _same_before(merged)):
            merged[-said:] = [Lexeme("pronoun", 2, lexeme.text)]
        else:
            merged.append(lexeme)
    return merged


def _place_after(lexemes: list[Lexeme], at: int) -> int | None:
    """Index of the background that the word of place at `at` leads to, or None."""
    word = lexemes[at]
    at += 1
    while at < len(lexemes) and lexemes[at].kind in _BEFORE_PLACE:
        at += 1
    if at == len(lexemes):
        return None
    here = lexemes[at]
    follows = next_subject(lexemes, at + 1)
    if here.kind == "background" and follows is None:
        return at
    above_or_near = word.kind == "near" or (word.kind == "relation" and word.value != "below")
    if here.text in PLACE_OR_SUBJECT and not above_or_near and (word.kind != "relation" or here.text == "stars"):
        return at
    return None


def _place_name(lexeme: Lexeme) -> str | int:
    return lexeme.value if lexeme.kind == "background" else PLACE_OR_SUBJECT[lexeme.text]


def _another(lexemes: list[Lexeme], at: int) -> Lexeme:
    """ "another cat" counts on, "another picture" begins one, "another" alone asks for a new try."""
    if next_subject(lexemes, at + 1) is not None:
        return lexemes[at]
    following = lexemes[at + 1].kind if at + 1 < len(lexemes) else "stop"
    if lexemes[at].text == "more":
        return replace(lexemes[at], kind="filler")
    one = following == "number" and lexemes[at + 1].value == 1
    if one or following in ("picture", "with", "locative", "unknown"):
        return lexemes[at]
    return replace(lexemes[at], kind="filler" if following in ("aspect", "background") else "again")


def _corrections(lexemes: list[Lexeme]) -> list[Lexeme]:
    """ "no, a dog" and "not a cat, a dog" correct what was drawn; "and a mouse" at the start goes on with it."""
    kinds: dict[int, Kind] = dict.fromkeys(
        (at for at, word in enumerate(lexemes) if word.text == "not" and _corrects(lexemes, at)), "instead_of"
    )
    first = lexemes[0].text if lexemes else ""
    if first == "no" and len(lexemes) > 1 and lexemes[1].kind == "comma":
        kinds[0] = "instead"
    elif first in ("and", "also", "plus") and next_subject(lexemes, 1, _BEFORE_PLACE | _IN_NOUN_PHRASE) is not None:
        kinds[0] = "add"
    return [replace(word, kind=kinds[at]) if at in kinds else word for at, word in enumerate(lexemes)]


def _corrects(lexemes: list[Lexeme], at: int) -> bool:
    """ "not a cat, a dog" and "not a cat but a dog": what follows takes the place of what is refused."""
    refused = next_subject(lexemes, at + 1, _BEFORE_PLACE | _IN_NOUN_PHRASE)
    if refused is None or refused + 1 == len(lexemes):
        return False
    turns = lexemes[refused + 1].kind == "comma" or lexemes[refused + 1].text == "but"
    return turns and next_subject(lexemes, refused + 2, _BEFORE_PLACE | _IN_NOUN_PHRASE) is not None


def _departs(lexemes: list[Lexeme], at: int) -> bool:
    """ "the rocket left", "the rocket leaves"; not "move the rocket left" nor "the cat left, the dog right"."""
    if lexemes[at].text not in ("left", "leaves"):
        return False
    named = at > 1 and lexemes[at - 1].kind == "subject" and lexemes[at - 2].kind in ("definite", "same")
    moved = any(w.kind in ("put", "make", "turn") or w.value == "right" for w in lexemes)
    return named and not moved


def _is_fruit(lexemes: list[Lexeme], at: int) -> bool:
    counted = at > 0 and lexemes[at - 1].kind in ("article", "definite", "number", "same", "size")
    dyes = next((word.kind == "worn" for word in lexemes[at + 1 :] if word.kind not in _IN_NOUN_PHRASE), False)
    return counted and not dyes and next_subject(lexemes, at + 1) is None


def _drop_left_places(lexemes: list[Lexeme]) -> list[Lexeme]:
    """In "from the beach to the forest" and "instead of the left" the place named is the one to leave."""
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind not in ("from", "instead_of"):
            continue
        place = at + 1
        while place < len(lexemes) and lexemes[place].kind in (*_BEFORE_PLACE, "locative"):
            place += 1
        if place < len(lexemes) and lexemes[place].kind in ("background", "position"):
            lexemes[place] = replace(lexemes[place], kind="filler")
            lexemes[at] = replace(lexeme, kind="filler")
    return lexemes
