"""The plan validator: every fault by its code and place, and no fault in a sound plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import Budget, Plan
from chatdit.agents.validator import check_plan
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.tool import PainterDefaults, Tool
from chatdit.tools.types import Cost, Data, ImageRef, MaskRef, Problem, ToolInput, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.tool import RunContext

PICTURE = ImageRef(sha256="a" * 64, width=640, height=480)


class CutInput(ToolInput):
    picture: ImageRef
    mask: MaskRef | None = None


class Cut(Tool):
    """A tool that draws no panels, so that nobody knows how many pictures it makes; it wants them wide."""

    name = "cut"
    version = "1"
    summary = "Cut."
    Input = CutInput
    Output = ToolOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        assert isinstance(inp, CutInput)
        if inp.picture.width >= 512:
            return []
        got = f"{inp.picture.width}x{inp.picture.height}"
        return [Problem(path="picture", code="too_small", expected="512 pixels of width", got=got)]

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        return Cost(steps=0, rows=0, tokens=0)

    def run(self, inp: ToolInput, context: RunContext) -> ToolOutput:
        raise AssertionError("the validator ran a tool")


class Limits(Data):
    """A painter that holds two panels."""

    steps: int = 8
    width: int = 256
    height: int = 256
    max_panels: int = 2
    open_vocabulary: bool = False
    guidance: float = 3.0
    multiple: int = 32
    token_size: int = 32


ALL: dict[str, Tool] = {**TOOLS, "cut": Cut()}


def draw(name: str, *captions: str, tool: str = "generate", **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": tool, "args": {"panels": [{"caption": caption} for caption in captions], **args}}


def cut(name: str, picture: Any, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": "cut", "args": {"picture": picture, **args}}


def plan(*nodes: dict[str, Any], answers: str = "", **settings: Any) -> Plan:
    """A plan whose outputs are `answers`, as "node" or "node:index" words."""
    words = [word.partition(":") for word in answers.split()]
    outputs = [{"id": f"output_{i}", "node": n, "index": int(k or 0)} for i, (n, _, k) in enumerate(words, start=1)]
    return Plan.model_validate({"nodes": nodes, "outputs": outputs, **settings})


def found(checked: Plan, instruction: Instruction | None = None, **settings: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in check_plan(checked, ALL, instruction, **settings)]


def shown(source: Any) -> dict[str, Any]:
    return {"references": [{"image": source}]}


def test_what_pydantic_says_stands_after_the_word_expected() -> None:
    problem = Problem(path="width", code="bad_args", expected="Input should be greater than 16", got="8")
    assert str(problem) == "width: expected greater than 16, got 8 [bad_args]"


def test_sound_plan_has_no_problems() -> None:
    checked = plan(
        draw("draw_1", "a cat", "a dog", context="sequence"),
        draw("draw_2", "a fox", **shown({"$node": "draw_1", "index": 1})),
        answers="draw_1 draw_1:1 draw_2",
    )
    assert found(checked) == []


def test_order_of_nodes_in_the_list_does_not_matter() -> None:
    late = draw("draw_2", "a fox", **shown({"$node": "draw_1", "index": 1}))
    assert found(plan(late, draw("draw_1", "a cat", "a dog"), answers="draw_1 draw_1:1 draw_2")) == []


FAULTS: dict[str, tuple[Plan, list[tuple[str, str]]]] = {
    "duplicate id": (plan(draw("a", "x"), draw("a", "y"), answers="a"), [("nodes.1.id", "duplicate_id")]),
    "unknown tool": (plan(draw("a", "x", tool="paint"), answers="a"), [("nodes.0.tool", "unknown_tool")]),
    "no output": (plan(), [("outputs", "empty_plan")]),
    "unknown node in an output": (plan(draw("a", "x"), answers="a b"), [("outputs.1", "unknown_node")]),
    "index out of range in an output": (
        plan(draw("a", "x", "y"), answers="a:1 a:2"),
        [("outputs.1", "bad_index")],
    ),
    "one picture for two outputs": (plan(draw("a", "x"), answers="a a"), [("outputs.1", "shared_picture")]),
    "node nobody needs": (plan(draw("a", "x"), draw("b", "y"), answers="a"), [("nodes.1", "unused_node")]),
    "unknown input": (
        plan(draw("a", "x", **shown({"$input": "input_9"})), answers="a"),
        [("nodes.0.args.references.0.image", "unknown_input")],
    ),
    "unknown node in a slot": (
        plan(draw("a", "x", **shown({"$node": "b"})), answers="a"),
        [("nodes.0.args.references.0.image", "unknown_node")],
    ),
    "index out of range in a slot": (
        plan(draw("a", "x"), draw("b", "y", **shown({"$node": "a", "index": 1})), answers="a b"),
        [("nodes.1.args.references.0.image", "bad_index")],
    ),
    "slot with a key too many": (
        plan(draw("a", "x", **shown({"$input": "input_1", "crop": True})), answers="a"),
        [("nodes.0.args.references.0.image", "bad_slot")],
    ),
    "slot of an unknown kind": (
        plan(draw("a", "x", **shown({"$file": "/etc/passwd"})), answers="a"),
        [("nodes.0.args.references.0.image", "bad_slot")],
    ),
    "negative index": (
        plan(draw("a", "x"), draw("b", "y", **shown({"$node": "a", "index": -1})), answers="a b"),
        [("nodes.1.args.references.0.image", "bad_slot")],
    ),
    "wrong argument": (plan(draw("a", ""), answers="a"), [("nodes.0.args.panels.0.caption", "bad_args")]),
    "unknown argument": (plan(draw("a", "x", speed=2), answers="a"), [("nodes.0.args.speed", "bad_args")]),
    "picture where a mask belongs": (
        plan(cut("a", {"$input": "p"}, mask={"$input": "p"}), answers="a", inputs={"p": PICTURE}),
        [("nodes.0.args.mask.kind", "slot_kind")],
    ),
    "tool's own problem": (
        plan(draw("a", "x"), cut("b", {"$node": "a"}), answers="b"),
        [("nodes.1.args.picture", "too_small")],
    ),
    "over the plan's nodes": (
        plan(draw("a", "x"), draw("b", "y"), answers="a b", budget={"max_nodes": 1}),
        [("nodes", "over_budget")],
    ),
    "over the plan's pictures": (
        plan(draw("a", "x", "y"), answers="a a:1", budget={"max_images": 1}),
        [("nodes", "over_budget")],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault_is_found_at_its_place(case: str) -> None:
    checked, expected = FAULTS[case]
    assert found(checked) == expected


def test_cycle_is_named() -> None:
    circle = plan(
        draw("a", "x", **shown({"$node": "b"})),
        draw("b", "y", **shown({"$node": "c"})),
        draw("c", "z", **shown({"$node": "a"})),
        answers="a b c",
    )
    problems = check_plan(circle, ALL)
    assert [problem.code for problem in problems] == ["cycle"]
    assert sorted(problems[0].got.split(" needs ")[:3]) == ["a", "b", "c"]
    assert "a needs b" in problems[0].got


def test_node_that_needs_itself_is_a_cycle() -> None:
    assert found(plan(draw("a", "x", **shown({"$node": "a"})), answers="a")) == [("nodes", "cycle")]


def test_known_sizes_reach_the_next_tool() -> None:
    wide = {"id": "a", "tool": "generate", "args": {"panels": [{"caption": "x", "width": 640, "height": 320}]}}
    assert found(plan(wide, cut("b", {"$node": "a"}), answers="b")) == []
    assert found(plan(cut("b", {"$input": "p"}), answers="b", inputs={"p": PICTURE})) == []


def test_unknown_number_of_pictures_lets_any_index_pass() -> None:
    assert found(plan(cut("a", {"$input": "p"}), answers="a:7", inputs={"p": PICTURE})) == []


def test_caller_limits_cap_the_plans_own_budget() -> None:
    checked = plan(draw("a", "x", "y"), answers="a a:1", budget={"max_images": 1000})
    assert found(checked, limits=Budget(max_images=1)) == [("nodes", "over_budget")]


def test_painter_limits_are_checked_without_weights() -> None:
    checked = plan(draw("a", "x", "y", "z", context="sequence"), answers="a a:1 a:2")
    assert found(checked) == []
    assert found(checked, painter=Limits()) == [("nodes.0.args.panels", "too_many_panels")]


def test_outputs_must_answer_the_instruction_exactly_once() -> None:
    asked = Instruction(
        outputs=(OutputSpec(id="output_1", description="x"), OutputSpec(id="output_3", description="y"))
    )
    checked = plan(draw("a", "x", "y"), answers="a a:1")
    assert found(checked, asked) == [("outputs", "missing_output"), ("outputs.1.id", "unknown_output")]
    twice = checked.model_copy(update={"outputs": (checked.outputs[0], checked.outputs[0])})
    assert ("outputs.0", "duplicate_output") in found(twice)


def test_inputs_must_be_the_instructions() -> None:
    checked = plan(draw("a", "x", **shown({"$input": "p"})), answers="a", inputs={"p": PICTURE})
    given = InstructionInput(id="p", image=PICTURE)
    output = OutputSpec(id="output_1", description="x")
    assert found(checked, Instruction(inputs=(given,), outputs=(output,))) == []
    other = given.model_copy(update={"image": PICTURE.model_copy(update={"sha256": "b" * 64})})
    assert found(checked, Instruction(inputs=(other,), outputs=(output,))) == [("inputs.p", "unknown_input")]


def test_several_faults_come_in_reading_order() -> None:
    checked = plan(
        draw("b", "", **shown({"$node": "c"})), draw("c", "", speed=1), draw("d", "x", tool="nope"), answers="b c d"
    )
    assert [path.split(".")[1] for path, _ in found(checked)] == ["0", "1", "1", "2"]
