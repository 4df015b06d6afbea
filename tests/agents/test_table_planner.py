"""Every row of the release's table, its limit, and the brain that plans by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatdit.agents.brain import Painter, Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import PlanError
from chatdit.agents.planner import plan_instruction
from chatdit.agents.table_planner import Step, TableBrain, plan_table, table_steps
from chatdit.agents.validator import check_plan
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatdit.agents.plan import Plan

WIDE = Painter(max_panels=12)

ROWS: dict[tuple[int, int], list[Step]] = {
    (0, 0): [],
    (0, 1): [((0,), (), ())],
    (0, 4): [((0, 1, 2, 3), (), ())],
    (0, 5): [((0, 1, 2, 3), (), ()), ((4,), (), (0, 1, 2))],
    (0, 6): [((0, 1, 2, 3), (), ()), ((4,), (), (0, 1, 2)), ((5,), (), (0, 1, 2))],
    (1, 0): [],
    (1, 1): [((0,), (0,), ())],
    (1, 3): [((0,), (0,), ()), ((1,), (0,), (0,)), ((2,), (0,), (0, 1))],
    (2, 1): [((0,), (0, 1), ())],
    (3, 2): [((0,), (0, 1, 2), ()), ((1,), (0, 1, 2), ())],
}


def asking(inputs: int, outputs: int) -> Instruction:
    return Instruction.model_validate(
        {
            "inputs": [
                {"id": f"input_{i}", "image": {"sha256": f"{i:064x}", "width": 64, "height": 64}}
                for i in range(1, inputs + 1)
            ],
            "outputs": [{"id": f"output_{i}", "description": f"caption {i}"} for i in range(1, outputs + 1)],
        }
    )


@pytest.mark.parametrize(("inputs", "outputs"), ROWS)
def test_row_of_the_table(inputs: int, outputs: int) -> None:
    assert list(table_steps(inputs, outputs)) == ROWS[inputs, outputs]


@pytest.mark.parametrize(("inputs", "outputs"), [counts for counts, steps in ROWS.items() if steps])
def test_plan_of_the_row_is_sound_and_seeded_once(inputs: int, outputs: int) -> None:
    instruction = asking(inputs, outputs)
    plan = plan_table(instruction, WIDE, seed=2024)
    assert check_plan(plan, TOOLS, instruction) == []
    assert [output.id for output in plan.outputs] == [output.id for output in instruction.outputs]
    assert len(plan.nodes) == len(ROWS[inputs, outputs])
    assert {str(node.args["sampling"]) for node in plan.nodes} == {"{'seed': 2024}"}


def test_later_steps_are_shown_pictures_of_earlier_nodes() -> None:
    args: Any = plan_table(asking(1, 3), WIDE).nodes[2].args
    assert [reference["image"] for reference in args["references"]] == [
        {"$input": "input_1"},
        {"$node": "draw_1", "index": 0},
        {"$node": "draw_2", "index": 0},
    ]
    assert args["context"] == "canvas"


def test_chain_ends_where_the_grid_is_full() -> None:
    assert len(plan_table(asking(1, 11), WIDE).nodes) == 11
    with pytest.raises(PlanError, match=r"at most 12 panels a step.*got 12 shown and 1 drawn"):
        plan_table(asking(1, 12), WIDE)
    with pytest.raises(PlanError, match="at most 4 panels a step"):
        plan_table(asking(1, 4), Painter())


class Reader:
    name = "offline"

    def parse(self, request: Request) -> Instruction:
        return asking(0, len(request.text))

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        return plan_instruction(instruction, painter, seed)


def test_table_brain_reads_with_the_other_and_plans_by_the_table() -> None:
    brain = TableBrain(Reader())
    instruction = brain.parse(Request("abc"))
    assert brain.name == "table (offline reads)"
    assert len(instruction.outputs) == 3
    assert brain.plan(instruction, painter=WIDE, seed=5) == plan_table(instruction, WIDE, 5)
    problem = Problem(path="nodes", code="over_budget", expected="fewer", got="many")
    with pytest.raises(PlanError, match="over_budget"):
        brain.plan(instruction, [problem], painter=WIDE)
