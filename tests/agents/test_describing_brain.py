"""A brain that reads words only is told what attached pictures show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatdit.agents.brain import Painter, Request, make_brain
from chatdit.agents.describing_brain import DescribingBrain
from chatdit.agents.instruction import Instruction, InstructionInput
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.sight import Seen
from chatdit.tools.types import ImageRef

IMAGE = ImageRef(sha256="a" * 64, width=256, height=256)


CAT_AND_LANTERN = Seen(Scene((Thing("cat"), Thing("lantern")), "beach", "plain", "left of"), whole=True)


def _parse(text: str, seen: Seen | None = CAT_AND_LANTERN, **given: object) -> Instruction:
    inputs = (InstructionInput(id="input_1", image=IMAGE, **given),)  # type: ignore[arg-type]
    return DescribingBrain(make_brain("offline"), lambda image: seen).parse(Request(text, inputs))


def test_a_picture_can_be_edited_without_naming_what_it_shows() -> None:
    for text, caption in (
        ("Remove the lantern.", "a cat on the beach"),
        ("Turn this picture into a pencil sketch.", "a cat left of a lantern on the beach, sketch style"),
        ("What would this look like at night?", "a cat left of a lantern at night"),
    ):
        instruction = _parse(text)
        assert [o.description for o in instruction.outputs] == [caption] and not instruction.questions
        assert instruction.outputs[0].references == ("input_1",)


def test_what_was_seen_is_said_and_stands_beside_the_picture() -> None:
    instruction = _parse("Remove the lantern.")
    assert instruction.notices[0] == "In image 1 I see a cat left of a lantern on the beach."
    given = instruction.inputs[0]
    assert given.description == "a cat left of a lantern on the beach"
    assert given.shows is not None and given.shows.told and given.shows.subjects == ("cat", "lantern")
    assert instruction.outputs[0].told


def test_what_words_do_not_tell_must_be_shown() -> None:
    instruction = _parse("Remove the lantern.", seen=replace(CAT_AND_LANTERN, whole=False))
    assert instruction.inputs[0].description and instruction.inputs[0].shows is None
    assert not instruction.outputs[0].told


def test_a_picture_that_lends_its_look_is_shown() -> None:
    red_fox = Seen(Scene((Thing("fox", tint="red"),), "beach"), whole=True)
    instruction = _parse("a fox in space", seen=red_fox)
    assert any("I use it as the look of the fox" in notice for notice in instruction.notices)
    plan = make_brain("offline").plan(instruction, painter=Painter())
    assert plan.nodes[0].args["references"], "what is said is done"


@pytest.mark.parametrize("words", ["Make the cat blue in the masked area.", "Make the cat blue, image 2 is the mask."])
def test_a_black_and_white_picture_beside_another_is_a_mask(words: str) -> None:
    mask = ImageRef(sha256="b" * 64, width=256, height=256)
    inputs = (InstructionInput(id="input_1", image=IMAGE), InstructionInput(id="input_2", image=mask))
    brain = DescribingBrain(make_brain("offline"), lambda image: CAT_AND_LANTERN, lambda image: image == mask)
    instruction = brain.parse(Request(words, inputs))
    assert [given.role for given in instruction.inputs] == ["edit_target", "mask"]
    assert any(n.startswith("Image 2 is black and white: I take it as a mask") for n in instruction.notices)
    assert [o.description for o in instruction.outputs] == ["a blue cat left of a lantern on the beach"]
    (node,) = brain.plan(instruction, painter=Painter()).nodes
    assert node.tool == "edit" and node.args["mask"] == {"$input": "input_2"}


@pytest.mark.parametrize(
    ("words", "way"),
    [
        ("This photo is out of focus. Make it sharp.", "afresh"),
        ("Please repair this picture, it is blurred by motion.", "afresh"),
        ("The cat is crooked. Straighten it.", "upright"),
        ("Turn the cat in this picture upright.", "upright"),
    ],
)
def test_repairs_change_no_word_of_what_is_shown(words: str, way: str) -> None:
    instruction = _parse(words)
    (output,) = instruction.outputs
    assert output.description == "a cat left of a lantern on the beach" and output.ways == (way,)
    (node,) = make_brain("offline").plan(instruction, painter=Painter()).nodes
    assert node.tool == "edit" and node.args["ways"] == [way]


def test_a_mask_needs_a_picture_of_its_size() -> None:
    alone = InstructionInput(id="input_1", image=IMAGE)
    small = InstructionInput(id="input_2", image=ImageRef(sha256="b" * 64, width=64, height=64))
    for inputs in ((alone,), (alone, small)):
        brain = DescribingBrain(make_brain("offline"), lambda image: CAT_AND_LANTERN, lambda image: True)
        assert "mask" not in {given.role for given in brain.parse(Request("a fox in space", inputs)).inputs}


def test_a_picture_that_nobody_can_tell_is_asked_about() -> None:
    instruction = _parse("Remove the lantern.", seen=None)
    assert "cannot see what image 1 shows" in instruction.questions[0] and not instruction.notices


def test_words_that_a_person_gave_are_not_looked_up_again() -> None:
    instruction = _parse("Put it on the moon.", description="a dog on the beach")
    assert instruction.outputs[0].description == "a dog on the moon" and not instruction.notices


def test_its_name_and_plans_are_those_of_the_brain_within() -> None:
    brain, offline = DescribingBrain(make_brain("offline"), lambda image: None), make_brain("offline")
    instruction = offline.parse(Request("a cat on the beach"))
    assert brain.name == offline.name
    assert brain.plan(instruction, painter=Painter(), seed=3) == offline.plan(instruction, painter=Painter(), seed=3)
