"""Captions are read back as scenes, and told where everything stands before they are drawn."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch

from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Row, SamplingDefaults, Segment
from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket import world
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import caption, loose_caption
from chatdit.tools.pocket.composer import GROUND, composed, grounded, seen, settled
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.spots import spot_words, text_vocabulary, told_spots
from chatdit.tools.pocket.vocabulary import caption_vocabulary
from chatdit.tools.pocket.wearing import bounds

PICTURE = Segment(256, 256)
DOG, CAT = Placement("dog", None, 20, 100, 96), Placement("cat", "red", 130, 60, 128, 15)


def _untold(caption: str) -> str:
    return re.sub(r" \[\d+[xr]\d+\]", "", caption)


def _bare(scene: Scene) -> Scene:
    return replace(scene, things=tuple(replace(thing, outfit=None) for thing in scene.things))


def test_captions_of_this_world_are_read_back() -> None:
    rng = random.Random(2)
    for _ in range(400):
        scene = world.random_scene(rng)
        read = read_caption(caption(scene))
        assert read is not None
        if "red apple" not in caption(scene):  # a synonym of the apple
            assert _bare(read.scene) == _bare(scene)
            sprites = world.place(scene, rng)
            assert read.with_spots(caption(scene), sprites) == caption(scene, sprites)


def test_in_other_words_the_same_things_are_counted() -> None:
    rng = random.Random(3)
    for _ in range(300):
        scene = world.random_scene(rng)
        read = read_caption(loose_caption(scene, rng))
        assert read is not None and [t.count for t in read.scene.things] == [t.count for t in scene.things]


@pytest.mark.parametrize("text", ["make the cat red", "remove the cat", "add a cat", "on the beach", "gibberish", ""])
def test_what_is_no_scene_is_left_alone(text: str) -> None:
    assert read_caption(text) is None
    assert composed(Row(text, (PICTURE,), 1)).caption == text


def test_a_caption_is_told_spots_by_its_seed() -> None:
    one, again, other = (composed(Row("a small cat left of a dog", (PICTURE,), seed)).caption for seed in (1, 1, 2))
    assert one == again != other and _untold(one) == "a small cat left of a dog"
    first, second = told_spots(one)
    assert first.x < second.x and first.side < 80


def test_what_stands_stands_on_the_ground_and_what_flies_need_not() -> None:
    rng = random.Random(4)

    def feet(scene: Scene) -> list[int]:
        return [bounds(sprite)[3] for _ in range(40) for sprite in grounded(scene, rng)]

    pair = Scene((Thing("cat"), Thing("dog")), "city", relation="left of")
    assert all(abs(foot - GROUND) <= 40 for scene in (Scene((Thing("car"),), "city"), pair) for foot in feet(scene))
    assert all(min(feet(Scene((Thing(name),), place))) < 170 for name, place in (("kite", "city"), ("cat", "space")))
    turned = {s.rotation for _ in range(40) for s in grounded(Scene((Thing("cat"), Thing("bee")), "farm"), rng)}
    assert {s.rotation for _ in range(40) for s in grounded(Scene((Thing("cat", 3),), "farm"), rng)} == {0} < turned
    (high,) = grounded(Scene((Thing("cat", size="small", position="top"),), "farm"), rng)
    assert high.centre[1] < 128, "what is asked for goes first"


def test_who_says_where_is_not_overruled() -> None:
    row = Row("a cat [38x38] [120r0] on the beach", (PICTURE,), 1)
    assert composed(row).caption == row.caption


def test_a_given_panel_is_told_where_it_shows_its_things() -> None:
    known = replace(PICTURE, known=torch.zeros(3, 256, 256))
    row = Row("[panel1] a cat in a studio [panel2] a cat in space", (known, PICTURE), 1)
    before, after = composed(row).caption.split(" [panel2] ")
    assert before == "[panel1] a cat in a studio" and len(told_spots(after)) == 1, "nobody looked"
    before, after = composed(row, look=lambda picture: [DOG, CAT]).caption.split(" [panel2] ")
    assert before == f"[panel1] a cat {spot_words(CAT)} in a studio" and len(told_spots(after)) == 1


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("a cat left of a dog", f"a cat {spot_words(CAT)} left of a dog {spot_words(DOG)}"),
        ("a subject and a dog", f"a subject {spot_words(CAT)} and a dog {spot_words(DOG)}"),
        ("a large subject", f"a large subject {spot_words(DOG)}"),
        ("a fox and a dog", "a fox and a dog"),
        ("three subjects", "three subjects"),
        ("a dog [38x38] [120r0]", "a dog [38x38] [120r0]"),
        ("make the cat red", "make the cat red"),
    ],
)
def test_what_is_seen_is_told_of_what_the_caption_names(caption: str, told: str) -> None:
    assert seen(caption, [DOG, CAT]) == told


@dataclass(frozen=True)
class _Model:
    """What `settled` asks of a model."""

    known: tuple[str, ...]
    defaults: SamplingDefaults

    def unknown_words(self, caption: str) -> tuple[str, ...]:
        return PhraseTokenizer(self.known, 96)(caption).unknown if self.known else ()


@pytest.mark.parametrize(
    ("known", "open_vocabulary", "told"),
    [(text_vocabulary(), False, 1), (caption_vocabulary(), False, 0), ((), True, 0)],
)
def test_only_a_model_that_knows_spots_is_told_them(known: tuple[str, ...], open_vocabulary: bool, told: int) -> None:
    defaults = SamplingDefaults(
        steps=4, guidance=1.0, shift=2.0, width=256, height=256, max_panels=4, open_vocabulary=open_vocabulary,
        token_size=16,
    )  # fmt: skip
    (row,) = settled(cast(DiT, _Model(known, defaults)), [Row("a cat in space", (PICTURE,), 1)])
    assert len(told_spots(row.caption)) == told


def test_rows_that_are_only_read_and_what_cannot_stand_stay_as_they_are() -> None:
    row = Row("a cat in space", (replace(PICTURE, known=torch.zeros(3, 256, 256)),), 1, trajectory="clean")
    assert composed(row) is row
    crowd = Row("four cats, four dogs and a fox", (PICTURE,), 1)
    assert composed(crowd).caption == crowd.caption
