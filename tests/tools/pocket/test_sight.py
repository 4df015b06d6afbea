"""Pictures of this world are told in words that its parser reads; of others nothing is said."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import Scene, Thing, Worn
from chatdit.tools.pocket.sight import Sight, scene_of
from chatdit.tools.types import Box

SCENES = {
    "a cat left of a lantern on the beach": Scene((Thing("cat"), Thing("lantern")), "beach", relation="left of"),
    "a fox above a drum at night": Scene((Thing("fox"), Thing("drum")), "night", relation="above"),
    "two apples and a banana in a studio": Scene((Thing("apple", 2), Thing("banana")), "studio"),
    "a large rocket on the moon, sketch style": Scene(
        (Thing("rocket", size="large", position="middle"),), "moon", "sketch"
    ),
    "a small blue duck on the left at the lake": Scene(
        (Thing("duck", size="small", tint="blue", position="left"),), "lake"
    ),
}


@pytest.fixture(scope="module")
def sight() -> Sight:
    return Sight()


def _told(sight: Sight, image: Image.Image) -> str:
    seen = sight.look(image)
    assert seen is not None and seen.whole
    return seen.caption


@pytest.mark.parametrize(
    ("style", "told"),
    [("plain", "a cat wearing a blue party hat on the beach"), ("sepia", "a cat on the beach, sepia style")],
)
def test_what_is_worn_is_told_where_its_colour_shows(sight: Sight, style: str, told: str) -> None:
    scene = Scene((Thing("cat", position="middle", worn=Worn("party hat", "blue")),), "beach", style)
    seen = sight.look(to_image(Renderer().pictures([scene], random.Random(1))[0]))
    assert seen is not None and (seen.caption, seen.whole) == (told, style == "plain")


def test_pictures_of_this_world_are_told_in_its_words(sight: Sight) -> None:
    pictures = Renderer().pictures(list(SCENES.values()), random.Random(1))
    told = [_told(sight, to_image(p)) for p in pictures]
    assert told[0] in ("a cat left of a lantern on the beach", "a lantern right of a cat on the beach")
    assert told[1] in ("a fox above a drum at night", "a drum below a fox at night")
    assert told[2] in ("two apples and a banana in a studio", "a banana and two apples in a studio")
    assert told[3:] == list(SCENES)[3:]


def test_a_picture_of_any_size_is_told(sight: Sight) -> None:
    picture = Renderer().pictures([SCENES["a fox above a drum at night"]], random.Random(1))[0]
    image = to_image(picture)
    assert _told(sight, image.resize((512, 512))) == _told(sight, image) != ""


def _photograph(seed: int) -> Image.Image:
    """Soft blobs and hard edges in many colours, which a reader takes for something."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (7, 7, 3), dtype=np.uint8)).resize(
        (256, 256), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).resize(
        (256, 256), Image.Resampling.NEAREST
    )
    return Image.blend(coarse, fine, 0.4)


def test_nothing_is_said_of_other_pictures(sight: Sight) -> None:
    others = [_photograph(i) for i in range(12)]
    others += [Image.new("RGB", (256, 256), "red"), Image.linear_gradient("L").convert("RGB")]
    assert [sight.look(image) for image in others] == [None] * len(others)


def test_a_picture_that_is_half_gone_is_not_told(sight: Sight) -> None:
    picture = to_image(Renderer().pictures(list(SCENES.values())[:1], random.Random(1))[0])
    picture.paste((127, 127, 127), (128, 0, 256, 256))
    assert sight.look(picture) is None


def test_counts_and_tints_are_gathered_by_kind() -> None:
    boxes = [Box(x1=x, y1=0.1, x2=x + 0.2, y2=0.3) for x in (0.0, 0.3, 0.6)]
    seen = [Sighting("cat", tint, box, 1.0) for tint, box in zip(("red", None, "red"), boxes, strict=True)]
    things = scene_of(Reading(tuple(seen), "beach", "plain")).things
    assert [(t.count, t.tint) for t in things] == [(2, "red"), (1, None)]
    grey = scene_of(Reading(tuple(seen), "beach", "sketch")).things
    assert [(t.count, t.tint) for t in grey] == [(3, None)]
