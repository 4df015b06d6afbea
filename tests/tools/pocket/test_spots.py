"""Words of where sprites stand: they tell it to within a step, and nobody reads them as anything else."""

from __future__ import annotations

import random
import re

import pytest

from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import caption, loose_caption
from chatdit.tools.pocket.samples import Wishes, random_sample
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.spots import spot_words, text_vocabulary, told_spots


def _untold(caption: str) -> str:
    return re.sub(r" \[\d+[xr]\d+\]", "", caption)


def test_words_tell_where_a_sprite_stands() -> None:
    rng = random.Random(0)
    for _ in range(200):
        for sprite in world.place(world.random_scene(rng), rng):
            (spot,) = told_spots(spot_words(sprite))
            assert max(abs(spot.x - sprite.centre[0]), abs(spot.y - sprite.centre[1])) <= 0.5
            assert (spot.side, spot.rotation) == (sprite.side, sprite.rotation)


@pytest.mark.parametrize(("left", "side", "rotation"), [(-40, 60, 0), (250, 60, 40), (0, 400, -40)])
def test_what_leaves_the_picture_has_the_nearest_words(left: int, side: int, rotation: int) -> None:
    known = PhraseTokenizer(text_vocabulary(), 96)(spot_words(Placement("cat", None, left, left, side, rotation)))
    assert len(known.ids) == 2 and not known.unknown


def test_every_sprite_is_told_behind_its_name() -> None:
    scene = Scene((Thing("cat", 2), Thing("dog")), "beach")
    sprites = tuple(Placement(s, None, x, 8, 60) for s, x in (("cat", 0), ("cat", 80), ("dog", 160)))
    told = caption(scene, sprites)
    assert told == "two cats [30x38] [60r0] [110x38] [60r0] and a dog [190x38] [60r0] on the beach"
    assert _untold(told) == caption(scene) and len(told_spots(told)) == 3
    assert _untold(loose_caption(scene, random.Random(3), sprites)) == loose_caption(scene, random.Random(3))


def test_training_tells_spots_in_its_share_and_the_words_are_known() -> None:
    rng, tokenizer = random.Random(5), PhraseTokenizer(text_vocabulary(), 96)
    for panels in (1, 2, 4):
        samples = [random_sample(rng, panels, Wishes(spots=0.5)) for _ in range(400)]
        assert not any(tokenizer(sample.caption).unknown for sample in samples)
        told = [sample for sample in samples if told_spots(sample.caption)]
        assert 0.3 < len(told) / len(samples) < 0.6
        for sample in told if panels == 1 else []:
            assert len(told_spots(sample.caption)) == len(sample.placements[0])
