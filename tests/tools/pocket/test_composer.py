"""Captions are read back as scenes, and told where everything stands before they are drawn."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from chatdit.tools.dit.rows import Row, Segment
from chatdit.tools.pocket import free_world
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import caption, loose_caption
from chatdit.tools.pocket.composer import composed
from chatdit.tools.pocket.scene import Scene
from chatdit.tools.pocket.spots import told_spots, without_spots

PICTURE = Segment(256, 256)


def _bare(scene: Scene) -> Scene:
    return replace(scene, things=tuple(replace(thing, outfit=None) for thing in scene.things))


def test_captions_of_this_world_are_read_back() -> None:
    rng = random.Random(2)
    for _ in range(400):
        scene = free_world.random_scene(rng)
        read = read_caption(caption(scene))
        assert read is not None
        if "red apple" not in caption(scene):  # a synonym of the apple
            assert _bare(read.scene) == _bare(scene)
            sprites = free_world.place(scene, rng)
            assert read.with_spots(caption(scene), sprites) == caption(scene, sprites)


def test_in_other_words_the_same_things_are_counted() -> None:
    rng = random.Random(3)
    for _ in range(300):
        scene = free_world.random_scene(rng)
        read = read_caption(loose_caption(scene, rng))
        assert read is not None and [t.count for t in read.scene.things] == [t.count for t in scene.things]


@pytest.mark.parametrize("text", ["make the cat red", "remove the cat", "add a cat", "on the beach", "gibberish", ""])
def test_what_is_no_scene_is_left_alone(text: str) -> None:
    assert read_caption(text) is None
    assert composed(Row(text, (PICTURE,), 1)).caption == text


def test_a_caption_is_told_spots_by_its_seed() -> None:
    one, again, other = (composed(Row("a small cat left of a dog", (PICTURE,), seed)).caption for seed in (1, 1, 2))
    assert one == again != other and without_spots(one) == "a small cat left of a dog"
    first, second = told_spots(one)
    assert first.x < second.x and first.side < 80


def test_who_says_where_is_not_overruled() -> None:
    row = Row("a cat [x9y9] [s20r3] on the beach", (PICTURE,), 1)
    assert composed(row).caption == row.caption


def test_given_panels_are_not_told_where_they_stand() -> None:
    known = replace(PICTURE, known=torch.zeros(3, 256, 256))
    row = Row("[panel1] a cat in a studio [panel2] a cat in space", (known, PICTURE), 1)
    before, after = composed(row).caption.split(" [panel2] ")
    assert before == "[panel1] a cat in a studio" and len(told_spots(after)) == 1


def test_rows_that_are_only_read_and_what_cannot_stand_stay_as_they_are() -> None:
    row = Row("a cat in space", (replace(PICTURE, known=torch.zeros(3, 256, 256)),), 1, trajectory="clean")
    assert composed(row) is row
    crowd = Row("four cats, four dogs and a fox", (PICTURE,), 1)
    assert composed(crowd).caption == crowd.caption
