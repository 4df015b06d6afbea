"""Requests that say in numbers where things stand: "a cat [0.1, 0.5, 0.4, 0.9] and a car [0.5, 0.5, 0.9, 0.9]".

Boxes are left, top, right and bottom, in fractions or in per cent of the picture.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pydantic import JsonValue

from chatdit.agents.brain import Brain, Request
from chatdit.agents.instruction import Instruction, OutputSpec, ToolCall

_NUMBER = r"(\d+(?:\.\d+)?|\.\d+) ?%?"
BOX = re.compile(
    rf"(?:\b(?:in|at|inside|within) )?(?:the |a )?(?:\bbox )?"
    rf"[\[(] ?{_NUMBER}[, ]+{_NUMBER}[, ]+{_NUMBER}[, ]+{_NUMBER} ?[\])]"
)
_LEAD = re.compile(
    r"^(?:[\s,;.:]|and\b|with\b|then\b|please\b|put\b|place\b|draw\b|make\b|show me\b|create\b|paint\b|a picture of\b)+"
)


def read_layout(request: Request, brain: Brain) -> Instruction | None:
    """One picture with each thing in its box; None where the words tell no box."""
    text = " ".join(request.text.split())
    if not BOX.search(text):
        return None
    boxes, at, question = boxes_in(text)
    if question:
        return Instruction(questions=(question,))
    rest = text[at:].strip(" ,.!")
    args: dict[str, JsonValue] = {"boxes": [*boxes]}
    if rest and request.painter.open_vocabulary:
        args["background"] = rest
    elif rest:
        # the brain reads place and style as behind any subject; more subjects than that one have no box
        over = brain.parse(replace(request, text=f"a cat {rest}", inputs=(), pictures=(), history=()))
        if over.questions:
            return Instruction(questions=over.questions)
        (read, *more) = over.outputs
        if more or len(read.elements) != 1 or read.elements[0].count != 1:
            return Instruction(questions=(f"Where do I put what stands in '{rest}'? Give each thing a box.",))
        args |= {name: said for name, said in (("background", read.background), ("style", read.style)) if said}
    described = " and ".join(str(b["phrase"]) for b in boxes)
    output = _told(f"{described} {rest}".strip(), request, brain)
    return Instruction(outputs=(output,), call=ToolCall(tool="layout", args=args))


def _told(words: str, request: Request, brain: Brain) -> OutputSpec:
    """The picture as the brain reads it, so that later turns know what it shows; else in these words alone."""
    if not request.painter.open_vocabulary:
        read = brain.parse(replace(request, text=words, inputs=(), pictures=(), history=()))
        if not read.questions and len(read.outputs) == 1:
            return read.outputs[0].model_copy(update={"id": "output_1"})
    return OutputSpec(id="output_1", description=words)


def boxes_in(text: str) -> tuple[list[dict[str, JsonValue]], int, str]:
    """Phrases with their boxes, the letter behind the last one, and what must be asked first, if anything."""
    boxes: list[dict[str, JsonValue]] = []
    at = 0
    for box in BOX.finditer(text):
        phrase = _LEAD.sub("", text[at : box.start()].lower()).strip(" ,;:")
        at = box.end()
        sides = [float(n) for n in box.groups()]
        if max(sides) > 1:
            sides = [side / 100 for side in sides]
        x1, y1, x2, y2 = sides
        if not (x1 < x2 <= 1 and y1 < y2 <= 1):
            told = f"The box {box.group().strip()} is none"
            return [], at, f"{told}: expected left, top, right, bottom, in fractions or per cent."
        if not phrase:
            return [], at, f"What stands in the box {box.group().strip()}?"
        boxes.append({"phrase": phrase, "box": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}})
    return boxes, at, ""
