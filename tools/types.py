"""The vocabulary that tools share: images, masks, boxes, references, sampling, problems, progress.

Everything here is plain data that survives JSON. Pixels live in the artifact store; a ref names
them by the SHA-256 of their PNG file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
AttentionName = Literal["dense", "llsa", "clear", "draft", "svg2", "adaspa", "nabla", "vsa", "efficient-vdit", "tesa"]
"""How attention is computed: densely, or by a sparse policy of that name."""
Role = Literal["subject", "style", "layout", "edit_target", "mask", "panel", "other"]


class ToolError(Exception):
    """A tool refused its input or failed; the message is shown in the conversation."""


class Cancelled(Exception):
    """Raised by a progress callback to stop a tool; nothing of the call is kept."""


class Data(BaseModel):
    """Base of every model here: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageRef(Data):
    """An RGB picture in the artifact store; `sha256` is that of its PNG file."""

    kind: Literal["image"] = "image"
    sha256: Sha256
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class MaskRef(Data):
    """A single-channel mask in the artifact store; 255 marks what may change."""

    kind: Literal["mask"] = "mask"
    sha256: Sha256
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Box(Data):
    """A box in fractions of the picture, x to the right and y down, x1 < x2 and y1 < y2."""

    x1: float = Field(ge=0, le=1)
    y1: float = Field(ge=0, le=1)
    x2: float = Field(ge=0, le=1)
    y2: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Box:
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise ValueError(f"box needs x1 < x2 and y1 < y2, got {self.x1, self.y1, self.x2, self.y2}")
        return self


class Reference(Data):
    """A picture given to a tool, and what it is for."""

    image: ImageRef
    role: Role = "subject"
    description: str = ""
    """What the picture shows, in words; it becomes that panel's part of the joint caption."""


class Sampling(Data):
    """How to integrate the flow; `None` leaves the choice to the model."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    steps: int | None = Field(default=None, ge=1, le=100)
    guidance: float | None = Field(default=None, ge=0, le=30)
    attention: AttentionName | None = None
    """The policy to compute attention with; one that does not pay for the picture's size stays dense and says so."""


class Problem(Data):
    """One machine-readable fault of an input or a plan, so that a planner can repair it."""

    path: str
    """Where, as a dotted path: `nodes.2.args.panels.0.caption`."""
    code: str
    """A stable snake_case word: `unknown_tool`, `cycle`, `bad_reference`, ..."""
    expected: str
    got: str

    @field_validator("expected")
    @classmethod
    def _after_expected(cls, words: str) -> str:
        """pydantic's own messages, made to stand after the word "expected"."""
        return "this field" if words == "Field required" else words.removeprefix("Input should be ")

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got} [{self.code}]"


class Cost(Data):
    """What a call will take: transformer passes x rows x tokens, and a guess at seconds if known."""

    steps: int
    rows: int
    tokens: int
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """One report from a running tool; `preview` is a small RGB uint8 array (H, W, 3) or None."""

    stage: str
    step: int
    total: int
    preview: object | None = None


ProgressCallback = Callable[[Progress], None]


class ToolInput(Data):
    """Base of a tool's input."""


class ToolOutput(Data):
    """Base of a tool's output; `images` is what downstream nodes refer to by index."""

    images: tuple[ImageRef, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    report: dict[str, float | int | str] = Field(default_factory=dict)


class ToolSpec(Data):
    """What the catalogue and planners know of a tool."""

    name: str
    version: str
    summary: str
    input_schema: dict[str, object]
    output_schema: dict[str, object]
    deterministic: bool = True
    fusable: bool = False
