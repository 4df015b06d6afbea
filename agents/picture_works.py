"""Requests about whole pictures: side by side, cropped, split, turned, cut out; nothing of them is drawn.

Such a request stands alone or follows a request to draw: "four seasons of a fox, then put them in a grid".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chatdit.agents.anaphora import Context, Known
from chatdit.agents.instruction import OutputSpec, PictureWork
from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import Kind
from chatdit.agents.work_grammar import GRAMMAR, POLITE, Pictures, WorkRequest
from chatdit.tools.types import Role

_LONGEST = 200
"""Characters of such a sentence."""
_ROLE: Role = "panel"
_JOINING = ("grid", "stitch")
_MIRRORED: dict[str, str | None] = {"left": "right", "right": "left", "left of": "right of", "right of": "left of"}
_STILL_SHOWS = ("resize", "pad", "flip", "rotate", "crop")
"""Operations after which a picture shows what it did."""


def read_work(text: str) -> WorkRequest | None:
    """What one sentence asks of whole pictures; None for any other sentence."""
    if len(text) > _LONGEST:
        return None
    sentence = " ".join(text.lower().replace("×", "x").split()).strip(" .!?,;")
    for _ in range(2):
        sentence = POLITE.sub("", sentence).strip(" .!?,;")
    for pattern, build in GRAMMAR:
        found = pattern.fullmatch(sentence)
        if found is not None and (request := build(found)) is not None:
            return request
    return None


def split_off_work(text: str) -> tuple[str, WorkRequest | None]:
    """The text without a last sentence about whole pictures, and that sentence, if it has one."""
    if (alone := read_work(text)) is not None:
        return "", alone
    text = text.strip()
    start = max(0, len(text) - _LONGEST - _LONGEST // 10)
    for mark in re.compile(r",? (?:and )?then |,? and |[.;!\n]\s*|, ").finditer(text, start):
        request = read_work(text[mark.end() :])
        if request is not None:
            return text[: mark.start()], request
    return text, None


def plan_work(request: WorkRequest, context: Context, outputs: Sequence[OutputSpec]) -> PictureWork | str | None:
    """Which pictures go in and which come out, as data.

    `outputs` are those that the same message asks for; what comes out is counted on from there. A question where a
    picture is not there; None where the words can only mean what a single picture shows ("put them side by side").
    """
    found = meant(request.pictures, context, outputs)
    if isinstance(found, str):
        return found
    kind = _kind(request)
    if kind in _JOINING and len(found) < 2:
        if request.pictures.which == "both":
            return None
        return "Which pictures should I put together? Name two or more, for example '#1 and #2'."
    if kind not in _JOINING and request.tool == "compose" and request.pictures.which == "unsaid":
        found = found[-1:]
    takes = tuple(known.name if known.kind == "output" else context.refer(known, _ROLE) for known in found)
    gives = tuple(_given(request, kind, found, len(outputs) + 1))
    return PictureWork(tool=request.tool, args=dict(request.args), takes=takes, gives=gives)


def _kind(request: WorkRequest) -> str:
    operation = request.args.get("operation")
    return str(operation.get("kind")) if isinstance(operation, dict) else request.tool


def meant(pictures: Pictures, context: Context, outputs: Sequence[OutputSpec]) -> list[Known] | str:
    """The pictures that words mean, or a question where they are not there."""
    if pictures.which in ("numbers", "ordinal"):
        return _named(pictures, context, outputs)
    drawn = [known for known in context.past if known.number in context.last_turn]
    handed = [known for known in context.past if known.number in context.handed]
    for reach in (context.outputs, context.attached, handed, drawn or context.past[-1:]):
        if reach:
            return reach[-1:] if pictures.which == "last" else list(reach)
    return "There is no picture yet. Draw one first, or attach some."


def _named(pictures: Pictures, context: Context, outputs: Sequence[OutputSpec]) -> list[Known] | str:
    found = []
    for number in pictures.numbers:
        known: Known | str
        if outputs and pictures.attached and not context.attached and number <= len(context.outputs):
            known = context.outputs[number - 1]
        else:
            kind: Kind = "ordinal" if pictures.which == "ordinal" else "picture_number"
            known = context.resolve(Lexeme(kind, number, str(number) if pictures.attached else f"#{number}"))
        if isinstance(known, str):
            return known
        found.append(known)
    return found


def _given(request: WorkRequest, kind: str, found: Sequence[Known], first: int) -> Iterator[OutputSpec]:
    """The pictures that come out; one that is only scaled or turned still shows what it did."""
    if kind in _JOINING:
        yield OutputSpec(id=f"output_{first}", description=request.words.format(_listed(found)))
        return
    for number, known in enumerate(found):
        for part in range(_parts(request)):
            words = request.words.format(_called(known), part=part + 1)
            spec = OutputSpec(id=f"output_{first + number * _parts(request) + part}", description=words)
            yield spec if known.shows is None else _still_showing(spec, known.shows, request, kind)


def _still_showing(spec: OutputSpec, shown: OutputSpec, request: WorkRequest, kind: str) -> OutputSpec:
    """`spec` with what it has left of `shown`: all of it when scaled or mirrored, else no places."""
    if kind not in _STILL_SHOWS:
        return spec
    elements, relations = shown.elements, shown.relations
    mirrored = kind == "flip" and "vertical" not in str(request.args)
    if mirrored:
        elements = tuple(
            e.model_copy(update={"position": _MIRRORED.get(e.position or "", e.position)}) for e in elements
        )
        relations = tuple(r.model_copy(update={"kind": _MIRRORED.get(r.kind, r.kind)}) for r in relations)
    elif kind != "resize":
        elements, relations = tuple(e.model_copy(update={"position": None}) for e in elements), ()
    looks = {"background": shown.background, "style": shown.style, "told": mirrored or kind == "resize"}
    return spec.model_copy(update={"elements": elements, "relations": relations, **looks})


def _parts(request: WorkRequest) -> int:
    operation = request.args.get("operation")
    if not isinstance(operation, dict) or operation.get("kind") != "split":
        return 1
    rows, columns = operation.get("rows", 1), operation.get("columns", 1)
    return rows * columns if isinstance(rows, int) and isinstance(columns, int) else 1


def _listed(found: Sequence[Known]) -> str:
    if all(known.kind == "output" for known in found):
        return "both pictures" if len(found) == 2 else f"all {len(found)} pictures"
    names = [_called(known) for known in found]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _called(known: Known) -> str:
    if known.kind == "output":
        return known.name.replace("output_", "picture ")
    return known.name.replace("input_", "image ")
