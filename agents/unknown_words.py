"""Questions and notices about words: near names for unknown ones, never a silent guess."""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import PLACE_OR_SUBJECT, painter_names, phrase_table
from chatdit.agents.word_lists import COLOURS, EXAMPLES, PEOPLE
from chatdit.tools.pocket.vocabulary import TINTS

_ASKED_ABOUT = 6
_SHOWN_LENGTH = 40
_LONG_WORD = 7
"""From this length on two letters may be wrong."""
_KINDS = {"something", "anything", "someone", "somebody", "whatever"}


def questions_about(words: Sequence[str], lexemes: Sequence[Lexeme]) -> tuple[str, ...]:
    """What to ask about `words`, the unknown ones among all `lexemes` of a message."""
    words = tuple(dict.fromkeys(words))
    if not words:
        return ()
    understood = sum(w.kind in ("subject", "background", "style", "tint", "size", "draw") for w in lexemes)
    foreign = [word for word in words if not near_names(word)]
    if len(foreign) >= 3 and len(words) > 2 * understood:
        return (f"I read English only and did not understand {_listed(words)}. Can you say it in simple English?",)
    if set(words) <= _KINDS:
        return ("What should I draw? Name one or two subjects, for example a cat or a rocket.",)
    asked = [(word, _question(word)) for word in words[:_ASKED_ABOUT]]
    strange = [word for word, question in asked if question is None]
    told = tuple(question for _, question in asked if question is not None)
    return (*told, _strange(strange)) if strange else told


def near_names(word: str) -> tuple[str, ...]:
    """At most three things the painter knows that `word` may mean: of its kind, or nearly spelled like it."""
    kind = next((kind for kind in EXAMPLES if word in (kind, f"{kind}s")), None)
    if kind is not None:
        return EXAMPLES[kind]
    allowed = 1 if len(word) < _LONG_WORD else 2
    measured = [(_edits(word, name), name) for name in painter_names() if abs(len(name) - len(word)) <= allowed]
    found = [name for edits, name in sorted(measured) if edits <= allowed and (allowed > 1 or _looks_like(word, name))]
    table = phrase_table()
    names = (word if word in PLACE_OR_SUBJECT else str(table[word].value) for word in found)
    return tuple(dict.fromkeys(names))[:3]


def _looks_like(word: str, name: str) -> bool:
    """Whether a short `word` one edit away is near: few letters are near to many words."""
    return word[0] == name[0] and (len(word) > 3 or sorted(word) == sorted(name))


def _edits(word: str, name: str) -> int:
    """Letters to add, drop, change or exchange with a neighbour (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(name) + 1))
    for i, letter in enumerate(word, 1):
        above, before, row = before, row, [i]
        for j, other in enumerate(name, 1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == name[j - 2] and other == word[i - 2]:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def left_out(words: Sequence[str]) -> tuple[str, ...]:
    """The notice about known words that the painter has no means for."""
    words = tuple(dict.fromkeys(words))
    return (f"The painter cannot show {_listed(words)}, so I left that out.",) if words else ()


def _question(word: str) -> str | None:
    """What to ask about `word`; None when there is nothing to offer for it."""
    if word in COLOURS:
        return f"I cannot tint anything {word!r}; the tints are {', '.join(TINTS)}. Which one?"
    if word in ("not", "do not", "don't", "never", "is not", "isn't", "cannot", "nor", "neither"):
        return f"I do not follow {word!r} here. What should the picture show?"
    names = near_names(word)
    if word in PEOPLE:
        return f"The painter knows no people, so no {word}. What should stand there instead, for example a robot?"
    return f"I do not know {_shown(word)}. Did you mean {_either(names)}?" if names else None


def _strange(words: Sequence[str]) -> str:
    if len(words) == 1:
        return f"I do not know {_shown(words[0])}. Can you say it with another word, or leave it out?"
    return f"I do not know {_listed(words)}. Can you say it with other words, or leave them out?"


def _either(names: Sequence[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(_shown(word) for word in words[:_ASKED_ABOUT])
    return shown if len(words) <= _ASKED_ABOUT else f"{shown} and {len(words) - _ASKED_ABOUT} more words"


def _shown(word: str) -> str:
    return repr(word if len(word) <= _SHOWN_LENGTH else f"{word[:_SHOWN_LENGTH]}…")
