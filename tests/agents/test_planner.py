"""The planner: what is drawn together, what each is shown, and that every plan passes the validator."""

from __future__ import annotations

from typing import Any

import pytest

from chatdit.agents.brain import Painter
from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import Plan, PlanError
from chatdit.agents.planner import agreeing_sets, plan_instruction
from chatdit.agents.validator import check_plan
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.generate_request import derived_seed
from chatdit.tools.types import ImageRef

POCKET = Painter()


def asking(count: int, references: dict[int, list[str]] | None = None, **settings: Any) -> Instruction:
    """`count` outputs; `references` by output number; inputs input_1 to input_5 where `inputs` says how many."""
    inputs = [
        {"id": f"input_{i}", "image": {"sha256": f"{i:064x}", "width": 64, "height": 64}, "description": f"picture {i}"}
        for i in range(1, settings.pop("inputs", 0) + 1)
    ]
    outputs = [
        {"id": f"output_{i}", "description": f"caption {i}", "references": (references or {}).get(i, [])}
        for i in range(1, count + 1)
    ]
    return Instruction.model_validate({"inputs": inputs, "outputs": outputs, **settings})


def summary(plan: Plan) -> list[tuple[str, list[str], list[str]]]:
    """Context, captions and references of each node, a reference as "input_1" or "draw_1:0"."""
    rows = []
    for node in plan.nodes:
        args: Any = node.args
        sources = [reference["image"] for reference in args.get("references", [])]
        shown = [s["$input"] if "$input" in s else f"{s['$node']}:{s['index']}" for s in sources]
        rows.append((args["context"], [panel["caption"][-1] for panel in args["panels"]], shown))
    return rows


def answers(plan: Plan) -> list[tuple[str, str, int]]:
    return [(output.id, output.node, output.index) for output in plan.outputs]


