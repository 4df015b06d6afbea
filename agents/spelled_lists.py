"""Lists that a word or two stand for: "the four seasons", "every style", "six different places"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import Kind
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, TINTS

_SEASONS = {"spring": "meadow", "summer": "beach", "autumn": "autumn", "winter": "snow"}
_LISTS: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "season": ("background", tuple(_SEASONS.values())),
    "style": ("style", tuple(STYLES)),
    "tint": ("tint", tuple(TINTS)),
    "place": ("background", tuple(BACKGROUNDS)),
}


def spell_lists(lexemes: list[Lexeme], announced: int | None) -> tuple[list[Lexeme], list[str]]:
    """`lexemes` with each list spelled out, at most `announced` long, and notices that say what was taken.

    Seasons become the places that stand for them: the painter knows autumn and snow, but no spring
    and no summer.
    """
    spelled: list[Lexeme] = []
    notices: list[str] = []
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind == "every" and _named(lexeme, lexemes[at + 1 :]):
            if spelled and spelled[-1].kind == "number":
                spelled.pop()
        elif lexeme.kind == "every":
            if spelled and spelled[-1].kind == "number":
                announced = int(spelled.pop().value)
            items = _items(lexeme, announced)
            spelled += [word for item in items for word in (item, Lexeme("comma", "", ","))]
            notices += [_told(str(lexeme.value), items)] if items else []
        elif lexeme.kind == "season":
            spelled.append(replace(lexeme, kind="background"))
            phrase = BACKGROUNDS[str(lexeme.value)].phrase
            notices.append(f"The painter knows places, not {lexeme.text}; I draw {lexeme.text} {phrase}.")
        else:
            spelled.append(lexeme)
    return spelled, notices


def _named(lexeme: Lexeme, after: list[Lexeme]) -> bool:
    """ "in three colours: red, blue and green" says itself which; so does a list after a later colon."""
    kind = _LISTS[str(lexeme.value)][0]
    colon = next((i for i, w in enumerate(after) if w.kind == "colon"), len(after))
    if sum(w.kind == kind for w in after[colon:]) > 1:
        return True
    following = [w for w in after if w.kind not in ("colon", "locative", "comma", "filler")]
    return len(following) > 1 and following[0].kind == kind and any(w.kind == kind for w in following[1:])


def _items(lexeme: Lexeme, announced: int | None) -> list[Lexeme]:
    """What the list holds. There are too many places for a list of them all, so a number must limit it."""
    kind, values = _LISTS[str(lexeme.value)]
    if announced is None and lexeme.value == "place":
        return []
    return [Lexeme(kind, value, value) for value in values[:announced]]


def _told(of: str, items: list[Lexeme]) -> str:
    if of == "season":
        drawn = ", ".join(f"{season} {BACKGROUNDS[place].phrase}" for season, place in _SEASONS.items())
        return f"The painter knows places, not all seasons; I draw {drawn}."
    kinds = {"style": "styles", "tint": "colours", "place": "places"}
    return f"You did not name the {kinds[of]}; I took {', '.join(item.text for item in items)}."
