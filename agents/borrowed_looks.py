"""Looks borrowed from what an attached picture shows: "the hat of the duck in image 2", "as large as the cow".

What is borrowed is known once the picture is described, so it is put into the words; a picture that lends nothing
else is then no reference. Earlier pictures of a conversation lend nothing yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from chatdit.agents.brain import Request
from chatdit.agents.instruction import Element
from chatdit.tools.pocket.vocabulary import ACCESSORIES, SUBJECTS, TINTS

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_IN_PICTURE = (
    r"(?:,?\s+(?:of|in|from|on)\s+(?:(?:the\s+)?(?:(?:picture|image|photo)\s+(?P<number>\d+)"
    rf"|(?P<ordinal>{'|'.join(_ORDINALS)})(?:\s+(?:picture|image|photo|one))?)|(?:this|that)\s+(?:picture|image|photo))\b)?"
)
_A_PICTURE = rf"\b(?:picture|image|photo|{'|'.join(_ORDINALS)})\b"
_TINT = "|".join(TINTS)
_KIND = "|".join((*ACCESSORIES, "hat"))
_PLACES = {"left": "on the left", "right": "on the right", "middle": "in the middle", "top": "at the top"}
_PLACES |= {"bottom": "at the bottom"}
_SAID_PLACE = "|".join(_PLACES.values())
_STATEMENT = re.compile(
    r"(?:^|(?<=[.!?]))\s*(?:(?:in|on)\s+)?(?:picture|image|photo)\s+\d+\s+(?:shows|is|has|there is)\s[^.!?]*[.!?]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Borrowed:
    """The request in words that borrow nothing, and the numbers of the attached pictures that lent a look alone."""

    request: Request
    lenders: tuple[int, ...] = ()


def without_borrowed_looks(request: Request) -> Borrowed:
    """What is borrowed put into words. Lenders get the role "other"; unknown looks stay as they are said."""
    text, lent = request.text, set[int]()
    for number, element in _shown(request):
        names = _names(element.subject)
        for pattern, told in _BORROWINGS:
            if told is _where and len(request.inputs) == 1:
                continue  # who stands there is to be replaced
            lender = re.compile(pattern.replace("LENDER", rf"the\s+(?:{names})\b{_IN_PICTURE}"), re.IGNORECASE)
            text, times = _put(lender, told, text, number, element)
            if times:
                lent.add(number)
    if not lent:
        return Borrowed(request)
    text = _STATEMENT.sub("", text)
    text = re.sub(r"\bgive\b(?P<who>[^.;]*?)\s+\0", r"make\g<who> \0", text, flags=re.IGNORECASE)
    text = re.sub(r"\blet\b(?P<who>[^.;]*?)(?:\s+stand)?\s+\0", r"make\g<who> \0", text, flags=re.IGNORECASE)
    text = re.sub(rf"\bdraw\b(?P<who>[^.;]*?{_A_PICTURE}[^.;]*?)\s+\0", r"make\g<who> \0", text, flags=re.IGNORECASE)
    text = re.sub(
        rf"\bmake\b(?P<who>[^.;]*?)\s+\0(?P<where>{_SAID_PLACE})", r"put\g<who> \g<where>", text, flags=re.IGNORECASE
    )
    text = re.sub(r"[ \t]+", " ", text.replace("\0", "")).strip()
    lenders = tuple(sorted(n for n in lent if not _speaks_of(text, n, request)))
    if len(lenders) == len(request.inputs) and not re.match(r"\s*(?:please\s+)?(?:draw|paint)\b", text, re.IGNORECASE):
        lenders = ()  # one of them is what is changed
    inputs = tuple(
        given.model_copy(update={"role": "other"}) if n in lenders else given
        for n, given in enumerate(request.inputs, start=1)
    )
    return Borrowed(replace(request, text=text, inputs=inputs), lenders)


def _tint(match: re.Match[str], element: Element) -> str | None:
    return element.tint and f"\0{element.tint}"


def _worn(match: re.Match[str], element: Element) -> str | None:
    if element.worn is None or not element.worn.kind.endswith(match["kind"].lower()):
        return None
    return _with_article(f"{element.worn.colour} {element.worn.kind}")


def _painted(match: re.Match[str], element: Element) -> str | None:
    """ "dress and paint the duck like ...": both, or what of it the verb asks for."""
    verbs, worn = match["verbs"].lower(), element.worn
    tint = element.tint if "paint" in verbs or "colo" in verbs else None
    dressed = worn is not None and "dress" in verbs
    if not tint and not dressed:
        return None
    wearing = f"wearing {_with_article(f'{worn.colour} {worn.kind}')}" if worn and dressed else ""
    return f"make {match['who']} " + ", ".join(part for part in (tint, wearing) if part)


def _size(match: re.Match[str], element: Element) -> str | None:
    return f"\0{element.size}" if element.size != "medium" else None


def _where(match: re.Match[str], element: Element) -> str | None:
    return f"\0{_PLACES[element.position]}" if element.position else None


def _said_already(match: re.Match[str], element: Element) -> str | None:
    """ "green, like the elephant": nothing more, where that is so."""
    said = match["said"].lower()
    return match["said"] if said in (element.tint, element.position and _PLACES[element.position]) else None


_Told = Callable[[re.Match[str], Element], str | None]
_VERB = r"(?:dress|paint|colou?r)"
_BORROWINGS: tuple[tuple[str, _Told], ...] = (
    (
        rf"\b(?:a|an|the)\s+(?:(?:{_TINT})\s+)?(?P<kind>{_KIND})\s+(?:of|that|which)\s+LENDER"
        r"(?:\s+(?:wears|is wearing|has))?",
        _worn,
    ),
    (rf"\bLENDER['\u2019]s\s+(?:(?:{_TINT})\s+)?(?P<kind>{_KIND})\b", _worn),
    (r"\bLENDER['\u2019]s\s+colou?r\b", _tint),
    (r"\b(?:in\s+)?the\s+(?:same\s+)?colou?r\s+(?:of|as)\s+LENDER", _tint),
    (
        rf"\b(?P<verbs>{_VERB}(?:\s+and\s+{_VERB})?)\s+(?P<who>(?:the|my|this)\s[^.;]*?)\s+like\s+LENDER",
        _painted,
    ),
    (r"\bas\s+(?:large|big|tall|small|tiny|little)\s+as\s+LENDER", _size),
    (r"\bwhere\s+LENDER(?:\s+(?:stands|is|was|sits))?", _where),
    (rf"\b(?P<said>{_TINT}|{_SAID_PLACE})\s*,?\s+(?:just\s+)?(?:like|as)\s+LENDER", _said_already),
)
"""What is said, with LENDER for whose look it is, and what that comes to."""


def _put(pattern: re.Pattern[str], told: _Told, text: str, number: int, element: Element) -> tuple[str, int]:
    """The text with what `told` says of each borrowing from this element, and how many there were."""
    times = 0

    def said(match: re.Match[str]) -> str:
        nonlocal times
        meant = int(match["number"]) if match["number"] else None
        if match["ordinal"]:
            meant = 1 + _ORDINALS.index(match["ordinal"].lower())
        found = None if meant not in (None, number) else told(match, element)
        times += found is not None
        return match[0] if found is None else found

    return pattern.sub(said, text), times


def _shown(request: Request) -> Iterator[tuple[int, Element]]:
    for number, given in enumerate(request.inputs, start=1):
        for element in given.shows.elements if given.shows is not None else ():
            yield number, element


def _names(subject: str) -> str:
    known = SUBJECTS.get(subject)
    forms = (subject, *known.synonyms) if known is not None else (subject,)
    return "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))


def _speaks_of(text: str, number: int, request: Request) -> bool:
    """Whether the words still name a picture, or what it alone shows."""
    ordinal = _ORDINALS[number - 1] if number <= len(_ORDINALS) else str(number)
    if re.search(rf"\b(?:picture|image|photo)\s+{number}\b|\b{ordinal}\b", text, re.IGNORECASE):
        return True
    mine = {element.subject for n, element in _shown(request) if n == number}
    others = {element.subject for n, element in _shown(request) if n != number}
    return any(re.search(rf"\b(?:{_names(subject)})\b", text, re.IGNORECASE) for subject in mine - others)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
