"""Requests about whole pictures: which words they are, which pictures they mean, and the plan that comes of them."""

from __future__ import annotations

from typing import Any

import pytest

from chatdit.agents.brain import Painter, PastPicture, PastTurn, Request
from chatdit.agents.instruction import Instruction, InstructionInput
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.agents.picture_works import read_work, split_off_work
from chatdit.agents.rephrase_planner import plan_rephrased
from chatdit.agents.table_planner import plan_table
from chatdit.agents.validator import check_plan
from chatdit.agents.work_grammar import WorkRequest
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.types import ImageRef

LEFT_HALF = {"x1": 0.0, "y1": 0.0, "x2": 0.5, "y2": 1.0}
OPERATIONS: dict[str, dict[str, Any]] = {
    "put them side by side": {"kind": "stitch"},
    "Put #1 and #2 next to each other in one picture, please.": {"kind": "stitch"},
    "stitch both pictures together vertically": {"kind": "stitch", "direction": "vertical"},
    "put the images on top of each other": {"kind": "stitch", "direction": "vertical"},
    "make a contact sheet of them": {"kind": "grid"},
    "make a 2x2 grid of pictures 1 to 4": {"kind": "grid", "columns": 2},
    "arrange all of them in a grid with 3 columns": {"kind": "grid", "columns": 3},
    "make a collage": {"kind": "grid"},
    "crop it to a square": {"kind": "crop", "aspect": 1.0},
    "could you crop #3 to 16:9?": {"kind": "crop", "aspect": 16 / 9},
    "crop the left half": {"kind": "crop", "box": LEFT_HALF},
    "cut off the right half": {"kind": "crop", "box": LEFT_HALF},
    "split it into four parts": {"kind": "split", "rows": 2, "columns": 2},
    "cut the picture into 3 columns": {"kind": "split", "columns": 3},
    "split it into two rows": {"kind": "split", "rows": 2},
    "cut it in half": {"kind": "split", "columns": 2},
    "divide image 2 into 2x3 tiles": {"kind": "split", "rows": 2, "columns": 3},
    "pad it to a square with white": {"kind": "pad", "aspect": 1.0, "fill": "white"},
    "extend the picture to 16:9 with a blurred background": {"kind": "pad", "aspect": 16 / 9, "fill": "blur"},
    "resize it to 512x384": {"kind": "resize", "width": 512, "height": 384},
    "make the picture 100 pixels wide": {"kind": "resize", "width": 100},
    "scale the picture to 50%": {"kind": "resize", "scale": 0.5},
    "make the picture twice as large": {"kind": "resize", "scale": 2.0},
    "enlarge #2 by a factor of 1.5": {"kind": "resize", "scale": 1.5},
    "rotate it by 90 degrees": {"kind": "rotate"},
    "rotate it 90 degrees counterclockwise": {"kind": "rotate", "degrees": 270},
    "rotate it 270 degrees counterclockwise": {"kind": "rotate"},
    "turn the picture to the left": {"kind": "rotate", "degrees": 270},
    "turn it upside down": {"kind": "rotate", "degrees": 180},
    "flip it": {"kind": "flip"},
    "mirror the last picture vertically": {"kind": "flip", "direction": "vertical"},
}


@pytest.mark.parametrize("words", OPERATIONS)
def test_operations_are_read(words: str) -> None:
    request = read_work(words)
    assert request is not None and request.tool == "compose" and request.args == {"operation": OPERATIONS[words]}


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ("cut out the fox", "fox"),
        ("select the red cat from #2, please", "red cat"),
        ("give me a mask of the drum", "drum"),
        ("remove the background", "everything"),
    ],
)
def test_what_is_cut_out_is_read(words: str, phrase: str) -> None:
    request = read_work(words)
    assert request is not None and request.tool == "segment" and request.args["phrase"] == phrase


@pytest.mark.parametrize(
    "words",
    ["make it bigger", "make it twice as large", "make them red", "turn it into a dog", "flip them", "resize it",
     "make a collage of a cat and a dog", "split the cat and the dog", "put the cat on top of the dog",
     "a cat in a square", "cut out it", "select everything", "put it in the snow", "split it into one part",
     "divide it into 30 pieces", "resize it to 0x0", "a grid of cats", ""],
)  # fmt: skip
def test_other_words_are_left_to_others(words: str) -> None:
    assert read_work(words) is None


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ("a fox in four seasons, then put them in a grid", "a fox in four seasons"),
        ("a cat on the beach. Crop it to a square.", "a cat on the beach"),
        ("two pictures: a cat, a dog, and put them side by side", "two pictures: a cat, a dog"),
    ],
)
def test_work_may_follow_a_request_to_draw(words: str, rest: str) -> None:
    text, request = split_off_work(words)
    assert text == rest and isinstance(request, WorkRequest)


def _image(number: int) -> ImageRef:
    return ImageRef(sha256=f"{number:064x}", width=256, height=256)


