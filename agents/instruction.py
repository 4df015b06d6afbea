"""Instruction: what a person asked for, as data. The parser's output and the planner's input."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, computed_field, model_validator

from chatdit.tools.edit import EditWay
from chatdit.tools.types import Data, ImageRef, Role

Position = Literal["left", "right", "top", "bottom", "middle"]
RelationKind = Literal["left of", "right of", "above", "below"]


class Accessory(Data):
    """What a subject wears: one of the painter's accessories, in one of its tints."""

    kind: str
    colour: str


class Element(Data):
    """One subject in an output: what, how many, how big, which colour, where, and what it wears."""

    subject: str
    """Canonical subject name, or the person's own words when the painter has an open vocabulary."""
    count: int = Field(default=1, ge=1, le=12)
    size: Literal["small", "medium", "large"] = "medium"
    tint: str | None = None
    position: Position | None = None
    worn: Accessory | None = None


class Relation(Data):
    """`elements[a]` stands `kind` `elements[b]`."""

    a: int = Field(ge=0)
    kind: RelationKind
    b: int = Field(ge=0)


class OutputSpec(Data):
    """One picture that must come out."""

    id: str
    """`output_1`, `output_2`, ... in the order asked."""
    description: str
    """The caption handed to the painter, self-contained."""
    elements: tuple[Element, ...] = ()
    relations: tuple[Relation, ...] = ()
    background: str | None = None
    style: str | None = None
    references: tuple[str, ...] = ()
    """Ids of inputs or of earlier outputs that this picture must agree with."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None leaves it to the painter."""
    ways: tuple[EditWay, ...] = ()
    """How it is changed, where no caption says that."""
    told: bool = False
    """True when `description` tells all that it shows: no picture need be seen to draw it."""

    @model_validator(mode="before")
    @classmethod
    def _without_subjects(cls, value: object) -> object:
        """`subjects` is written for readers of the JSON, and follows from `elements` when read back."""
        return {k: v for k, v in value.items() if k != "subjects"} if isinstance(value, dict) else value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def subjects(self) -> tuple[str, ...]:
        """Canonical subject names in order of mention, each once."""
        return tuple(dict.fromkeys(e.subject for e in self.elements))


class InstructionInput(Data):
    """One picture that goes in: attached to this turn, or an earlier picture of the session."""

    id: str
    """`input_1`, `input_2`, ... in the order of attachment, then earlier pictures referred to."""
    image: ImageRef
    role: Role = "subject"
    description: str = ""
    caption: str = ""
    """By which it was drawn here, if it was."""
    picture: int | None = None
    """The session's picture number (`#7`) when it was made or shown earlier; None for a new file."""
    shows: OutputSpec | None = None
    """What it shows, when words tell all of that."""
    earlier: tuple[ImageRef, ...] = ()
    """The versions that it came from by edits, oldest first."""

    def images(self) -> dict[str, ImageRef]:
        """The picture and its earlier versions, each under the name that a plan has for it."""
        return {self.id: self.image} | {self.earlier_name(k): image for k, image in enumerate(self.earlier)}

    def earlier_name(self, version: int) -> str:
        """A plan's name for an earlier version, counted from 0."""
        return f"{self.id}_version_{version + 1}"


class PictureWork(Data):
    """Something done to whole pictures by a tool that draws nothing: joined, cropped, cut out."""

    tool: Literal["compose", "segment"]
    args: dict[str, JsonValue]
    """The tool's input without its pictures."""
    takes: tuple[str, ...] = Field(min_length=1)
    """Ids of inputs or of outputs that are drawn, in order."""
    gives: tuple[OutputSpec, ...] = Field(min_length=1)
    """The pictures that come out; they are among the instruction's outputs."""


class ToolCall(Data):
    """A tool that the words name, and its input without the seed; its pictures are the outputs, in order."""

    tool: Literal["ic_lora", "layout", "subject", "story"]
    args: dict[str, JsonValue]


class Instruction(Data):
    """A whole turn's request."""

    inputs: tuple[InstructionInput, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    works: tuple[PictureWork, ...] = ()
    """What is done to pictures once the others are drawn."""
    call: ToolCall | None = None
    """The one call that gives all outputs, when the words name a tool."""
    keep: tuple[str, ...] = ()
    """What must stay as it is, in words ("everything else", "the background")."""
    same_identity: bool = False
    """True when the outputs show the same character ("the same cat"): draw them in one context."""
    new_seed: bool = False
    """True for "try again": draw with a seed that was not used for this picture before."""
    questions: tuple[str, ...] = ()
    """What must be asked before anything can be drawn; not empty means: do not draw."""
    notices: tuple[str, ...] = ()
    """What was left out or assumed, in words for the person."""

    def drawn(self) -> Instruction:
        """The part of it that is drawn: without works and what they give."""
        given = {output.id for work in self.works for output in work.gives}
        return self.model_copy(update={"outputs": tuple(o for o in self.outputs if o.id not in given), "works": ()})
