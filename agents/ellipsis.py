"""Subjects that are meant but not said: "a red rose and a yellow one", "a small and a large elephant"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chatdit.agents.lexer import Lexeme, next_subject
from chatdit.agents.lexicon import Kind

_LOOKS: frozenset[Kind] = frozenset(("size", "tint", "resize"))
_JOINED: frozenset[Kind] = frozenset(("article", "and", "comma", *_LOOKS))


def name_the_unsaid(lexemes: Sequence[Lexeme]) -> list[Lexeme]:
    """`lexemes` with the subject put in where "one" or nothing stands for it."""
    named: list[Lexeme] = []
    for at, lexeme in enumerate(lexemes):
        named.append(lexeme)
        told_by = lexemes[_start_of_looks(lexemes, at) : at]
        if lexeme.text in ("one", "ones") and told_by and (subject := _meant(named, told_by)):
            named[-1] = replace(subject, plural=lexeme.text == "ones")
        elif lexeme.kind in _LOOKS and _ends_before_next(lexemes, at):
            subject_at = next_subject(list(lexemes), at + 1, _JOINED)
            named += [lexemes[subject_at]] if subject_at is not None else []
    return named


def _meant(before: Sequence[Lexeme], told_by: Sequence[Lexeme]) -> Lexeme | None:
    """The subject named last; without one "the red one" is a subject that only the picture can name."""
    start = len(before) - 1 - len(told_by)
    definite = start > 0 and before[start - 1].kind == "definite"
    unnamed = Lexeme("subject", "", "one") if definite else None
    return next((word for word in reversed(before) if word.kind == "subject"), unnamed)


def _start_of_looks(lexemes: Sequence[Lexeme], end: int) -> int:
    while end and lexemes[end - 1].kind in _LOOKS:
        end -= 1
    return end


def _ends_before_next(lexemes: Sequence[Lexeme], at: int) -> bool:
    """True at "small" in "a small and a large elephant": an article begins the next of the list."""
    start = _start_of_looks(lexemes, at)
    after = at + 1
    while after < len(lexemes) and lexemes[after].kind in ("and", "comma"):
        after += 1
    begun = start > 0 and lexemes[start - 1].kind == "article"
    return begun and at + 1 < after < len(lexemes) and lexemes[after].kind == "article"