CASES: dict[str, tuple[Instruction, list[tuple[str, list[str], list[str]]]]] = {
    "nothing": (asking(0), []),
    "one": (asking(1), [("separate", ["1"], [])]),
    "three that need not agree": (asking(3), [("separate", [str(i)], []) for i in (1, 2, 3)]),
    "a set": (asking(3, same_identity=True), [("sequence", ["1", "2", "3"], [])]),
    "one alone with same_identity": (asking(1, same_identity=True), [("separate", ["1"], [])]),
    "a set above one context": (
        asking(6, same_identity=True),
        [("sequence", ["1", "2", "3", "4"], []), ("sequence", ["5", "6"], ["draw_1:0"])],
    ),
    "a set above two contexts": (
        asking(8, same_identity=True),
        [
            ("sequence", ["1", "2", "3", "4"], []),
            ("sequence", ["5", "6", "7"], ["draw_1:0"]),
            ("sequence", ["8"], ["draw_1:0"]),
        ],
    ),
    "from an input": (asking(1, {1: ["input_1"]}, inputs=1), [("sequence", ["1"], ["input_1"])]),
    "from an earlier output": (
        asking(2, {2: ["output_1"]}),
        [("separate", ["1"], []), ("sequence", ["2"], ["draw_1:0"])],
    ),
    "linked members of a set share a context, others stand alone": (
        asking(4, {3: ["output_1"], 4: ["output_3"]}, same_identity=True),
        [("sequence", ["1", "3", "4"], []), ("separate", ["2"], [])],
    ),
    "a link that joins two sets": (
        asking(3, {3: ["output_1", "output_2"]}, same_identity=True),
        [("sequence", ["1", "2", "3"], [])],
    ),
    "a set from an input, above one context": (
        asking(5, {i: ["input_1"] for i in range(1, 6)}, inputs=1, same_identity=True),
        [("sequence", ["1", "2", "3"], ["input_1"]), ("sequence", ["4", "5"], ["input_1", "draw_1:0"])],
    ),
    "a set of different references keeps its anchor": (
        asking(2, {1: ["input_1"], 2: ["input_2"]}, inputs=2, same_identity=True),
        [("sequence", ["1"], ["input_1"]), ("sequence", ["2"], ["input_2", "draw_1:0"])],
    ),
    "no room for an anchor beside three references": (
        asking(2, {i: ["input_1", "input_2", "input_3"] for i in (1, 2)}, inputs=3, same_identity=True),
        [("sequence", [i], ["input_1", "input_2", "input_3"]) for i in ("1", "2")],
    ),
    "a reference named twice is shown once": (
        asking(1, {1: ["input_1", "input_1"]}, inputs=1),
        [("sequence", ["1"], ["input_1"])],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_drawn_together(case: str) -> None:
    instruction, expected = CASES[case]
    plan = plan_instruction(instruction, POCKET, seed=7)
    assert summary(plan) == expected
    if instruction.outputs:
        assert check_plan(plan, TOOLS, instruction) == []
    assert plan == plan_instruction(instruction, POCKET, seed=7)


FOX, BIRD = {"subject": "fox"}, {"subject": "bird"}


def telling(*outputs: dict[str, Any], shows: dict[str, Any] | None = None, **settings: Any) -> Instruction:
    """Outputs of which words tell all; with `shows`, an input of which words tell all."""
    told = [
        {"id": f"output_{i}", "description": f"caption {i}", "style": "plain", "elements": [FOX], "told": True} | output
        for i, output in enumerate(outputs, start=1)
    ]
    image = {"sha256": "0" * 64, "width": 64, "height": 64}
    shown = {"id": "input_1", "description": "seen", "style": "plain", "elements": [FOX], "told": True} | (shows or {})
    inputs = [] if shows is None else [{"id": "input_1", "image": image, "shows": shown}]
    return Instruction.model_validate({"inputs": inputs, "outputs": told, **settings})


FROM = {"references": ["input_1"]}
AT_LEFT = {"elements": [FOX | {"position": "left"}]}
PAIR = {"elements": [FOX, BIRD], "relations": [{"a": 0, "kind": "left of", "b": 1}]}
TOLD: dict[str, tuple[Instruction, list[tuple[str, list[str], list[str]]]]] = {
    "only the place differs": (telling({}, {}, same_identity=True), [("sequence", ["1", "2"], [])]),
    "one stands elsewhere": (
        telling({}, AT_LEFT, {}, same_identity=True),
        [("separate", [i], []) for i in "123"],
    ),
    "a style of its own": (
        telling({}, {"style": "sketch", "references": ["output_1"]}, same_identity=True),
        [("separate", ["1"], []), ("separate", ["2"], [])],
    ),
    "what looks the same is seen": (telling(FROM, shows={}), [("sequence", ["1"], ["input_1"])]),
    "another colour is not seen": (
        telling(FROM, shows={"elements": [FOX | {"tint": "red"}]}),
        [("separate", ["1"], [])],
    ),
    "another subject is not seen": (telling(FROM, shows={"elements": [BIRD]}), [("separate", ["1"], [])]),
    "the same beside somebody": (telling(FROM | PAIR, shows={}), [("sequence", ["1"], ["input_1"])]),
    "a pair the other way round": (
        telling(FROM | PAIR, shows=PAIR | {"relations": [{"a": 0, "kind": "above", "b": 1}]}),
        [("separate", ["1"], [])],
    ),
    "each by its own": (
        telling(FROM, FROM | AT_LEFT, shows={}, same_identity=True),
        [("sequence", ["1"], ["input_1"]), ("separate", ["2"], [])],
    ),
    "what words do not tell is seen": (
        telling(FROM | AT_LEFT | {"told": False}, shows={}),
        [("sequence", ["1"], ["input_1"])],
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_words_tell_is_shown_only_where_it_should_look_the_same(case: str) -> None:
    instruction, expected = TOLD[case]
    plan = plan_instruction(instruction, POCKET, seed=7)
    assert summary(plan) == expected and check_plan(plan, TOOLS, instruction) == []


def picture_named(digit: str) -> ImageRef:
    return ImageRef(sha256=digit * 64, width=64, height=64)


def editing(**output: Any) -> Instruction:
    """A picture whose only input is to be changed; words tell all of both."""
    instruction = telling({**FROM, **output}, shows={})
    (given,) = instruction.inputs
    return instruction.model_copy(update={"inputs": (given.model_copy(update={"role": "edit_target"}),)})


def test_what_is_to_be_changed_is_changed_in_place() -> None:
    instruction = editing(elements=[FOX | {"tint": "red"}])
    plan = plan_instruction(instruction, POCKET, seed=7)
    (node,) = plan.nodes
    assert (node.id, node.tool) == ("edit_1", "edit") and answers(plan) == [("output_1", "edit_1", 0)]
    assert node.args == {"image": {"$input": "input_1"}, "caption": "caption 1", "sampling": {"seed": 7}}
    assert check_plan(plan, TOOLS, instruction) == []


def test_edits_of_edits_know_the_versions_before() -> None:
    instruction = editing(elements=[FOX | {"tint": "red"}])
    before = (picture_named("c"), picture_named("d"))
    given = instruction.inputs[0].model_copy(update={"earlier": before})
    instruction = instruction.model_copy(update={"inputs": (given,)})
    plan = plan_instruction(instruction, POCKET)
    assert plan.nodes[0].args["earlier"] == [{"$input": "input_1_version_1"}, {"$input": "input_1_version_2"}]
    assert [plan.inputs[f"input_1_version_{k}"] for k in (1, 2)] == list(before)
    assert check_plan(plan, TOOLS, instruction) == []
    other = plan.model_copy(update={"inputs": plan.inputs | {"input_1_version_1": picture_named("e")}})
    assert [p.code for p in check_plan(other, TOOLS, instruction)] == ["unknown_input"]


@pytest.mark.parametrize("painter", [POCKET, Painter("flux", open_vocabulary=True)])
def test_a_mask_goes_with_the_edit(painter: Painter) -> None:
    instruction = editing()
    mask = InstructionInput(id="input_2", image=picture_named("b"), role="mask")
    instruction = instruction.model_copy(update={"inputs": (*instruction.inputs, mask)})
    plan = plan_instruction(instruction, painter)
    (node,) = plan.nodes
    assert node.tool == "edit" and node.args["mask"] == {"$input": "input_2"}
    assert check_plan(plan, TOOLS, instruction) == []


@pytest.mark.parametrize(
    ("instruction", "painter"),
    [
        (editing(size=[512, 512]), POCKET),
        (editing(told=False), POCKET),
        (editing(), Painter("flux", open_vocabulary=True, width=1024, height=1024)),
    ],
)
def test_what_words_do_not_tell_is_drawn_anew(instruction: Instruction, painter: Painter) -> None:
    assert [node.tool for node in plan_instruction(instruction, painter).nodes] == ["generate"]


def test_each_of_several_is_changed_by_a_seed_of_its_own() -> None:
    one = editing()
    both = one.model_copy(update={"outputs": (*one.outputs, one.outputs[0].model_copy(update={"id": "output_2"}))})
    plan = plan_instruction(both, POCKET, seed=7)
    seeds: list[Any] = [node.args["sampling"] for node in plan.nodes]
    assert [seed["seed"] for seed in seeds] == [7, derived_seed(7, 1)]
    assert answers(plan) == [("output_1", "edit_1", 0), ("output_2", "edit_2", 0)]


def test_a_painter_of_any_words_sees_every_reference() -> None:
    instruction = telling(FROM | AT_LEFT, shows={})
    plan = plan_instruction(instruction, Painter("flux", open_vocabulary=True))
    assert summary(plan) == [("canvas", ["1"], ["input_1"])]


def test_outputs_keep_the_order_asked_when_drawn_out_of_order() -> None:
    plan = plan_instruction(asking(3, {3: ["output_1"]}, same_identity=True), POCKET)
    assert answers(plan) == [("output_1", "draw_1", 0), ("output_2", "draw_2", 0), ("output_3", "draw_1", 1)]


def test_seeds_differ_between_nodes_and_start_at_the_one_given() -> None:
    nodes = plan_instruction(asking(3), POCKET, seed=11).nodes
    seeds = [node.args["sampling"] for node in nodes]
    assert seeds == [{"seed": 11}, {"seed": derived_seed(11, 1)}, {"seed": derived_seed(11, 2)}]


def test_references_carry_role_and_words() -> None:
    instruction = asking(2, {1: ["input_1"], 2: ["output_1"]}, inputs=1)
    style = instruction.inputs[0].model_copy(update={"role": "style"})
    nodes = plan_instruction(instruction.model_copy(update={"inputs": (style,)}), POCKET).nodes
    assert nodes[0].args["references"] == [
        {"image": {"$input": "input_1"}, "role": "style", "description": "picture 1"}
    ]
    assert nodes[1].args["references"] == [
        {"image": {"$node": "draw_1", "index": 0}, "role": "subject", "description": "caption 1"}
    ]


def test_asked_size_goes_into_the_panel() -> None:
    instruction = asking(2)
    sized = instruction.outputs[0].model_copy(update={"size": (320, 192)})
    plan = plan_instruction(instruction.model_copy(update={"outputs": (sized, instruction.outputs[1])}), POCKET)
    assert plan.nodes[0].args["panels"] == [{"caption": "caption 1", "width": 320, "height": 192}]
    assert plan.nodes[1].args["panels"] == [{"caption": "caption 2"}]


@pytest.mark.parametrize(
    ("references", "code"),
    [
        ({1: ["input_2"]}, "bad_reference"),
        ({1: ["output_2"]}, "bad_reference"),
        ({1: ["output_1"]}, "bad_reference"),
    ],
)
def test_references_that_do_not_exist_or_come_later_are_refused(references: dict[int, list[str]], code: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_instruction(asking(2, references, inputs=1), POCKET)
    assert [(p.path, p.code) for p in caught.value.problems] == [("outputs.output_1.references", code)]


def test_more_references_than_the_painter_holds_are_refused_in_words() -> None:
    names = [f"input_{i}" for i in range(1, 5)]
    with pytest.raises(PlanError, match=r"at most 3 pictures.*got 4: input_1, input_2"):
        plan_instruction(asking(1, {1: names}, inputs=4), POCKET)
    wide = plan_instruction(asking(1, {1: names}, inputs=4), Painter(max_panels=5))
    assert summary(wide) == [("sequence", ["1"], names)]


def test_mask_is_not_taken_for_a_picture() -> None:
    instruction = asking(1, {1: ["input_1"]}, inputs=1)
    mask = instruction.inputs[0].model_copy(update={"role": "mask"})
    with pytest.raises(PlanError, match="mask_reference"):
        plan_instruction(instruction.model_copy(update={"inputs": (mask,)}), POCKET)


def test_sets_are_ordered_by_their_first_member() -> None:
    groups = agreeing_sets(asking(5, {4: ["output_2"], 5: ["output_1"]}, same_identity=True))
    assert [[output.id[-1] for output in group] for group in groups] == [["1", "5"], ["2", "4"], ["3"]]


def test_flux_draws_sets_on_one_canvas() -> None:
    outputs = tuple(OutputSpec(id=f"output_{i}", description=f"a fox {i}") for i in (1, 2))
    instruction = Instruction(outputs=outputs, same_identity=True)
    contexts = [
        plan_instruction(instruction, Painter(open_vocabulary=flux), 0).nodes[0].args["context"]
        for flux in (True, False)
    ]
    assert contexts == ["canvas", "sequence"]
