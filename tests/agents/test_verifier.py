"""The verifier: what counts as blank, missing or of the wrong size, and what a repair changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from chatdit.agents.instruction import OutputSpec
from chatdit.agents.plan import Node, Plan, PlanOutput
from chatdit.agents.verifier import answers, blank_nodes, check_outputs, is_blank, reseeded
from chatdit.tools.types import ImageRef, Problem, ToolOutput

if TYPE_CHECKING:
    from tests.agents.conftest import Bench

rng = np.random.default_rng(0)
NOISE = rng.integers(0, 256, (16, 16, 3), np.uint8)
RAMP = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[:, None], (16, 16))
ONE_DOT = np.full((256, 256, 3), 255, np.uint8)
ONE_DOT[100:130, 100:130] = 0


@pytest.mark.parametrize(
    ("pixels", "blank"),
    [
        (NOISE, False),
        (RAMP, False),
        (ONE_DOT, False),
        (np.full((16, 16, 3), 127, np.uint8), True),
        (np.full((16, 16, 3), 127, np.uint8) + NOISE % 3, True),
        (np.broadcast_to(np.array([255, 0, 0], np.uint8), (16, 16, 3)), True),
        (np.where(RAMP > 0.5, np.nan, RAMP), True),
        (np.where(RAMP > 0.9, np.inf, RAMP), True),
        (np.zeros((0, 0, 3), np.uint8), True),
    ],
    ids=["noise", "ramp", "one dot", "grey", "faint noise", "one colour", "nan", "infinite", "empty"],
)
def test_blank(pixels: NDArray[Any], blank: bool) -> None:
    assert is_blank(pixels) is blank


def put(bench: Bench, pixels: NDArray[np.uint8]) -> ImageRef:
    return bench.store.put_image(Image.fromarray(pixels))


def test_each_fault_is_reported_at_its_output(bench: Bench) -> None:
    good, flat = put(bench, NOISE), put(bench, np.zeros((16, 16, 3), np.uint8))
    gone = ImageRef(sha256="f" * 64, width=16, height=16)
    asked = [OutputSpec(id=name, description="x", size=(16, 16)) for name in ("good", "flat", "gone", "none")]
    asked.append(OutputSpec(id="small", description="x", size=(32, 16)))
    images = {"good": good, "flat": flat, "gone": gone, "small": good}
    issues = check_outputs(asked, images, bench.store)
    assert [(issue.path, issue.code) for issue in issues] == [
        ("outputs.flat", "blank_picture"),
        ("outputs.gone", "unreadable_picture"),
        ("outputs.none", "missing_picture"),
        ("outputs.small", "wrong_size"),
    ]
    assert (issues[3].expected, issues[3].got) == ("32x16 pixels", "16x16")


def test_any_size_is_right_when_none_was_asked(bench: Bench) -> None:
    asked = [OutputSpec(id="output_1", description="x")]
    assert check_outputs(asked, {"output_1": put(bench, NOISE)}, bench.store) == ()


def two_nodes() -> Plan:
    nodes = [
        Node(id="draw_1", tool="generate", args={"panels": [{"caption": "x"}], "sampling": {"seed": 4, "steps": 2}}),
        Node(id="draw_2", tool="generate", args={"panels": [{"caption": "y"}]}),
    ]
    outputs = (PlanOutput(id="output_1", node="draw_1"), PlanOutput(id="output_2", node="draw_2"))
    return Plan(nodes=tuple(nodes), outputs=outputs)


def test_answers_leave_out_what_was_not_made() -> None:
    image = ImageRef(sha256="a" * 64, width=8, height=8)
    made = {"draw_1": ToolOutput(images=(image,), seconds=0), "draw_2": ToolOutput(images=(), seconds=0)}
    assert answers(two_nodes(), made) == {"output_1": image}
    assert answers(two_nodes(), {}) == {}


def test_repair_takes_the_next_seed_of_blank_nodes_alone(bench: Bench) -> None:
    plan = two_nodes()
    issues = [
        Problem(path="outputs.output_1", code="blank_picture", expected="", got=""),
        Problem(path="outputs.output_2", code="wrong_size", expected="", got=""),
    ]
    assert blank_nodes(plan, issues, bench.tools) == ("draw_1",)
    repaired = reseeded(plan, ("draw_1",))
    assert repaired.nodes[0].args["sampling"] == {"seed": 5, "steps": 2}
    assert repaired.nodes[1] == plan.nodes[1]
    assert plan.nodes[0].args["sampling"] == {"seed": 4, "steps": 2}


def test_seed_that_was_left_out_and_the_last_seed_have_a_next_one() -> None:
    plan = two_nodes()
    assert reseeded(plan, ("draw_2",)).nodes[1].args["sampling"] == {"seed": 1}
    last = plan.nodes[0].model_copy(update={"args": {"sampling": {"seed": 2**63 - 1}}})
    plan = plan.model_copy(update={"nodes": (last,)})
    assert reseeded(plan, ("draw_1",)).nodes[0].args["sampling"] == {"seed": 0}
