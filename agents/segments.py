"""From the lexemes of one message to one segment for each picture asked for.

A segment holds the words of one picture. Pictures are told apart by "then", "a second picture",
"picture 2:", list items, a new drawing sentence, a second place with its own subject ("a cat on the
beach, a dog in the forest") and places that one subject visits in turn ("in the forest, on the
beach and in space").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from chatdit.agents.announcements import share_with_all, take_announcement
from chatdit.agents.ellipsis import name_the_unsaid
from chatdit.agents.lexer import Lexeme, next_subject
from chatdit.agents.lexicon import Kind
from chatdit.agents.spelled_lists import spell_lists

CONTENT: frozenset[Kind] = frozenset(
    ("subject", "background", "style", "tint", "size", "resize", "pronoun", "position", "gone", "again", "unknown",
     "deictic", "attached", "picture_number", "remove", "same", "undrawable", "colour", "season", "every", "swap",
     "aspect", "worn")
)  # fmt: skip
SEPARATORS: frozenset[Kind] = frozenset(("comma", "and", "then", "stop", "item", "each"))
_NOUN_START: frozenset[Kind] = frozenset(("article", "number", "vague", "size", "tint", "subject", "undrawable"))
_SENTENCE_WORDS = 40
"""How far ahead a sentence is read to tell whether it begins another picture."""

_SPREADABLE: tuple[Kind, ...] = ("background", "style", "tint", "size", "position")
_SHARED: frozenset[Kind] = frozenset(("background", "style", "tint", "size"))
"""What a heading can say of all pictures."""


@dataclass
class Segment:
    """The words of one picture; `repeats` says that its subjects are those of the picture before."""

    lexemes: list[Lexeme]
    repeats: bool = False


@dataclass
class Segments:
    """All pictures of a message, how many were announced, and what to tell the person."""

    items: list[Segment]
    announced: int | None = None
    notices: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def split_pictures(lexemes: Sequence[Lexeme], known_pictures: int = 0, limit: int = 24) -> Segments:
    """One segment for each picture; `known_pictures` is how many "image 2" could mean already drawn ones."""
    rest, announced, plural = take_announcement(list(lexemes))
    result = Segments([], announced)
    rest = rest if announced else name_the_unsaid(rest)
    rest, result.notices = spell_lists(rest, announced)
    if announced is not None and announced > limit:
        result.questions.append(
            f"You asked for {announced} pictures; I draw at most {limit} at a time. Which ones first?"
        )
        return result
    for words in share_with_all(_cut(rest, known_pictures, announced)):
        for place_words in _cut_places(words):
            result.items += _spread(place_words)
    _note_places(result, announced, plural or any(w.kind in ("each", "every") for w in lexemes))
    _fill_up(result, plural or any(w.kind == "every" for w in lexemes))
    return result


def has_content(lexemes: Sequence[Lexeme]) -> bool:
    """True when the words say anything about a picture."""
    return any(lexeme.kind in CONTENT for lexeme in lexemes)


def _cut(lexemes: list[Lexeme], known_pictures: int, announced: int | None) -> list[list[Lexeme]]:
    """Cuts at everything that begins another picture by its own words."""
    pieces: list[list[Lexeme]] = []
    piece: list[Lexeme] = []
    at, says, names = 0, False, False
    while at < len(lexemes):
        length = _heading(lexemes, at, len(pieces) + says, known_pictures, announced)
        length = length or (_plain_start(lexemes, at) if names else None)
        if length is not None:
            pieces += [piece] if says else []
            piece, says, names = [], False, False
            at += length
            continue
        here = lexemes[at]
        says, names = says or here.kind in CONTENT, names or here.kind == "subject"
        piece.append(here)
        at += 1
    return pieces + ([piece] if says else [])


def _heading(lexemes: list[Lexeme], at: int, done: int, known: int, announced: int | None) -> int | None:
    """Length of a picture's heading at `at` ("then", "a second picture", "picture 2:"), or None."""
    here, then = lexemes[at], lexemes[at + 1] if at + 1 < len(lexemes) else None
    if here.kind in ("then", "item"):
        return 1
    if here.kind == "picture_number" and here.text[0] != "#":
        headed = then is not None and (then.kind == "colon" or then.text in ("shows", "is", "has", "with", "of"))
        announces = announced is not None and then is not None and then.kind == "colon"
        starts = headed and (announces or here.value not in range(1, known + 1))
        return 1 + (then is not None and then.kind == "colon") if starts else None
    if then is None:
        return None
    single = here.kind == "number" and here.value == 1 and not (at and lexemes[at - 1].kind == "ordinal")
    if here.kind == "another" or single:
        begins = {"picture": 2, "with": 2, "locative": 1, "into": 1, "background": 1}
        return 2 if here.kind == "another" and then.kind == "number" else begins.get(then.kind)
    if here.text in ("the other", "other"):
        return 1
    return _ordinal_heading(lexemes, at, done, announced)


