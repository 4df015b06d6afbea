"""An answer to the question asked last, put where the unanswered message has its gap.

"draw a griffin on the beach" is asked about; the reply "a lion" then means "draw a lion on the
beach". Only short answers are read this way: a message with a verb of its own stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.agents.brain import PastTurn
from chatdit.agents.lexer import Lexeme, lex
from chatdit.agents.lexicon import Kind
from chatdit.agents.segments import split_pictures
from chatdit.agents.unknown_words import near_names

MAX_UNANSWERED = 5
_OWN_SENTENCE: frozenset[Kind] = frozenset(
    ("draw", "make", "put", "turn", "add", "remove", "replace", "keep", "gone", "again", "then", "picture", "stop",
     "picture_number", "pronoun", "instead", "instead_of", "colon", "item")
)  # fmt: skip


def with_open_question(text: str, history: Sequence[PastTurn]) -> list[Lexeme]:
    """The lexemes of `text`, completed by the messages before it that were answered with a question."""
    unanswered: list[PastTurn] = []
    for turn in reversed(history[-MAX_UNANSWERED:]):
        if turn.pictures or "?" not in turn.reply:
            break
        unanswered.insert(0, turn)
    open_words: list[Lexeme] | None = None
    for said in (*(turn.text for turn in unanswered), text):
        words = lex(said)
        completed = complete(open_words, words) if open_words is not None else None
        open_words = completed if completed is not None else words
    return open_words or []


def complete(asked: Sequence[Lexeme], answer: Sequence[Lexeme]) -> list[Lexeme] | None:
    """`asked` with `answer` in its gap, or None when `answer` is not a mere answer."""
    answer = [w for w in answer if w.kind not in ("stop", "comma")]
    while answer and answer[0].kind == "instead":  # "no, a ship", "I meant a ship"
        answer = answer[1:]
    if not answer or any(w.kind in _OWN_SENTENCE for w in answer):
        return None
    gap = _unknown_run(asked)
    if gap is not None:
        return _fill(asked, gap, answer)
    if _described_too_few(asked):
        return [*asked, Lexeme("then", "", "then"), *answer]
    if len(answer) == 1 and answer[0].kind == "number":
        return _announce(asked, answer[0]) or _replace_kind(asked, "number", answer)
    if all(w.kind in ("relation", "near", "filler") for w in answer):
        return _replace_kind(asked, "hidden", answer) or _replace_kind(asked, "locative", answer)
    if all(w.kind in ("article", "definite", "subject", "size", "tint") for w in answer):
        return _replace_kind(asked, "pronoun", answer) or _name_subject(asked, answer)
    return _name_subject(asked, answer)


def _name_subject(asked: Sequence[Lexeme], answer: Sequence[Lexeme]) -> list[Lexeme] | None:
    """ "on the beach" was asked about for want of a subject; "a cat" names it."""
    lacks = not any(w.kind == "subject" for w in asked) and any(w.kind == "subject" for w in answer)
    places = any(w.kind in ("background", "style") for w in asked)
    if not (lacks and places) or any(w.kind in _OWN_SENTENCE and w.kind not in ("draw", "picture") for w in asked):
        return None
    return [*asked, *answer]


def _described_too_few(asked: Sequence[Lexeme]) -> bool:
    segments = split_pictures(asked)
    return segments.announced is not None and 1 < len(segments.items) < segments.announced


def _unknown_run(words: Sequence[Lexeme]) -> range | None:
    """The one stretch of words that was not understood; None when there is none or more than one."""
    unknown = [at for at, word in enumerate(words) if word.kind in ("unknown", "colour")]
    if not unknown or unknown[-1] - unknown[0] != len(unknown) - 1:
        return None
    return range(unknown[0], unknown[-1] + 1)


def _fill(asked: Sequence[Lexeme], gap: range, answer: Sequence[Lexeme]) -> list[Lexeme] | None:
    if answer[0].kind == "yes":
        names = near_names(" ".join(asked[at].text for at in gap)) or near_names(asked[gap.start].text)
        answer = lex(names[0]) if names else []
    if not answer or any(w.kind in ("unknown", "colour") for w in answer):
        return None
    start = gap.start
    names_subject = any(w.kind == "subject" for w in answer)
    while names_subject and start and asked[start - 1].kind in ("article", "vague", "number"):
        if not any(w.kind in ("article", "number", "vague", "definite") for w in answer):
            break
        start -= 1
    if any(w.kind == "background" for w in answer) and start and asked[start - 1].kind in ("definite", "article"):
        start -= 1
    return [*asked[:start], *answer, *asked[gap.stop :]]


def _announce(asked: Sequence[Lexeme], number: Lexeme) -> list[Lexeme] | None:
    at = next((at for at, word in enumerate(asked) if word.kind == "picture" and word.value == 2), None)
    return None if at is None else [*asked[:at], number, *asked[at:]]


def _replace_kind(asked: Sequence[Lexeme], kind: Kind, answer: Sequence[Lexeme]) -> list[Lexeme] | None:
    at = next((at for at, word in enumerate(asked) if word.kind == kind), None)
    return None if at is None else [*asked[:at], *answer, *asked[at + 1 :]]
