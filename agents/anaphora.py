"""What "it", "the same cat", "image 2", "#3", "the last one" and "this" refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from chatdit.agents.brain import Request
from chatdit.agents.clauses import Noun
from chatdit.agents.drafts import Draft, draft_of
from chatdit.agents.instruction import Element, InstructionInput, OutputSpec
from chatdit.agents.lexer import Lexeme
from chatdit.tools.types import ImageRef, Role


@dataclass(frozen=True)
class Known:
    """A picture that words can refer to: drawn earlier, attached now, or asked for in this message."""

    kind: Literal["past", "attached", "output"]
    name: str
    """`#3`, `input_1` or `output_1`."""
    draft: Draft
    number: int = 0
    image: ImageRef | None = None
    shows: OutputSpec | None = None
    """What it shows, when words tell all of that."""
    earlier: tuple[ImageRef, ...] = ()
    """The versions that it came from by edits."""
    caption: str = ""
    """By which it was drawn, if it was."""


@dataclass
class Context:
    """The pictures in reach, oldest first, and the references handed out so far."""

    past: list[Known]
    attached: list[Known]
    last_turn: tuple[int, ...] = ()
    outputs: list[Known] = field(default_factory=list)
    inputs: list[InstructionInput] = field(default_factory=list)
    handed: tuple[int, ...] = ()
    """Numbers of earlier pictures that came with the message."""

    @property
    def focus(self) -> Known | None:
        """What the conversation is about: the last output asked for, else what is attached, else the last picture."""
        handed = [known for known in self.past if known.number in self.handed]
        for pictures in (self.outputs, self.attached, handed, self.past):
            if pictures:
                return pictures[-1]
        return None

    def find(self, noun: Noun) -> tuple[Known, Element] | None:
        """The latest picture that shows `noun`, and the element there; a named tint must agree when one does."""
        reach = [*self.past, *self.attached, *self.outputs][::-1]
        found = [(known, e) for known in reach for e in known.draft.elements if e.subject == noun.subject]
        exact = [pair for pair in found if noun.change.tint and pair[1].tint == noun.change.tint]
        return next(iter(exact or found), None)

    def resolve(self, word: Lexeme) -> Known | str:
        """The picture that `word` names, or a question when there is none."""
        if word.kind == "ordinal":
            return self._by_order(word)
        if word.kind in ("deictic", "attached"):
            return self.focus or f"I do not know which picture {word.text!r} is: attach one or say its number."
        number = int(word.value)
        named = next((known for known in self.attached if known.name == f"input_{number}"), None)
        if word.text[0] != "#" and named is not None:
            return named
        by_number = {known.number: known for known in self.past}
        return by_number.get(number) or f"There is no picture #{number}; {self._in_reach()}. Which one do you mean?"

    def refer(self, known: Known, role: Role) -> str:
        """The reference id of `known`; an earlier picture becomes an input the first time."""
        if known.kind == "output":
            return known.name
        for at, given in enumerate(self.inputs):
            if given.id == known.name or (known.number and given.picture == known.number):
                if given.role == "subject":
                    self.inputs[at] = given.model_copy(update={"role": role, "earlier": known.earlier})
                return given.id
        if known.image is None:
            raise ValueError(f"picture {known.name} has no image to refer to")
        taken = {given.id for given in self.inputs}
        name = next(f"input_{n}" for n in range(1, len(taken) + 2) if f"input_{n}" not in taken)
        given = InstructionInput(
            id=name,
            image=known.image,
            role=role,
            caption=known.caption,
            picture=known.number,
            shows=known.shows,
            earlier=known.earlier,
        )
        self.inputs.append(given)
        return name

    def _by_order(self, word: Lexeme) -> Known | str:
        named = next((known for known in self.attached if known.name == f"input_{word.value}"), None)
        if named is not None:
            return named
        reach = self.attached or [known for known in self.past if known.number in self.last_turn]
        if len(reach) < 2 and not self.attached:
            reach = self.past
        at = int(word.value) - 1 if int(word.value) > 0 else -1
        try:
            return reach[at]
        except IndexError:
            return f"There is no {word.text} picture; {self._in_reach()}. Which one do you mean?"

    def _in_reach(self) -> str:
        numbers = [f"#{known.number}" for known in self.past]
        return f"there are {', '.join(numbers[-8:])}" if numbers else "nothing is drawn yet"


def context_of(request: Request, described: Sequence[Draft] = ()) -> Context:
    """The pictures that `request` can refer to; `described` are drafts of the attached pictures' descriptions."""
    past = [
        Known(
            "past",
            f"#{p.number}",
            draft_of(p.output),
            p.number,
            p.image,
            _told(p.output),
            p.earlier,
            p.output.description,
        )
        for p in request.pictures
    ]
    drafts = [*described, *[Draft()] * len(request.inputs)]
    attached = [
        Known("attached", given.id, draft, image=given.image, shows=given.shows)
        for given, draft in zip(request.inputs, drafts, strict=False)
        if given.picture is None and given.role not in ("mask", "other")
    ]
    drawn = next((turn.pictures for turn in reversed(request.history) if turn.pictures), ())
    handed = tuple(given.picture for given in request.inputs if given.picture is not None)
    return Context(past, attached, drawn, inputs=list(request.inputs), handed=handed)


def _told(output: OutputSpec) -> OutputSpec | None:
    return output if output.told else None
