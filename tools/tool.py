"""What a tool is: a typed input, a typed output, and three things to ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.types import Cost, Problem, Progress, ProgressCallback, Sampling, ToolInput, ToolOutput, ToolSpec

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

I = TypeVar("I", bound=ToolInput)  # noqa: E741


class PainterDefaults(Protocol):
    """What a tool must know of a painter, loaded or not; `DiT.defaults` is one. Sides in pixels."""

    @property
    def steps(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def max_panels(self) -> int: ...
    @property
    def open_vocabulary(self) -> bool: ...
    @property
    def guidance(self) -> float: ...
    @property
    def token_size(self) -> int:
        """Side of one image token in pixels; both sides of a picture are multiples of it."""
        ...


@dataclass(frozen=True)
class RunContext:
    """What a run may touch: the painter (loaded when first called), the store, a place to report."""

    dit: Callable[[], DiT]
    store: ArtifactStore
    progress: ProgressCallback
    preview: bool = False
    """Whether progress reports should carry a small picture, which costs time."""


class Tool(Protocol):
    """One thing the conversation can do to pictures; `catalogue.TOOLS` lists them."""

    name: str
    version: str
    """Part of every cache key: raise it whenever the same input would give other pixels."""
    summary: str
    Input: type[ToolInput]
    Output: type[ToolOutput]

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Faults that the input's types cannot express; with `painter`, also what it cannot do."""
        ...

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """What `run` will take, from the input alone."""
        ...

    def run(self, inp: ToolInput, context: RunContext) -> ToolOutput:
        """Do it. Raises ToolError with one clear line, or whatever `context.progress` raises."""
        ...

    def surroundings(self) -> str:
        """What outside of its input and the painter decides its output; a part of every cache key."""
        return ""

    def spec(self) -> ToolSpec:
        """Name, version, summary and the JSON schemas of input and output."""
        return ToolSpec(
            name=self.name,
            version=self.version,
            summary=self.summary,
            input_schema=self.Input.model_json_schema(),
            output_schema=self.Output.model_json_schema(mode="serialization"),
        )


def part_of(progress: ProgressCallback, what: str, index: int, count: int) -> ProgressCallback:
    """Reports of part `index`, counted from 0, as reports of one count over `count` equal parts ("picture 2 of 3")."""

    def report(one: Progress) -> None:
        stage = one.stage if count == 1 else f"{what} {index + 1} of {count}"
        progress(Progress(stage, index * one.total + one.step, count * one.total, one.preview))

    return report


def drawn_with(dit: DiT, sampling: Sampling) -> dict[str, float | int | str]:
    """What every tool that draws reports: the painter, its weights, steps and guidance, as they were settled."""
    return {
        "painter": dit.name,
        "weights": dit.weights_hash,
        "steps": sampling.steps or dit.defaults.steps,
        "guidance": dit.defaults.guidance if sampling.guidance is None else sampling.guidance,
    }


def narrowed(inp: ToolInput, expected: type[I]) -> I:
    """`inp` as the tool's own input type; raises TypeError when it was built for another tool."""
    if not isinstance(inp, expected):
        raise TypeError(f"expected {expected.__name__}, got {type(inp).__name__}: build it with the tool's own Input")
    return inp
