"""Which things of a picture are meant, by words, boxes and points."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chatdit.tools.pocket.pointing import Pick, called, inside, named_picks, natural_tints, nearest, picks_of, told
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import Worn
from chatdit.tools.types import Box, ToolError


def _seen(subject: str, x: float, y: float, side: float, tint: str | None = None, worn: Worn | None = None) -> Sighting:
    return Sighting(subject, tint, Box(x1=x, y1=y, x2=x + side, y2=y + side), 0.9, 0, worn)


FOX = _seen("fox", 0.05, 0.5, 0.3)
RED = _seen("cat", 0.4, 0.5, 0.25, "red", Worn("top hat", "blue"))
CAT = _seen("cat", 0.7, 0.4, 0.28)
DOG = _seen("dog", 0.4, 0.05, 0.2, None, Worn("bow", "pink"))
READING = Reading((FOX, RED, CAT, DOG), "beach", "plain")


@pytest.mark.parametrize(
    ("phrase", "things"),
    [
        ("the fox", [FOX]),
        ("the cat", [RED, CAT]),
        ("the red cat", [RED]),
        ("the left cat", [RED]),
        ("the cat on the right", [CAT]),
        ("the leftmost one", [FOX]),
        ("the one at the top", [DOG]),
        ("the things at the bottom", [FOX, RED, CAT]),
        ("the biggest thing", [FOX]),
        ("the smallest", [DOG]),
        ("the cat right of the fox", [RED, CAT]),
        ("the cat left of the cat", [RED]),
        ("the dog above the cats", [DOG]),
        ("the one with a hat", [RED]),
        ("the cat without a hat", [CAT]),
        ("the orange fox", [FOX]),
        ("everything", [FOX, RED, CAT, DOG]),
        ("the fox and the dog", [FOX, DOG]),
    ],
)
def test_words_tell_things_apart(phrase: str, things: list[Sighting]) -> None:
    assert named_picks(READING, phrase) == tuple(map(Pick, things))


@pytest.mark.parametrize("phrase", ["the hat", "the blue hat", "the cat's hat", "the top hat of the red cat"])
def test_what_is_worn_is_meant_alone(phrase: str) -> None:
    assert named_picks(READING, phrase) == (Pick(RED, worn=True),)


@pytest.mark.parametrize(
    "phrase", ["a zebra", "the blue fox", "the green cat", "the fox's hat", "the cat with a red hat"]
)
def test_what_is_not_there_is_told_with_what_is(phrase: str) -> None:
    with pytest.raises(
        ToolError, match="the picture shows a fox, a red cat wearing a blue top hat, a cat and a dog"
    ) as e:
        named_picks(READING, phrase)
    assert "expected one of them" in str(e.value) and repr(phrase) in str(e.value) and "\n" not in str(e.value)


def test_words_that_tell_nothing_apart_are_named() -> None:
    with pytest.raises(ToolError, match="'the striped fox' holds 'striped', and the picture shows a fox"):
        named_picks(READING, "the striped fox")
    with pytest.raises(ToolError, match="nothing that the painter knows was found"):
        named_picks(Reading((), "beach", "plain"), "the fox")


def test_colours_that_the_style_hides_do_not_count() -> None:
    sketch = replace(READING, style="sketch")
    assert named_picks(sketch, "the blue fox") == (Pick(FOX),)
    assert "red" not in told(sketch) and "a cat wearing a top hat" in told(sketch)


def test_things_alike_are_told_together() -> None:
    two = Reading((FOX, replace(FOX, box=CAT.box), RED), "beach", "plain")
    assert told(two) == "the picture shows two foxes and a red cat wearing a blue top hat"
    assert called([Pick(RED, worn=True), Pick(FOX)], "plain") == "the blue top hat of a red cat and a fox"
    assert called([Pick(FOX)] * 5, "plain") == "5 foxes"


def test_natural_colours() -> None:
    assert (
        natural_tints("fox") == {"orange"} and "green" in natural_tints("frog") and "blue" in natural_tints("dolphin")
    )
    assert natural_tints("zebra") == frozenset() == natural_tints("person")


def test_a_box_means_what_lies_in_it() -> None:
    things = READING.sightings
    assert inside(things, Box(x1=0, y1=0.4, x2=0.5, y2=1)) == (FOX,)
    assert inside(things, Box(x1=0.38, y1=0, x2=1, y2=1)) == (RED, CAT, DOG)
    assert inside(things, Box(x1=0.1, y1=0.55, x2=0.2, y2=0.65)) == (FOX,), "a box within a thing means it"
    assert inside(things, Box(x1=0.9, y1=0.9, x2=1, y2=1)) == ()


def test_a_point_means_whose_mask_it_lies_on_else_the_nearest() -> None:
    near = replace(CAT, box=Box(x1=0.6, y1=0.5, x2=0.9, y2=0.8))
    masks = {RED: torch.zeros(256, 256, dtype=torch.bool), near: torch.zeros(256, 256, dtype=torch.bool)}
    masks[near][140:200, 150:165] = True
    asked: list[Sighting] = []

    def mask_of(thing: Sighting) -> Tensor:
        asked.append(thing)
        return masks[thing]

    picks = tuple(map(Pick, (RED, near)))
    assert nearest((0.62, 0.6), picks, mask_of) == near, "in both boxes, on the mask of one"
    assert nearest((0.42, 0.6), picks, mask_of) == RED
    assert nearest((0.64, 0.52), picks, mask_of) == RED, "on no mask: the first whose box is nearest"
    assert nearest((0.39, 0.6), picks, mask_of) == RED, "a few pixels beside its box"
    assert nearest((0.1, 0.1), picks, mask_of) is None
    asked.clear()
    assert nearest((0.42, 0.6), picks_of(READING, "the red cat"), mask_of) == RED and not asked, (
        "alone, no mask is needed"
    )
