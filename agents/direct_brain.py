"""Requests that name their tool, read before any brain reads the rest: a LoRA, a story, boxes, given subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatdit.agents.brain import Brain, Painter, Request, with_sight
from chatdit.agents.instruction import Instruction
from chatdit.agents.layout_request import read_layout
from chatdit.agents.lora_request import read_lora
from chatdit.agents.plan import Plan
from chatdit.agents.planner import Draft
from chatdit.agents.story_request import read_story
from chatdit.agents.subject_request import read_boxed_subjects, read_subject
from chatdit.tools.types import ImageRef, Problem

if TYPE_CHECKING:
    from PIL import Image

Reader = Callable[[Request, Brain], Instruction | None]
READERS: tuple[Reader, ...] = (read_lora, read_story, read_boxed_subjects, read_layout, read_subject)


@dataclass(frozen=True)
class DirectBrain:
    """`brain`, which is asked for everything that names no tool."""

    brain: Brain

    @property
    def name(self) -> str:
        """The brain's own."""
        return self.brain.name

    def seeing(self, open_image: Callable[[ImageRef], Image.Image]) -> DirectBrain:
        """The same around a brain that sees attached pictures."""
        return DirectBrain(with_sight(self.brain, open_image))

    def parse(self, request: Request) -> Instruction:
        """What the first reader finds, or what the brain reads."""
        for read in READERS:
            if (found := read(request, self.brain)) is not None:
                return found
        return self.brain.parse(request)

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """One node for a call; the brain's own plan for everything else."""
        if instruction.call is None:
            return self.brain.plan(instruction, problems, painter=painter, seed=seed)
        draft = Draft(instruction, seed)
        draft.call(instruction.call)
        return draft.plan()
