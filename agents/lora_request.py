"""Requests for a LoRA, read before any brain reads the rest: "a fox on the beach with the growth lora".

What is left of the words says what the panels show, or which pictures are given ("apply the colouring lora to #1").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pydantic import JsonValue

from chatdit.agents.anaphora import Context, Known, context_of
from chatdit.agents.brain import Brain, Request
from chatdit.agents.instruction import Instruction, OutputSpec, ToolCall
from chatdit.agents.picture_works import meant
from chatdit.agents.work_grammar import pictures_named
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.shelf import find_lora
from chatdit.tools.pocket.scene import NAMELESS
from chatdit.tools.types import ToolError

_NAMED = r"(?:the |my |our )?(?P<name>[a-z0-9][\w-]*) lora"
_PLEASE = r"(?:please |now |then |(?:can|could) you )*"
_FORMS = (
    re.compile(
        rf"{_PLEASE}(?:use|apply|try|take|run|with|using) {_NAMED}(?:\s*[:,]\s*|\s+(?:on|to|for|with)\s+)(?P<rest>.+)"
    ),
    re.compile(rf"{_PLEASE}(?:make |draw |create |give me |show me )?(?:a |an )?{_NAMED} of (?P<rest>.+)"),
    re.compile(rf"(?P<rest>.+?)[,;:]? (?:with|using|by|through|via|in) {_NAMED}"),
)
_SPACES = re.compile(r"\s+")


def split_off_lora(text: str) -> tuple[str, str | None]:
    """The text without the words that ask for a LoRA, and its name; the whole text and None where none is asked for."""
    whole = _SPACES.sub(" ", text).strip(" .!?")
    for form in _FORMS:
        if found := form.fullmatch(whole.lower()):
            return whole[found.start("rest") : found.end("rest")], found["name"].replace("_", "-")
    return text, None


def read_lora(request: Request, brain: Brain) -> Instruction | None:
    """What `brain` reads in the rest of the words, with a picture for each panel that is to be drawn."""
    rest, name = split_off_lora(request.text)
    if name is None:
        return None
    try:
        card = find_lora(name).card
    except ToolError as error:
        return Instruction(questions=(f"{error}.",))
    given = pictures_named(rest)
    if given is not None:
        context = context_of(request)
        return _of_pictures(context, meant(given, context, ()), card)
    return _of_words(brain.parse(replace(request, text=rest)), card)


def _of_pictures(context: Context, found: list[Known] | str, card: LoraCard) -> Instruction:
    """The given pictures in the first panels that the LoRA was trained to be shown, the others drawn."""
    if isinstance(found, str):
        return Instruction(questions=(found,))
    panels = card.given or tuple(range(1, card.panels + 1))
    if len(found) > min(len(panels), card.panels - 1):
        most = min(len(panels), card.panels - 1)
        return Instruction(questions=(f"The {card.name} LoRA takes {most} picture{'s' * (most > 1)}; which one?",))
    known = {panel: context.refer(picture, "panel") for panel, picture in zip(panels, found, strict=False)}
    told = next((_unstyled(k.shows.description) for k in found if k.shows is not None), f"a {NAMELESS}")
    return _asked(Instruction(inputs=tuple(context.inputs)), card, [told] * card.panels, known)


def _of_words(read: Instruction, card: LoraCard) -> Instruction:
    """A panel for each picture that the words ask for, or all panels of the one."""
    if read.questions or not read.outputs:
        return read
    captions = [output.description for output in read.outputs]
    if len(captions) == 1:
        captions *= card.panels
    names = list(dict.fromkeys(name for output in read.outputs for name in output.references))
    inputs = {entry.id for entry in read.inputs}
    panels = card.given or tuple(range(1, card.panels + 1))
    known = dict(zip(panels, [name for name in names if name in inputs], strict=False))
    return _asked(read, card, captions, known)


def _asked(read: Instruction, card: LoraCard, captions: Sequence[str], known: dict[int, str]) -> Instruction:
    drawn = [panel for panel in range(1, len(captions) + 1) if panel not in known]
    outputs = tuple(_output(i, panel, read, card, captions) for i, panel in enumerate(drawn, start=1))
    same = list(captions)[:1] if len(set(captions)) == 1 and len(captions) == card.panels else list(captions)
    args: dict[str, JsonValue] = {"lora": card.name, "captions": [*same]}
    if known:
        args["known"] = [{"panel": panel, "image": {"$input": name}} for panel, name in known.items()]
    notice = f"The {card.name} LoRA makes {card.panels} panels: {card.summary}."
    changed = {
        "outputs": outputs,
        "works": (),
        "call": ToolCall(tool="ic_lora", args=args),
        "same_identity": False,
        "notices": (*read.notices, notice),
    }
    return read.model_copy(update=changed)


def _output(number: int, panel: int, read: Instruction, card: LoraCard, captions: Sequence[str]) -> OutputSpec:
    """A drawn panel, as it was read where its caption was, so that later turns know what it shows."""
    told = card.told(captions[panel - 1], min(panel, card.panels))
    known = next((output for output in read.outputs if output.description == told), None)
    if known is None:
        return OutputSpec(id=f"output_{number}", description=told)
    return known.model_copy(update={"id": f"output_{number}", "references": ()})


def _unstyled(description: str) -> str:
    return re.sub(r", [a-z ]+ style$", "", description)
