"""The baseline without references: every output by itself."""

from __future__ import annotations

import pytest

from chatdit.agents.brain import Painter, Request, make_brain
from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import PlanError
from chatdit.agents.rephrase_planner import RephraseBrain, plan_rephrased
from chatdit.tools.types import ImageRef, Problem

SHOWN = InstructionInput(id="input_1", image=ImageRef(sha256="a" * 64, width=256, height=256))
OUTPUTS = tuple(
    OutputSpec(id=f"output_{i}", description=f"a cat, {i}", references=("input_1", "output_1")[: i + 1]) for i in (1, 2)
)


def test_every_output_is_drawn_alone_and_shown_nothing() -> None:
    plan = plan_rephrased(Instruction(inputs=(SHOWN,), outputs=OUTPUTS, same_identity=True), seed=7)
    assert [node.args["panels"] for node in plan.nodes] == [[{"caption": "a cat, 1"}], [{"caption": "a cat, 2"}]]
    assert all("references" not in node.args and node.args["context"] == "separate" for node in plan.nodes)
    seeds = [node.args["sampling"]["seed"] for node in plan.nodes]  # type: ignore[index, call-overload]
    assert seeds[0] == 7 != seeds[1]
    assert [(o.id, o.node) for o in plan.outputs] == [("output_1", "draw_1"), ("output_2", "draw_2")]


def test_it_reads_as_the_brain_within_and_has_no_second_plan() -> None:
    brain, offline = RephraseBrain(make_brain("offline")), make_brain("offline")
    request = Request("a cat on the beach, then the same cat on the moon")
    assert brain.name == "rephrase (offline reads)" and brain.parse(request) == offline.parse(request)
    plan = brain.plan(brain.parse(request), painter=Painter(), seed=3)
    assert len(plan.nodes) == 2
    with pytest.raises(PlanError):
        brain.plan(brain.parse(request), [Problem(path="x", code="y", expected="a", got="b")], painter=Painter())