def _talk(*texts: str, images: int = 0) -> Instruction:
    """The instruction of the last text; what the others ask for is drawn, each picture another."""
    pictures: list[PastPicture] = []
    turns: list[PastTurn] = []
    instruction = Instruction()
    for text in texts:
        given = images if text is texts[-1] else 0
        inputs = tuple(InstructionInput(id=f"input_{k + 1}", image=_image(100 + k)) for k in range(given))
        instruction = OfflineBrain().parse(Request(text, inputs, tuple(turns), tuple(pictures)))
        drawn = []
        for output in instruction.outputs:
            pictures.append(PastPicture(len(pictures) + 1, _image(len(pictures) + 1), output))
            drawn.append(len(pictures))
        turns.append(PastTurn(text, " ".join(instruction.questions), tuple(drawn)))
    return instruction


TWO = "two pictures: a cat on the beach, a dog at night"


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        ((TWO, "put them side by side"), [1, 2]),
        ((TWO, "a fox in space", "put #1 and #3 side by side"), [1, 3]),
        ((TWO, "mirror the second picture"), [2]),
        ((TWO, "crop it to a square"), [2]),
        ((TWO, "a fox in space", "make a grid of pictures 1 to 3"), [1, 2, 3]),
        ((TWO, "crop the left half"), [2]),
    ],
)
def test_pictures_are_found(said: tuple[str, ...], takes: list[int]) -> None:
    instruction = _talk(*said)
    (work,) = instruction.works
    pictures = {given.id: given.picture for given in instruction.inputs}
    assert [pictures[name] for name in work.takes] == takes and not instruction.questions
    plan = OfflineBrain().plan(instruction, painter=Painter())
    assert [node.tool for node in plan.nodes] == ["compose"] and check_plan(plan, TOOLS, instruction) == []


def test_attached_pictures_come_first() -> None:
    instruction = _talk(TWO, "put them side by side", images=3)
    assert instruction.works[0].takes == ("input_1", "input_2", "input_3")
    assert instruction.outputs[0].description == "image 1, image 2 and image 3 side by side"
    assert _talk(TWO, "crop image 2 to a square", images=3).works[0].takes == ("input_2",)


def test_what_is_drawn_first_is_worked_on_then() -> None:
    instruction = _talk("a fox in four seasons, then put them in a grid")
    assert [o.id for o in instruction.outputs] == [f"output_{k}" for k in range(1, 6)]
    assert instruction.works[0].takes == tuple(f"output_{k}" for k in range(1, 5))
    for plan in (
        OfflineBrain().plan(instruction, painter=Painter()),
        plan_table(instruction, Painter()),
        plan_rephrased(instruction),
    ):
        assert plan.nodes[-1].tool == "compose" and check_plan(plan, TOOLS, instruction) == []
        assert [output.id for output in plan.outputs] == [o.id for o in instruction.outputs]


def test_each_part_is_a_picture() -> None:
    instruction = _talk("a cat on the beach", "split it into four parts")
    assert [o.description for o in instruction.outputs] == [f"part {k} of #1" for k in range(1, 5)]
    plan = OfflineBrain().plan(instruction, painter=Painter())
    assert [output.index for output in plan.outputs] == [0, 1, 2, 3] and check_plan(plan, TOOLS, instruction) == []


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ("cut out the fox", {"phrase": "fox"}),
        ("give me a mask of the red cat", {"phrase": "red cat", "shown": "mask"}),
        ("mask the fox", {"phrase": "fox", "shown": "mask"}),
        ("remove the background", {"phrase": "everything"}),
    ],
)
def test_things_are_cut_out_of_the_last_picture(words: str, args: dict[str, str]) -> None:
    instruction = _talk("a fox left of a red cat on the beach", words)
    plan = OfflineBrain().plan(instruction, painter=Painter())
    (node,) = plan.nodes
    assert node.tool == "segment" and node.args == {"image": {"$input": "input_1"}, **args}
    assert check_plan(plan, TOOLS, instruction) == [] and instruction.inputs[0].picture == 1


def test_side_by_side_of_one_picture_means_what_it_shows() -> None:
    instruction = _talk("a cat above a dog on the beach", "put them side by side")
    assert not instruction.works


@pytest.mark.parametrize(
    ("said", "question"),
    [
        (("crop it to a square",), "There is no picture yet"),
        (("make a contact sheet",), "There is no picture yet"),
        (("a cat on the beach", "make a contact sheet"), "Name two or more"),
        (("a cat on the beach", "crop #7 to a square"), "There is no picture #7"),
        (("a griffin on the beach, then crop it to a square",), "griffin"),
    ],
)
def test_what_is_missing_is_asked_about(said: tuple[str, ...], question: str) -> None:
    instruction = _talk(*said)
    assert question in " ".join(instruction.questions) and not instruction.works


def test_mirrored_and_scaled_pictures_still_show_what_they_did() -> None:
    mirrored = _talk("a cat left of a dog on the beach", "mirror it").outputs[0]
    assert mirrored.told and mirrored.relations[0].kind == "right of" and mirrored.subjects == ("cat", "dog")
    edited = _talk("a cat left of a dog on the beach", "resize it to 512x512", "make the cat red")
    assert edited.outputs[0].description == "a red cat left of a dog on the beach" and edited.outputs[0].told
    turned = _talk("a cat left of a dog on the beach", "rotate it by 90 degrees").outputs[0]
    assert turned.subjects == ("cat", "dog") and not turned.relations and not turned.told
