"""Doubles of this floor's tests: a small tool that really draws and stores, and a brain that follows a script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from chatdit.agents.brain import Painter, Request
from chatdit.agents.instruction import Instruction, OutputSpec
from chatdit.agents.node_cache import NodeCache
from chatdit.agents.plan import Node, Plan, PlanOutput
from chatdit.agents.planner import plan_instruction
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.generate_request import GenerateInput, problems
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, narrowed
from chatdit.tools.types import Cost, Problem, Progress, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

SIDE = 32


class Sketch(Tool):
    """Noise that depends on caption, seed and references; each run is one line of `log`.

    A caption with "fails" raises ToolError, one with "breaks" raises ZeroDivisionError. `flat` says which
    captions and seeds give a blank picture.
    """

    name = "generate"
    version = "1"
    summary = "Draw noise."
    Input = GenerateInput
    Output = ToolOutput

    def __init__(self, log: Path) -> None:
        self.log = log
        self.flat: Callable[[str, int], bool] = lambda caption, seed: False
        self.between_steps: Callable[[], object] = lambda: None

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        return problems(narrowed(inp, GenerateInput), painter)

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        return Cost(steps=3, rows=1, tokens=1)

    def run(self, inp: ToolInput, context: RunContext) -> ToolOutput:
        asked = narrowed(inp, GenerateInput)
        captions = [panel.caption for panel in asked.panels]
        with self.log.open("a") as log:
            log.write(" + ".join(captions) + "\n")
        for step in range(3):
            context.progress(Progress("drawing", step + 1, 3))
            self.between_steps()
        if any("fails" in caption for caption in captions):
            raise ToolError("no paint left: expected some, buy more")
        if any("breaks" in caption for caption in captions):
            raise ZeroDivisionError("division by zero")
        shown = [reference.image.sha256 for reference in asked.references]
        images = tuple(context.store.put_image(self._draw(caption, asked, shown)) for caption in captions)
        return ToolOutput(images=images, seconds=0.1, warnings=("thin paint",) if "thin" in captions[0] else ())

    def _draw(self, caption: str, asked: GenerateInput, shown: Sequence[str]) -> Image.Image:
        panel = next(panel for panel in asked.panels if panel.caption == caption)
        size = (panel.height or SIDE, panel.width or SIDE, 3)
        if self.flat(caption, asked.sampling.seed):
            return Image.fromarray(np.full(size, 127, np.uint8))
        digest = hashlib.sha256(repr((caption, asked.sampling.seed, shown)).encode()).digest()
        return Image.fromarray(np.random.default_rng(list(digest)).integers(0, 256, size, np.uint8))


@dataclass
class ScriptedBrain:
    """Parses every request to `instruction`; plans by `plans`, one a call, and by the planner after those."""

    instruction: Instruction
    plans: list[Plan] = field(default_factory=list)
    problems_seen: list[tuple[Problem, ...]] = field(default_factory=list)
    parsed: int = 0
    breaks: Exception | None = None
    name: str = "scripted"

    def parse(self, request: Request) -> Instruction:
        self.parsed += 1
        if self.breaks is not None:
            raise self.breaks
        return self.instruction

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        self.problems_seen.append(tuple(problems))
        return self.plans.pop(0) if self.plans else plan_instruction(instruction, painter, seed)


@dataclass
class Bench:
    """A tool, a store and a cache under one folder."""

    folder: Path

    def __post_init__(self) -> None:
        self.sketch = Sketch(self.folder / "runs.txt")
        self.tools: dict[str, Tool] = {"generate": self.sketch}
        self.store = ArtifactStore(self.folder / "blobs")
        self.context = RunContext(dit=no_weights, store=self.store, progress=lambda progress: None)
        self.cache = NodeCache(self.folder / "nodes", weights_hash=lambda: "w" * 64)

    @property
    def runs(self) -> list[str]:
        """Captions of each run of the tool so far."""
        return self.sketch.log.read_text().splitlines() if self.sketch.log.exists() else []


def no_weights() -> DiT:
    """A painter that must not be loaded."""
    raise AssertionError("weights were loaded")


def asking(*captions: str, **settings: object) -> Instruction:
    """An instruction for one picture a caption."""
    outputs = [OutputSpec(id=f"output_{i}", description=c) for i, c in enumerate(captions, start=1)]
    return Instruction.model_validate({"outputs": outputs, **settings})


def three_nodes() -> Plan:
    """Draws a, b and c; c is shown b, and b is shown a."""

    def node(name: str, shown: str | None) -> Node:
        references = [{"image": {"$node": f"draw_{shown}"}}] if shown else []
        args = {"panels": [{"caption": name}], "references": references}
        return Node.model_validate({"id": f"draw_{name}", "tool": "generate", "args": args})

    outputs = tuple(PlanOutput(id=f"output_{i}", node=f"draw_{name}") for i, name in enumerate("abc", start=1))
    return Plan(nodes=(node("a", None), node("b", "a"), node("c", "b")), outputs=outputs)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path)


@pytest.fixture
def three() -> Plan:
    return three_nodes()


@pytest.fixture
def scripted() -> Callable[[Instruction], ScriptedBrain]:
    return ScriptedBrain
