"""The plain baseline: every output is drawn alone from its own self-contained caption, without any reference.

It is what a language model that writes prompts for a text-to-image model does (the "rephrase" rows of IDEA-Bench, arXiv
2412.11767): nothing but words ties pictures together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatdit.agents.brain import Brain, Painter, Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan, PlanError
from chatdit.agents.planner import Draft
from chatdit.tools.generate_request import derived_seed
from chatdit.tools.types import Problem


def plan_rephrased(instruction: Instruction, seed: int = 0) -> Plan:
    """One `generate` node for each output, shown nothing."""
    draft = Draft(instruction, seed)
    for i, output in enumerate(instruction.drawn().outputs):
        draft.draw([output], (), "separate", derived_seed(seed, i) if i else seed)
    return draft.plan()


@dataclass(frozen=True)
class RephraseBrain:
    """A brain that reads with another one and plans without references: `--planner rephrase`."""

    reader: Brain

    @property
    def name(self) -> str:
        """For the status line."""
        return f"rephrase ({self.reader.name} reads)"

    def parse(self, request: Request) -> Instruction:
        """What the person asks for, as the reader understands it."""
        return self.reader.parse(request)

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """One step for each output; there is no other plan, so `problems` raise PlanError."""
        if problems:
            raise PlanError(*problems)
        return plan_rephrased(instruction, seed)