def _ordinal_heading(lexemes: list[Lexeme], at: int, done: int, announced: int | None) -> int | None:
    """ "the second picture" begins a picture when others stand before it in the same message."""
    before = next((w for w in reversed(lexemes[:at]) if w.kind != "definite"), None)
    if before is not None and (before.kind in ("from", "into") or before.text == "of"):
        return None
    length = 0
    while at + length < len(lexemes) and lexemes[at + length].kind in ("locative", "article", "definite"):
        length += 1
    words = lexemes[at + length : at + length + 2]
    if len(words) < 2 or words[0].kind != "ordinal":
        return None
    article = any(w.kind == "article" for w in lexemes[at : at + length])
    named = words[1].kind == "picture" or (words[1].kind == "number" and words[1].value == 1)
    named = named or (article and words[1].kind in ("with", "background"))
    expected = words[0].value == done + 1 or words[0].value == -1
    fresh = done > 0 or announced is not None or article
    return length + 2 if named and expected and fresh else None


def _plain_start(lexemes: list[Lexeme], at: int) -> int | None:
    """Length of what to skip when an ordinary sentence begins another picture at `at`, or None."""
    here = lexemes[at]
    following = lexemes[at + 1 : at + 1 + _SENTENCE_WORDS]
    if here.kind == "stop" and following and _draws_anew(following):
        return 1
    if here.kind in ("comma", "and") and following and following[0].kind == "draw" and _draws_anew(following):
        return 1
    if here.kind == "article" and following and following[0].kind == "picture" and following[0].value == 1:
        return 2
    return None


def _draws_anew(lexemes: Sequence[Lexeme]) -> bool:
    """True for "Draw a dog", "A dog in the forest"; not for "Make it red", "The cat is red", "Sketch style"."""
    words = [w for w in lexemes if w.kind not in ("filler", "draw", "picture", "stop", "comma", "undrawable")]
    if not words or words[0].kind not in _NOUN_START or _leans_back(lexemes):
        return False
    start = next(i for i, w in enumerate(lexemes) if w is words[0])
    return next_subject(list(lexemes), start, (*_NOUN_START, "filler", "resize")) is not None


def _leans_back(lexemes: Sequence[Lexeme]) -> bool:
    """True for "A rocket is above it", "A dog stands left of the cat": the sentence goes on with the same picture."""
    end = next((i for i, w in enumerate(lexemes) if w.kind == "stop"), len(lexemes))
    pairs = pairwise(lexemes[:end])
    beside_known = any(a.kind in ("relation", "near") and b.kind in ("definite", "pronoun") for a, b in pairs)
    return beside_known or any(w.kind == "side" for w in lexemes[:end])


def _cut_places(lexemes: list[Lexeme]) -> list[list[Lexeme]]:
    """ "a cat on the beach, a dog in the forest": a place that follows another subject ends the picture before."""
    pieces, start, place = [], 0, None
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind != "background":
            continue
        if place is not None:
            between = range(place + 1, at)
            cut = next((i for i in between if lexemes[i].kind in SEPARATORS), None)
            if cut is not None and any(lexemes[i].kind == "subject" for i in between if i > cut):
                pieces.append(lexemes[start:cut])
                start = cut + 1
        place = at
    return [*pieces, lexemes[start:]]


def _spread(lexemes: list[Lexeme]) -> list[Segment]:
    """One segment for each value of the first kind named several times in a row ("on the beach and in space")."""
    for kind in _SPREADABLE:
        run = _run_of(lexemes, kind)
        if len(run) > 1:
            first, last = run[0], run[-1]
            spread = [[*lexemes[:first], lexemes[at], *lexemes[last + 1 :]] for at in run]
            return [Segment(words, repeats=i > 0) for i, words in enumerate(spread)]
    return [Segment(lexemes)]


