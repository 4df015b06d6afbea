"""Requests for the subjects of pictures, read before any brain reads the rest: "put this character on the beach".

"This character" is called by what is seen in its picture, which every brain reads. Who names the tool gets it ("use the
subject tool: ..."); otherwise the planner chooses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pydantic import JsonValue

from chatdit.agents.anaphora import Context, Known, context_of
from chatdit.agents.brain import Brain, Request
from chatdit.agents.instruction import Element, Instruction, InstructionInput, OutputSpec, ToolCall
from chatdit.agents.layout_request import boxes_in
from chatdit.agents.picture_works import meant
from chatdit.agents.subject_references import reference_of, subjects_seen
from chatdit.agents.work_grammar import Pictures, pictures_named
from chatdit.tools.pocket.scene import NAMELESS
from chatdit.tools.subject import MOST_REFERENCES

_PLEASE = r"(?:please |now |then |(?:can|could) you )*"
_TOOL = r"(?:the )?(?:subject|freecus) tool"
_FORMS = (
    re.compile(rf"{_PLEASE}(?:use|try|take|run|with|using) {_TOOL}(?:\s*[:,]\s*|\s+(?:on|to|for|and)\s+)(?P<rest>.+)"),
    re.compile(rf"(?P<rest>.+?)[,;:]? (?:with|using|by|through|via) {_TOOL}"),
)
NOUN = r"(?:character|subject|hero|mascot|figure|creature)"
_PICS = r"(?:the )?(?:image|picture|photo)s? #?\d+(?:(?:, | and |, and )#?\d+)*|#\d+"
_STAND_IN = re.compile(
    rf"\b(?:this|that|these|those|my|our|both|the|all)(?: (?:of )?(?:these|the|two|three|attached|same))* {NOUN}s?\b"
    rf"(?: (?:of|in|from|on) (?P<pics>{_PICS}))?|\b{NOUN}s? (?:of|in|from|on) (?P<pics2>{_PICS})"
)
_SPACES = re.compile(r"\s+")


def split_off_tool(text: str) -> tuple[str, bool]:
    """The text without the words that name the tool, and whether it had some."""
    whole = _SPACES.sub(" ", text).strip(" .!?")
    for form in _FORMS:
        if found := form.fullmatch(whole.lower()):
            return whole[found.start("rest") : found.end("rest")], True
    return text, False


def read_subject(request: Request, brain: Brain) -> Instruction | None:
    """What `brain` reads where subjects are called by their names; a call where the words name the tool."""
    rest, named = split_off_tool(request.text)
    told = _with_names(rest, request)
    if told is None:
        return None if not named else _call(brain.parse(replace(request, text=rest)))
    if isinstance(told, Instruction):
        return told
    read = brain.parse(replace(request, text=told))
    return _call(read) if named else read


def read_boxed_subjects(request: Request, brain: Brain) -> Instruction | None:
    """Given subjects with a box for each: "#1 [0.1 0.4 0.5 0.9] and this character [0.5 0.4 0.9 0.9] on the beach"."""
    text = " ".join(request.text.split())
    boxes, at, question = boxes_in(text)
    if question or not boxes or not (request.inputs or request.pictures):
        return None
    context = context_of(request)
    shown = [_shown_by(str(entry["phrase"]), context, request.inputs) for entry in boxes]
    if not any(shown):
        return None
    told = next((one for one in shown if isinstance(one, str) and one), None)
    if told or not all(shown):
        left = ", ".join(str(entry["phrase"]) for entry, one in zip(boxes, shown, strict=True) if not one)
        return Instruction(
            questions=(told or f"Which picture shows {left}? Boxes are for given subjects, or for words.",)
        )
    known = [one for one in shown if isinstance(one, Known)]
    names = [seen_in(one, request.inputs) or NAMELESS for one in known]
    joined, rest = " and ".join(f"a {name}" for name in names), text[at:].strip(" ,.!")
    output = OutputSpec(id="output_1", description=f"{joined} {rest}".strip())
    if not request.painter.open_vocabulary:
        over = brain.parse(replace(request, text=f"a cat {rest}", inputs=(), pictures=(), history=()))
        if over.questions or len(over.outputs) != 1:
            return Instruction(questions=over.questions or (f"Where do I put what stands in '{rest}'?",))
        things = tuple(Element(subject=name) for name in names if name != NAMELESS)
        words = over.outputs[0].description.replace("a cat", joined, 1)
        output = over.outputs[0].model_copy(update={"id": "output_1", "description": words, "elements": things})
    ids = [context.refer(one, "subject") for one in known]
    references: list[JsonValue] = [
        {"image": {"$input": name}, "word": word, "box": entry["box"]}
        for name, word, entry in zip(ids, names, boxes, strict=True)
    ]
    call = ToolCall(tool="subject", args={"references": references, "caption": output.description})
    output = output.model_copy(update={"references": tuple(ids)})
    return Instruction(inputs=tuple(context.inputs), outputs=(output,), call=call)


def _shown_by(phrase: str, context: Context, inputs: Sequence[InstructionInput]) -> Known | str | None:
    """The picture that a phrase means, or whose subject it names; a question, or None."""
    stand_in = _STAND_IN.fullmatch(phrase)
    words = (stand_in["pics"] or stand_in["pics2"]) if stand_in else phrase
    pictures = pictures_named(words) if words else Pictures("last")
    if pictures is not None:
        found = meant(pictures, context, ())
        return found if isinstance(found, str) else found[0]
    bare = re.sub(r"^(?:a|an|the|my|our) ", "", phrase)
    return next((one for one in context.attached if bare and bare == seen_in(one, inputs)), None)


def _with_names(text: str, request: Request) -> str | Instruction | None:
    """The text in which subjects have the names that are seen in their pictures; None where it speaks of none."""
    found = list(_STAND_IN.finditer(text.lower()))
    if not found or not (request.inputs or request.pictures):
        return None
    context = context_of(request)
    told, at = "", 0
    for part in found:
        words = part["pics"] or part["pics2"]
        pictures = pictures_named(words) if words else None
        known = meant(pictures or Pictures("last" if _single(part.group()) else "both"), context, ())
        if isinstance(known, str):
            return Instruction(questions=(known,))
        names = [seen_in(one, request.inputs) for one in known]
        if not all(names):
            return None
        told += text[at : part.start()] + " and ".join(f"the {name}" for name in names)
        at = part.end()
    return told + text[at:]


def _call(read: Instruction) -> Instruction:
    """The tool, for the one picture that was read, with every picture that it refers to."""
    if read.questions or not read.outputs:
        return read
    output, *others = read.outputs
    if others or read.works:
        return Instruction(questions=("The subject tool draws one picture at a time. Which one first?",))
    inputs = {entry.id: entry for entry in read.inputs if entry.role != "mask"}
    names = [name for name in output.references if name in inputs] or list(inputs)
    if not names:
        return Instruction(questions=("Whose subject? Attach a picture of it, or say which one, for example '#1'.",))
    if len(names) > MOST_REFERENCES:
        return Instruction(questions=(f"The subject tool takes up to {MOST_REFERENCES} pictures. Which ones?",))
    args: dict[str, JsonValue] = {
        "references": [reference_of(inputs[name], output) for name in names],
        "caption": output.description,
    }
    if output.size is not None:
        args["width"], args["height"] = output.size
    call = ToolCall(tool="subject", args=args)
    return read.model_copy(update={"outputs": (output,), "call": call, "same_identity": False})


def _single(words: str) -> bool:
    """Whether "this character", and not "these characters", is spoken of."""
    return not re.search(rf"\b(?:these|those|both|all)\b|{NOUN}s\b", words)


def seen_in(known: Known, inputs: Sequence[InstructionInput]) -> str:
    """What the subject of a picture is called there; empty where that is not known."""
    if known.draft.elements:
        return known.draft.elements[0].subject
    given = next((entry for entry in inputs if entry.id == known.name), None)
    return "" if given is None else next(iter(subjects_seen(given)), "")
