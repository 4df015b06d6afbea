"""Seasons as places: the painter knows autumn and snow, but no spring and no summer."""

from __future__ import annotations

from dataclasses import replace

from chatdit.agents.lexer import Lexeme
from chatdit.tools.pocket.vocabulary import BACKGROUNDS

_SEASONS = (("meadow", "spring"), ("beach", "summer"), ("autumn", "autumn"), ("snow", "winter"))


def spell_seasons(lexemes: list[Lexeme]) -> tuple[list[Lexeme], list[str]]:
    """`lexemes` with seasons as the places that stand for them, and notices that say so."""
    spelled: list[Lexeme] = []
    notices: list[str] = []
    for lexeme in lexemes:
        if lexeme.kind == "all_seasons":
            for place, season in _SEASONS:
                spelled += [Lexeme("background", place, season), Lexeme("comma", "", ",")]
            drawn = ", ".join(f"{season} {BACKGROUNDS[place].phrase}" for place, season in _SEASONS)
            notices.append(f"The painter knows places, not all seasons; I draw {drawn}.")
        elif lexeme.kind == "season":
            spelled.append(replace(lexeme, kind="background"))
            phrase = BACKGROUNDS[str(lexeme.value)].phrase
            notices.append(f"The painter knows places, not {lexeme.text}; I draw {lexeme.text} {phrase}.")
        else:
            spelled.append(lexeme)
    return spelled, notices