def _run_of(lexemes: list[Lexeme], kind: Kind) -> list[int]:
    run: list[int] = []
    separated = False
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind == kind:
            if next_subject(lexemes, at + 1) is not None and kind != "background":
                run = []
            elif not run or separated:
                run.append(at)
            separated = False
        elif lexeme.kind in SEPARATORS:
            separated = True
        elif run and lexeme.kind not in ("locative", "article", "definite", "filler", "undrawable", "into", "picture"):
            if len(run) > 1:
                return run
            run, separated = [], False
    return run


def _note_places(result: Segments, announced: int | None, plural: bool) -> None:
    if announced is None and not plural and any(item.repeats for item in result.items):
        result.notices.append(
            f"One picture shows one place and one style, so I read this as {len(result.items)} pictures."
        )


def _fill_up(result: Segments, plural: bool) -> None:
    """Makes the number of segments agree with what was announced, or asks."""
    _hand_out_preface(result)
    announced, items = result.announced, result.items
    if announced is None and plural and len(items) == 1:
        result.questions.append("How many pictures do you want, and what differs between them?")
    if announced is None or not items or len(items) == announced:
        return
    if len(items) > 1:
        result.questions.append(
            f"You asked for {announced} pictures and described {len(items)}. "
            + (f"What should picture {len(items) + 1} show?" if announced > len(items) else "Which ones do you want?")
        )
        return
    if (parts := _noun_groups(items[0].lexemes)) and len(parts) == announced and announced > 2:
        result.items = [Segment(part) for part in parts]
        return
    result.items = [replace(items[0], repeats=i > 0) for i in range(announced)]
    if announced > 1:
        result.notices.append(
            f"You described one scene for {announced} pictures, so they differ only as far as the painter varies it."
        )


def _hand_out_preface(result: Segments) -> None:
    """ "two pictures of a fox, one in the city and one in the forest": the fox stands in every picture.

    "Two shots, both in the forest. Shot 1: ...": the forest is in every picture that names no other place.
    "Three shots with this lion. Shot 1: the lion ..." only says who is meant.
    """
    first, rest = (result.items[0], result.items[1:]) if result.items else (None, [])
    if first is None or result.announced != len(rest):
        return
    if not any(w.kind in ("subject", "undrawable") for w in first.lexemes):
        result.items = [replace(item, lexemes=_headed(first.lexemes, item.lexemes)) for item in rest]
        return
    if any(w.kind == "background" for w in first.lexemes):
        return
    introduced, shown = ({w.value for w in words if w.kind == "subject"} for words in (first.lexemes, _words_of(rest)))
    if introduced <= shown:
        result.items = rest
    elif not any(w.kind == "subject" for item in rest for w in item.lexemes):
        result.items = [Segment(first.lexemes + item.lexemes, repeats=i > 0) for i, item in enumerate(rest)]


def _words_of(items: Sequence[Segment]) -> list[Lexeme]:
    return [word for item in items for word in item.lexemes]


def _noun_groups(lexemes: list[Lexeme]) -> list[list[Lexeme]]:
    """ "a cat, a dog and a fox in the forest": one group for each subject, all with the words after the last."""
    subjects = [i for i, w in enumerate(lexemes) if w.kind == "subject"]
    if not subjects or any(w.kind in ("relation", "near", "side", "with") for w in lexemes[subjects[0] :]):
        return []
    own = subjects[-1] + 1
    while own < len(lexemes) and lexemes[own].kind in ("size", "tint"):
        own += 1
    tail = lexemes[own:]
    colon = next((i for i, w in enumerate(lexemes[: subjects[0]]) if w.kind == "colon"), None)
    heading, start = ([], 0) if colon is None else (lexemes[:colon], colon + 1)
    groups = []
    for at in subjects:
        end = at + 1
        while at != subjects[-1] and lexemes[end].kind not in (*SEPARATORS, "subject"):
            end += 1
        end = own if at == subjects[-1] else end
        group = [w for w in lexemes[start:end] if w.kind not in SEPARATORS]
        said = {w.kind for w in group}
        group += [w for w in tail if w.kind not in _SHARED or w.kind not in said or at == subjects[-1]]
        groups.append(_headed(heading, group))
        start = end
    return groups


def _headed(heading: list[Lexeme], lexemes: list[Lexeme]) -> list[Lexeme]:
    """The words of one picture, before them what a heading says of all and they do not say otherwise."""
    named = {w.kind for w in lexemes}
    return [w for w in heading if w.kind in _SHARED and w.kind not in named] + lexemes
