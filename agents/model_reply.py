"""What a language model must answer, and that answer checked and turned into an Instruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from chatdit.agents.anaphora import Context, Known, context_of
from chatdit.agents.brain import MAX_PICTURES, Request
from chatdit.agents.drafts import Draft, fit, output_of
from chatdit.agents.instruction import Accessory, Element, Instruction, OutputSpec, Position, RelationKind
from chatdit.agents.unknown_words import near_names
from chatdit.tools.pocket.vocabulary import (
    TINTS,
    Size,
    find_accessory,
    find_background,
    find_style,
    find_subject,
    find_tint,
)
from chatdit.tools.types import Data, Problem, Role


class ReplyElement(Data):
    """One subject of a picture. Every field is required: OpenAI's strict schemas know no defaults."""

    subject: str
    count: int
    size: Size
    tint: str | None
    position: Position | None
    worn: str | None
    worn_colour: str | None


class ReplyInput(Data):
    """What a picture that goes in is for; `id` is `input_1`, ... or `#3` for an earlier picture."""

    id: str
    role: Role
    description: str


class ReplyOutput(Data):
    """One picture to draw; `relation` is that of the first element to the second."""

    description: str
    elements: list[ReplyElement]
    relation: RelationKind | None
    background: str | None
    style: str | None
    references: list[str]


class Reply(Data):
    """The whole answer; questions mean that nothing is drawn yet."""

    inputs: list[ReplyInput]
    outputs: list[ReplyOutput]
    same_identity: bool
    new_seed: bool
    keep: list[str]
    questions: list[str]
    notices: list[str]


@dataclass
class Checked:
    """An Instruction, or the problems that the model has to repair."""

    instruction: Instruction = field(default_factory=Instruction)
    problems: tuple[Problem, ...] = ()


def check_reply(answer: dict[str, object], request: Request) -> Checked:
    """`answer` as an Instruction for `request`, checked against the painter's vocabulary and limits."""
    try:
        reply = Reply.model_validate(answer)
    except ValidationError as error:
        return Checked(problems=tuple(_schema_problem(fault["loc"], fault["msg"]) for fault in error.errors()))
    return _Check(reply, request).result()


def _schema_problem(where: tuple[int | str, ...], message: str) -> Problem:
    path = ".".join(map(str, where)) or "reply"
    return Problem(path=path, code="wrong_schema", expected=message, got="another value or none")


class _Check:
    def __init__(self, reply: Reply, request: Request) -> None:
        self.reply = reply
        self.painter = request.painter
        self.context: Context = context_of(request)
        self.problems: list[Problem] = []
        self.notices = list(reply.notices)
        self.roles: dict[str, Role] = {given.id: given.role for given in reply.inputs}

    def result(self) -> Checked:
        questions = tuple(question for question in self.reply.questions if question.strip())
        if questions:
            return Checked(Instruction(inputs=tuple(self.context.inputs), questions=questions))
        outputs = tuple(self._output(at, output) for at, output in enumerate(self.reply.outputs))
        if not 1 <= len(outputs) <= MAX_PICTURES:
            self._problem("outputs", "count", f"1 to {MAX_PICTURES} outputs, or questions", str(len(outputs)))
        if self.problems:
            return Checked(problems=tuple(self.problems))
        return Checked(
            Instruction(
                inputs=tuple(self.context.inputs),
                outputs=outputs,
                keep=tuple(self.reply.keep),
                same_identity=self.reply.same_identity and len(outputs) > 1,
                new_seed=self.reply.new_seed,
                notices=tuple(dict.fromkeys(self.notices)),
            )
        )

    def _output(self, at: int, output: ReplyOutput) -> OutputSpec:
        path = f"outputs.{at}"
        references = [self._reference(f"{path}.references.{i}", name) for i, name in enumerate(output.references)]
        known = [reference for reference in references if reference]
        spec = (
            self._open(at, path, output, known)
            if self.painter.open_vocabulary
            else self._closed(at, path, output, known)
        )
        self.context.outputs.append(Known("output", spec.id, Draft()))
        return spec

    def _open(self, at: int, path: str, output: ReplyOutput, references: list[str]) -> OutputSpec:
        if not output.description.strip():
            self._problem(f"{path}.description", "empty", "a self-contained caption", repr(output.description))
        elements = tuple(self._element(f"{path}.elements.{i}", e) for i, e in enumerate(output.elements))
        draft = Draft(elements, None, output.background, output.style)
        spec = output_of(draft, at + 1, references, output.description or "?")
        return spec.model_copy(update={"background": output.background, "style": output.style})

    def _closed(self, at: int, path: str, output: ReplyOutput, references: list[str]) -> OutputSpec:
        """An output in the painter's own words; its caption is ours, so that nothing unknown slips in."""
        before = len(self.problems)
        elements = tuple(self._element(f"{path}.elements.{i}", e) for i, e in enumerate(output.elements))
        background = self._word(f"{path}.background", output.background, find_background, "background")
        style = self._word(f"{path}.style", output.style, find_style, "style")
        if len(self.problems) > before:
            return OutputSpec(id=f"output_{at + 1}", description="?")
        fitted = fit(Draft(elements, output.relation, background, style), has_reference=bool(references))
        for question in fitted.questions:
            self._problem(path, "cannot_draw", "a scene that the painter can draw", question)
        if fitted.questions:
            return OutputSpec(id=f"output_{at + 1}", description="?")
        self.notices += fitted.notices
        return output_of(fitted.draft, at + 1, references)

    def _element(self, path: str, element: ReplyElement) -> Element:
        subject, tint = element.subject.strip(), element.tint
        if not self.painter.open_vocabulary:
            subject = self._word(f"{path}.subject", subject, find_subject, "subject") or subject
            tint = self._word(f"{path}.tint", tint, find_tint, "tint")
        if not 1 <= element.count <= 12:
            self._problem(f"{path}.count", "count", "1 to 4", str(element.count))
        count = max(1, min(element.count, 12))
        return Element(
            subject=subject,
            count=count,
            size=element.size,
            tint=tint,
            position=element.position,
            worn=None if self.painter.open_vocabulary else self._worn(path, element),
        )

    def _worn(self, path: str, element: ReplyElement) -> Accessory | None:
        kind = self._word(f"{path}.worn", element.worn, find_accessory, "accessory")
        colour = self._word(f"{path}.worn_colour", element.worn_colour, find_tint, "tint")
        return Accessory(kind=kind, colour=colour or next(iter(TINTS))) if kind else None

    def _word(self, path: str, word: str | None, find: Callable[[str], str | None], what: str) -> str | None:
        """The canonical form of `word`; a word the painter does not know becomes a problem with near names."""
        if word is None or not word.strip():
            return None
        found = find(word.strip().lower())
        if found is None:
            near = ", ".join(near_names(word.lower()))
            expected = f"a {what} from the vocabulary" + (f", such as {near}" if near else "")
            self._problem(path, f"unknown_{what}", expected, repr(word))
        return found

    def _reference(self, path: str, name: str) -> str | None:
        known = next(
            (k for k in (*self.context.attached, *self.context.past, *self.context.outputs) if k.name == name), None
        )
        if known is None:
            self._problem(
                path, "bad_reference", "input_N, #N of an earlier picture, or an earlier output_N", repr(name)
            )
            return None
        return self.context.refer(known, self.roles.get(name, "subject"))

    def _problem(self, path: str, code: str, expected: str, got: str) -> None:
        self.problems.append(Problem(path=path, code=code, expected=expected, got=got))
