"""Requests that name their tool: which LoRA, what its panels show, which pictures are given; boxes; given subjects."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from chatdit.agents.brain import BrainSettings, Painter, PastPicture, Request, with_sight
from chatdit.agents.describing_brain import DescribingBrain
from chatdit.agents.direct_brain import DirectBrain
from chatdit.agents.instruction import Element, InstructionInput, OutputSpec
from chatdit.agents.lora_request import split_off_lora
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.agents.openai_brain import OpenAIBrain
from chatdit.agents.validator import check_plan
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.shelf import CARD, WEIGHTS
from chatdit.tools.types import ImageRef

POCKET = Painter("pocket", open_vocabulary=False, width=256, height=256, max_panels=4)
"""What brains know of the painter that ships."""


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path))
    said = ("{}, sketch style", "{}")
    cards = (
        LoraCard(name="stages", family="pocket", summary="three stages", columns=3),
        LoraCard(name="paint", family="pocket", summary="a painting", columns=2, given=(1,), captions=said),
    )
    for card in cards:
        folder = tmp_path / "loras" / card.name
        folder.mkdir(parents=True)
        (folder / CARD).write_text(card.model_dump_json())
        (folder / WEIGHTS).write_bytes(b"x")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a Fox on the beach with the stages lora", "a Fox on the beach"),
        ("Use the stages LoRA: a fox on the beach", "a fox on the beach"),
        ("please apply my stages lora to #3.", "#3"),
        ("make a stages lora of a fox", "a fox"),
        ("the stages lora of a fox and a hat", "a fox and a hat"),
        ("a fox, using stages lora", "a fox"),
    ],
)
def test_the_words_for_a_lora_are_taken_off(text: str, rest: str) -> None:
    assert split_off_lora(text) == (rest, "stages")


@pytest.mark.parametrize(
    "text", ["a fox on the beach", "make the fox blue", "put them on a sheet", "a flora by the lake"]
)
def test_other_words_are_left_alone(text: str) -> None:
    assert split_off_lora(text) == (text, None)


def _brain() -> DirectBrain:
    return DirectBrain(OfflineBrain())


def test_one_caption_is_for_every_panel() -> None:
    read = _brain().parse(Request("a fox on the beach with the stages lora", painter=POCKET))
    assert [o.description for o in read.outputs] == ["a fox on the beach"] * 3 and not read.questions
    assert read.notices[-1] == "The stages LoRA makes 3 panels: three stages."
    plan = _brain().plan(read, painter=POCKET, seed=7)
    (node,) = plan.nodes
    assert node.tool == "ic_lora"
    assert node.args == {"lora": "stages", "captions": ["a fox on the beach"], "sampling": {"seed": 7}}
    assert [(o.node, o.index) for o in plan.outputs] == [(node.id, i) for i in range(3)]


def test_what_the_rest_leaves_open_is_asked() -> None:
    read = _brain().parse(Request("a zyx with the stages lora", painter=POCKET))
    assert read.questions and read.call is None


def test_a_lora_that_is_not_there_is_asked_about() -> None:
    read = _brain().parse(Request("a fox with the stagse lora", painter=POCKET))
    assert read.questions[0].startswith("no LoRA called 'stagse'; did you mean 'stages'?")


def test_everything_else_goes_to_the_brain() -> None:
    request = Request("a fox on the beach", painter=POCKET)
    assert _brain().parse(request) == OfflineBrain().parse(request) and _brain().name == "offline"
    read = _brain().parse(request)
    assert _brain().plan(read, painter=POCKET, seed=1) == OfflineBrain().plan(read, painter=POCKET, seed=1)


def test_a_picture_without_one_is_asked_for() -> None:
    read = _brain().parse(Request("apply the paint lora to #1", painter=POCKET))
    assert read.questions and "no picture #1" in read.questions[0]


def test_a_picture_of_the_session_stands_in_the_panel_that_takes_one() -> None:
    image = ImageRef(sha256="a" * 64, width=256, height=256)
    drawn = OutputSpec(id="output_1", description="a fox on the beach, sketch style", told=True)
    request = Request("apply the paint lora to #1", pictures=(PastPicture(1, image, drawn),), painter=POCKET)
    read = _brain().parse(request)
    assert [o.description for o in read.outputs] == ["a fox on the beach"]
    plan = _brain().plan(read, painter=POCKET, seed=3)
    assert plan.inputs == {"input_1": image}
    assert plan.nodes[0].args == {
        "lora": "paint",
        "captions": ["a fox on the beach"],
        "known": [{"panel": 1, "image": {"$input": "input_1"}}],
        "sampling": {"seed": 3},
    }


@pytest.mark.parametrize(
    ("text", "boxes", "more"),
    [
        (
            "a cat [0.1, 0.5, 0.4, 0.9] and a red car (50% 50% 90% 90%) on the beach",
            [("a cat", (0.1, 0.5, 0.4, 0.9)), ("a red car", (0.5, 0.5, 0.9, 0.9))],
            {"background": "beach", "style": "plain"},
        ),
        (
            "Draw a fox in the box [10 20 60 80], sketch style",
            [("a fox", (0.1, 0.2, 0.6, 0.8))],
            {"background": "meadow", "style": "sketch"},
        ),
        ("a dog at [.1 .2 .5 .6]", [("a dog", (0.1, 0.2, 0.5, 0.6))], {}),
    ],
)
def test_boxes_in_numbers_are_a_layout(
    text: str, boxes: list[tuple[str, tuple[float, ...]]], more: dict[str, str]
) -> None:
    read = _brain().parse(Request(text, painter=POCKET))
    assert read.call is not None and read.call.tool == "layout" and not read.questions
    told = [{"phrase": phrase, "box": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))} for phrase, box in boxes]
    assert read.call.args == {"boxes": told, **more}
    (node,) = _brain().plan(read, painter=POCKET, seed=2).nodes
    assert node.tool == "layout" and node.args["sampling"] == {"seed": 2}


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("a cat [0.5 0.5 0.1 0.9]", "expected left, top, right, bottom"),
        ("[0.1 0.1 0.5 0.5]", "What stands in the box"),
        ("a cat [0.1 0.1 0.5 0.5] in a volcano", "I cannot draw 'in'"),
        ("a cat [0.1 0.1 0.5 0.5] and a dog on the beach", "Give each thing a box"),
    ],
)
def test_boxes_that_are_none_are_asked_about(text: str, question: str) -> None:
    read = _brain().parse(Request(text, painter=POCKET))
    assert question in read.questions[0] and read.call is None


def test_a_painter_of_an_open_vocabulary_is_told_the_rest_as_it_is() -> None:
    flux = Painter("flux", open_vocabulary=True, width=1024, height=1024, max_panels=12)
    read = _brain().parse(Request("two brass lamps [0.1, 0.5, 0.4, 0.9] in a volcano at dawn", painter=flux))
    assert read.call is not None and not read.questions
    box = {"x1": 0.1, "y1": 0.5, "x2": 0.4, "y2": 0.9}
    assert read.call.args == {
        "boxes": [{"phrase": "two brass lamps", "box": box}],
        "background": "in a volcano at dawn",
    }


def test_an_attached_picture_is_told_by_what_is_seen_of_it() -> None:
    image = ImageRef(sha256="b" * 64, width=256, height=256)
    shows = OutputSpec(id="input_1", description="a fox on the beach, sketch style", told=True)
    given = InstructionInput(id="input_1", image=image, shows=shows)
    read = _brain().parse(Request("apply the paint lora to image 1", inputs=(given,), painter=POCKET))
    assert read.call is not None and read.call.args["captions"] == ["a fox on the beach"]
    assert [entry.id for entry in read.inputs] == ["input_1"] and read.inputs[0].role == "panel"


def test_brains_see_through_it() -> None:
    seen = with_sight(_brain(), lambda image: Image.new("RGB", (8, 8)))
    assert isinstance(seen, DescribingBrain) and seen.name == "offline"
    endpoint = OpenAIBrain(BrainSettings(base_url="http://127.0.0.1:9"))
    eyes = with_sight(DirectBrain(endpoint), lambda image: Image.new("RGB", (8, 8)))
    assert isinstance(eyes, DirectBrain) and isinstance(eyes.brain, OpenAIBrain)
    assert eyes.brain is not endpoint and eyes.brain._open_image is not None


def _otter(name: str, letter: str, description: str = "a large purple otter in a studio") -> InstructionInput:
    return InstructionInput(id=name, image=ImageRef(sha256=letter * 64, width=256, height=256), description=description)


OTTER, BISON = _otter("input_1", "a"), _otter("input_2", "b", "a bison on the beach")


@pytest.mark.parametrize(
    ("text", "inputs", "caption", "words"),
    [
        ("put this character on the beach", (OTTER,), "a large purple otter on the beach", ["otter"]),
        ("draw this otter in a cave", (OTTER,), "a large purple otter in a cave", ["otter"]),
        (
            "put these characters on the moon",
            (OTTER, BISON),
            "a purple otter and a bison on the moon",
            ["otter", "bison"],
        ),
        (
            "a cat beside the subject of image 1 on the moon",
            (OTTER,),
            "a cat left of a purple otter on the moon",
            ["otter"],
        ),
    ],
)
def test_subjects_that_only_pictures_show_are_drawn_from_them(
    text: str, inputs: tuple[InstructionInput, ...], caption: str, words: list[str]
) -> None:
    read = _brain().parse(Request(text, inputs=inputs, painter=POCKET))
    assert not read.questions and read.call is None
    plan = _brain().plan(read, painter=POCKET, seed=2)
    assert not check_plan(plan, TOOLS, read)
    (node,) = plan.nodes
    assert node.tool == "subject" and node.args["caption"] == caption and node.args["sampling"] == {"seed": 2}
    told = [{"image": {"$input": f"input_{i}"}, "word": word} for i, word in enumerate(words, start=1)]
    assert node.args["references"] == told


def test_the_subject_tool_can_be_named() -> None:
    cat = _otter("input_1", "c", "a large red cat in a studio")
    request = Request("use the subject tool: a red cat on the moon", inputs=(cat,), painter=POCKET)
    read = _brain().parse(request)
    assert read.call is not None and read.call.tool == "subject"
    (node,) = _brain().plan(read, painter=POCKET, seed=2).nodes
    assert node.args["references"] == [{"image": {"$input": "input_1"}, "word": "cat"}]
    unnamed = _brain().parse(Request("a red cat on the moon with the subject tool", painter=POCKET))
    assert unnamed.questions[0].startswith("Whose subject?")
    several = _brain().parse(Request("use the subject tool: a cat on the moon, then a dog in a cave", inputs=(cat,)))
    assert several.questions[0].startswith("The subject tool draws one picture at a time")


def test_a_subject_that_words_tell_stays_with_the_brain() -> None:
    shows = OutputSpec(id="input_1", description="a red cat in a studio", told=True)
    cat = _otter("input_1", "c", "a red cat in a studio").model_copy(update={"shows": shows})
    read = _brain().parse(Request("put this character on the beach", inputs=(cat,), painter=POCKET))
    assert not read.questions and read.call is None
    assert _brain().plan(read, painter=POCKET).nodes[0].tool != "subject"
    flux = Painter("flux", open_vocabulary=True, width=1024, height=1024, max_panels=12)
    read = _brain().parse(Request("draw this otter in a cave", inputs=(OTTER,), painter=flux))
    assert [node.tool for node in _brain().plan(read, painter=flux).nodes] == ["generate"]
    changed = _brain().parse(Request("make it red", inputs=(OTTER,), painter=POCKET))
    assert [node.tool for node in _brain().plan(changed, painter=POCKET).nodes] == ["generate"], "changed where it is"


def test_a_story_has_a_page_for_each_part() -> None:
    text = "tell a story of a fox: on the beach; it in the forest\na fox [0.1 0.4 0.5 0.9] at night"
    read = _brain().parse(Request(text, painter=POCKET))
    assert read.call is not None and read.call.tool == "story" and not read.questions
    box = {"x1": 0.1, "y1": 0.4, "x2": 0.5, "y2": 0.9}
    assert read.call.args == {
        "subject": "fox",
        "pages": [
            {"caption": "a fox on the beach"},
            {"caption": "a fox in the forest"},
            {"caption": "a fox at night", "boxes": [{"phrase": "a fox", "box": box}]},
        ],
    }
    assert [output.description for output in read.outputs][1] == "a fox in the forest"
    (node,) = _brain().plan(read, painter=POCKET, seed=3).nodes
    assert node.tool == "story" and node.args["sampling"] == {"seed": 3}


@pytest.mark.parametrize("start", ["a picture book with two pages", "a storybook of 2 pages about a fox"])
def test_a_number_of_pages_is_no_hero(start: str) -> None:
    text = f"{start}: a fox on a farm; the fox at the lake"
    read = _brain().parse(Request(text, painter=POCKET))
    assert read.call is not None and not read.questions
    assert [output.description for output in read.outputs] == ["a fox on a farm", "a fox at the lake"]
    assert read.call.args["subject"] == ("fox" if "about" in start else "")


def test_a_story_of_an_attached_picture_is_about_its_subject() -> None:
    image = ImageRef(sha256="b" * 64, width=256, height=256)
    shows = OutputSpec(
        id="input_1", description="an otter in a studio", elements=(Element(subject="otter"),), told=True
    )
    given = InstructionInput(id="input_1", image=image, description="an otter in a studio", shows=shows)
    read = _brain().parse(
        Request("picture book: on the beach; this character at night", inputs=(given,), painter=POCKET)
    )
    assert read.call is not None and not read.questions
    assert read.call.args["reference"] == {"$input": "input_1"} and read.call.args["subject"] == "otter"
    assert read.call.args["pages"] == [{"caption": "an otter on the beach"}, {"caption": "an otter at night"}]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("a story of this character: on the beach; at night", "There is no picture yet"),
        ("story: a zyx on the beach; a cat", "Page 1: I do not know 'zyx'"),
        ("story: a cat; a dog [0.5 0.5 0.1 0.9]", "Page 2: The box [0.5 0.5 0.1 0.9] is none"),
        ("story of a cat: " + "; ".join(["on the beach"] * 25), "That story has 25 pages"),
    ],
)
def test_a_story_that_cannot_be_told_is_asked_about(text: str, question: str) -> None:
    read = _brain().parse(Request(text, painter=POCKET))
    assert read.questions and question in read.questions[0] and read.call is None


@pytest.mark.parametrize(
    "text",
    [
        *("a story of a fox", "story: a fox on the beach", "a bedtime story with a moon; and a cat"),
        "A picture book with two pages. Page 1: a fox on a farm. Page 2: the fox left of a sheep at the lake.",
    ],
)
def test_what_is_no_story_of_pages_is_read_as_before(text: str) -> None:
    read = _brain().parse(Request(text, painter=POCKET))
    assert read.call is None


def _dodo(number: int = 1, name: str = "dodo") -> InstructionInput:
    image = ImageRef(sha256=f"{number}" * 64, width=256, height=256)
    said = f"a {name} in a studio"
    shows = OutputSpec(id=f"input_{number}", description=said, elements=(Element(subject=name),), told=True)
    return InstructionInput(id=f"input_{number}", image=image, description=said, shows=shows)


@pytest.mark.parametrize("first", ["this character", "the dodo", "image 1"])
def test_given_subjects_have_boxes(first: str) -> None:
    request = Request(f"put {first} [0.1 0.4 0.5 0.9] on the beach", inputs=(_dodo(),), painter=POCKET)
    read = _brain().parse(request)
    assert read.call is not None and not read.questions and read.call.tool == "subject"
    box = {"x1": 0.1, "y1": 0.4, "x2": 0.5, "y2": 0.9}
    assert read.call.args == {
        "references": [{"image": {"$input": "input_1"}, "word": "dodo", "box": box}],
        "caption": "a dodo on the beach",
    }


def test_boxes_of_given_subjects_and_of_words_are_not_mixed() -> None:
    text = "the dodo [0.1 0.4 0.5 0.9] and a cat [0.5 0.4 0.9 0.9] on the beach"
    read = _brain().parse(Request(text, inputs=(_dodo(),), painter=POCKET))
    assert read.call is None and read.questions[0].startswith("Which picture shows a cat?")
    read = _brain().parse(Request("a cat [0.5 0.4 0.9 0.9] on the beach", inputs=(_dodo(),), painter=POCKET))
    assert read.call is not None and read.call.tool == "layout", "words alone"
