"""Questions and notices about words: near names for unknown ones, never a silent guess."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import PLACE_OR_SUBJECT, painter_names, phrase_table
from chatdit.agents.word_lists import COLOURS
from chatdit.tools.pocket.vocabulary import TINTS

_ASKED_ABOUT = 6
_SHOWN_LENGTH = 40
_NEAR = 0.72
_KINDS = {"something", "anything", "someone", "somebody", "whatever"}


def questions_about(words: Sequence[str], lexemes: Sequence[Lexeme]) -> tuple[str, ...]:
    """What to ask about `words`, the unknown ones among all `lexemes` of a message."""
    words = tuple(dict.fromkeys(words))
    if not words:
        return ()
    understood = sum(w.kind in ("subject", "background", "style", "tint", "size", "draw") for w in lexemes)
    if len(words) >= 3 and len(words) > 2 * understood:
        return (f"I read English only and did not understand {_listed(words)}. Can you say it in simple English?",)
    if set(words) <= _KINDS:
        return ("What should I draw? Name one or two subjects, for example a cat or a rocket.",)
    return tuple(_question(word) for word in words[:_ASKED_ABOUT])


def near_names(word: str) -> tuple[str, ...]:
    """At most three things the painter knows whose spelling is near `word`, nearest first."""
    found = difflib.get_close_matches(word[:_SHOWN_LENGTH], painter_names(), n=6, cutoff=_NEAR)
    table = phrase_table()
    names = (word if word in PLACE_OR_SUBJECT else str(table[word].value) for word in found)
    return tuple(dict.fromkeys(names))[:3]


def left_out(words: Sequence[str]) -> tuple[str, ...]:
    """The notice about known words that the painter has no means for."""
    words = tuple(dict.fromkeys(words))
    return (f"The painter cannot show {_listed(words)}, so I left that out.",) if words else ()


def _question(word: str) -> str:
    if word in COLOURS:
        return f"I cannot tint anything {word!r}; the tints are {', '.join(TINTS)}. Which one?"
    if word in ("not", "do not", "don't", "never", "is not", "isn't", "cannot", "nor", "neither"):
        return f"I do not follow {word!r} here. What should the picture show?"
    names = near_names(word)
    if names:
        return f"I do not know {_shown(word)}. Did you mean {' or '.join(names)}?"
    return f"I do not know {_shown(word)}. Can you say it with another word, or leave it out?"


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(_shown(word) for word in words[:_ASKED_ABOUT])
    return shown if len(words) <= _ASKED_ABOUT else f"{shown} and {len(words) - _ASKED_ABOUT} more words"


def _shown(word: str) -> str:
    return repr(word if len(word) <= _SHOWN_LENGTH else f"{word[:_SHOWN_LENGTH]}…")
