"""The fixed strategy of the ChatDiT release (arXiv 2412.12571), kept as a named baseline.

| inputs | outputs | steps |
|---|---|---|
| 0 | up to 4 | one grid of all outputs |
| 0 | more | a grid of the first 4, then one step an output, shown outputs 1 to 3 |
| 1 | 1 | one step, shown the input |
| 1 | more | one step an output, shown the input and all earlier outputs |
| more | 1 | one step, shown all inputs |
| more | more | one step an output, shown all inputs |

It looks at nothing but the two counts, draws every step with the same seed, and never checks or repairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatdit.agents.brain import Brain, Painter, Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan, PlanError
from chatdit.agents.planner import Draft
from chatdit.tools.types import Problem

GRID = 4
"""Outputs in the one grid of a request without inputs."""
SHOWN = 3
"""Outputs of that grid shown to each further one."""
MAX_PANELS = 12
"""The most panels, shown and drawn together, that one step of the release can hold."""

Step = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Positions of: the outputs drawn, the inputs shown, the earlier outputs shown."""


def plan_table(instruction: Instruction, painter: Painter, seed: int = 0) -> Plan:
    """The release's plan for the instruction's counts, each step one canvas.

    Raises PlanError for a step of more panels than the release's grid (MAX_PANELS) or the painter holds;
    the release fails there as well.
    """
    most = min(MAX_PANELS, painter.max_panels)
    draft = Draft(instruction, seed)
    inputs = [entry.id for entry in instruction.inputs]
    asked = instruction.drawn().outputs
    for drawn, inputs_shown, outputs_shown in table_steps(len(inputs), len(asked)):
        outputs = [asked[i] for i in drawn]
        shown = [*(inputs[i] for i in inputs_shown), *(asked[i].id for i in outputs_shown)]
        if len(shown) + len(outputs) > most:
            expected = f"at most {most} panels a step; plan with `--planner offline` or ask for fewer pictures"
            got = f"{len(shown)} shown and {len(outputs)} drawn"
            path = f"outputs.{outputs[0].id}"
            raise PlanError(Problem(path=path, code="too_many_panels", expected=expected, got=got))
        draft.draw(outputs, shown, "canvas" if shown or len(outputs) > 1 else "separate", seed)
    return draft.plan()


def table_steps(inputs: int, outputs: int) -> Iterator[Step]:
    """The rows of the table, as positions from 0."""
    everything = tuple(range(inputs))
    if inputs == 0:
        if outputs:
            yield tuple(range(min(outputs, GRID))), (), ()
        yield from (((i,), (), tuple(range(SHOWN))) for i in range(GRID, outputs))
    elif inputs == 1:
        yield from (((i,), everything, tuple(range(i))) for i in range(outputs))
    else:
        yield from (((i,), everything, ()) for i in range(outputs))


@dataclass(frozen=True)
class TableBrain:
    """A brain that reads with another one and plans by the table: `--planner table`."""

    reader: Brain

    @property
    def name(self) -> str:
        """For the status line."""
        return f"table ({self.reader.name} reads)"

    def parse(self, request: Request) -> Instruction:
        """What the person asks for, as the reader understands it."""
        return self.reader.parse(request)

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """The table's plan; there is only one, so `problems` raise PlanError."""
        if problems:
            raise PlanError(*problems)
        return plan_table(instruction, painter, seed)
