"""Requests for a story: "a story of a fox: on the beach; in the forest; a fox [0.1 0.4 0.5 0.9] at night".

Pages are divided by semicolons, lines or "page 2:". Who they are about is said before the colon, or shown by a picture.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pydantic import JsonValue

from chatdit.agents.anaphora import Known, context_of
from chatdit.agents.brain import Brain, Request
from chatdit.agents.instruction import Instruction, OutputSpec, ToolCall
from chatdit.agents.layout_request import BOX, boxes_in
from chatdit.agents.picture_works import meant
from chatdit.agents.subject_request import NOUN, seen_in
from chatdit.agents.work_grammar import Pictures
from chatdit.tools.story import MOST_PAGES

_FORM = re.compile(
    r"\s*(?:(?:please|now|then|can you|could you|tell|draw|make|paint|write|create|give|show|me|us) )*"
    r"(?:(?:a|an|the|this|my) )?(?:short )?(?:story|storybook|picture book)"
    r"(?: (?:of|with|in) (?:the )?(?:\w+ )?pages)?(?: (?:of|about|with|around) (?P<hero>[^:;.\n]{1,80}))?"
    r"\s*:\s*(?P<pages>.+)",
    re.IGNORECASE | re.DOTALL,
)
_DIVIDER = re.compile(r"\s*(?:;|\n|\bpage \d+\s*[:.])\s*", re.IGNORECASE)
_THAT_ONE = re.compile(rf"\b(?:(?:this|that|the|our|my|its) {NOUN}|it|he|she|they)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:a|an|the|my|our|this|that)\s+", re.IGNORECASE)


def read_story(request: Request, brain: Brain) -> Instruction | None:
    """A page for each part behind the colon; None where no story is asked for, or it has no two pages."""
    found = _FORM.fullmatch(request.text)
    texts = [] if found is None else [text.strip(" .,") for text in _DIVIDER.split(found["pages"]) if text.strip(" .,")]
    if found is None or len(texts) < 2:
        return None
    if len(texts) > MOST_PAGES:
        return Instruction(questions=(f"That story has {len(texts)} pages. Which {MOST_PAGES} shall I draw first?",))
    hero = (found["hero"] or "").strip()
    context = context_of(request)
    shown: Known | None = None
    if request.inputs or _THAT_ONE.fullmatch(hero):
        known = meant(Pictures("last"), context, ())
        if isinstance(known, str):
            return Instruction(questions=(known,))
        shown = known[0]
        hero = seen_in(shown, request.inputs) if not hero or _THAT_ONE.fullmatch(hero) else _ARTICLE.sub("", hero)
        if not hero:
            return Instruction(questions=("What is the subject of that picture called?",))
    bare = _ARTICLE.sub("", hero)
    pages: list[JsonValue] = []
    outputs: list[OutputSpec] = []
    for number, text in enumerate(texts, start=1):
        # a brain may know the subject from its picture alone
        asked = request if shown is not None else replace(request, inputs=(), pictures=(), history=())
        page = _page(text, f"the {bare}" if shown is not None else hero, bare, asked, brain)
        if isinstance(page, str):
            return Instruction(questions=(f"Page {number}: {page}",))
        told, boxes = page
        pages.append({"caption": told.description, **({"boxes": [*boxes]} if boxes else {})})
        outputs.append(told.model_copy(update={"id": f"output_{number}", "references": ()}))
    args: dict[str, JsonValue] = {"pages": pages, "subject": bare}
    if shown is not None:
        args["reference"] = {"$input": context.refer(shown, "panel")}
    return Instruction(inputs=tuple(context.inputs), outputs=tuple(outputs), call=ToolCall(tool="story", args=args))


def _page(
    text: str, hero: str, bare: str, request: Request, brain: Brain
) -> tuple[OutputSpec, list[dict[str, JsonValue]]] | str:
    """One page and its boxes, or what has to be asked."""
    text = " ".join(text.split())
    if bare:
        text = _THAT_ONE.sub(f"the {bare}", text)
        if not re.search(rf"\b{re.escape(bare)}\b", text, re.IGNORECASE):
            text = f"{hero} {text}"
    boxes, _, question = boxes_in(text)
    if question:
        return question
    words = " ".join(BOX.sub(" ", text).split())
    if request.painter.open_vocabulary:
        return OutputSpec(id="page", description=words), boxes
    read = brain.parse(replace(request, text=words))
    if read.questions:
        return read.questions[0]
    if len(read.outputs) != 1:
        return f"I read {len(read.outputs)} pictures in '{words}'; divide pages by semicolons."
    return read.outputs[0], boxes
