"""A brain that reads words only is told what attached pictures show."""

from __future__ import annotations

from chatdit.agents.brain import Painter, Request, make_brain
from chatdit.agents.describing_brain import DescribingBrain
from chatdit.agents.instruction import Instruction, InstructionInput
from chatdit.tools.types import ImageRef

IMAGE = ImageRef(sha256="a" * 64, width=256, height=256)


def _parse(text: str, told: str = "a cat left of a lantern on the beach", **given: object) -> Instruction:
    inputs = (InstructionInput(id="input_1", image=IMAGE, **given),)  # type: ignore[arg-type]
    return DescribingBrain(make_brain("offline"), lambda image: told).parse(Request(text, inputs))


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
    assert instruction.inputs[0].description == "a cat left of a lantern on the beach"


def test_a_picture_that_nobody_can_tell_is_asked_about() -> None:
    instruction = _parse("Remove the lantern.", told="")
    assert "cannot see what image 1 shows" in instruction.questions[0] and not instruction.notices


def test_words_that_a_person_gave_are_not_looked_up_again() -> None:
    instruction = _parse("Put it on the moon.", description="a dog on the beach")
    assert instruction.outputs[0].description == "a dog on the moon" and not instruction.notices


def test_its_name_and_plans_are_those_of_the_brain_within() -> None:
    brain, offline = DescribingBrain(make_brain("offline"), lambda image: ""), make_brain("offline")
    instruction = offline.parse(Request("a cat on the beach"))
    assert brain.name == offline.name
    assert brain.plan(instruction, painter=Painter(), seed=3) == offline.plan(instruction, painter=Painter(), seed=3)
