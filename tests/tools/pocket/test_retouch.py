"""What stays where it is, what is painted anew, and by which words."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.retouch import MARGIN, PixelBox, Restored, Retouch, retouch
from chatdit.tools.pocket.scene import Placement, Worn
from chatdit.tools.pocket.spots import spot_words, told_spots
from chatdit.tools.pocket.wearing import bounds
from chatdit.tools.types import Box

FOX = Placement("fox", None, 20, 130, 80)
CAT = Placement("cat", None, 150, 120, 90, rotation=6)


def _reading(*sprites: Placement, background: str = "beach", style: str = "plain") -> Reading:
    def seen(s: Placement) -> Sighting:
        x1, y1, x2, y2 = (v / 256 for v in (s.left, s.top, s.left + s.side, s.top + s.side))
        return Sighting(s.subject, s.tint, Box(x1=x1, y1=y1, x2=x2, y2=y2), 1.0, s.rotation, s.worn)

    return Reading(tuple(map(seen, sprites)), background, style)


def _retouched(reading: Reading, words: str, seed: int = 0, earlier: tuple[Reading, ...] = ()) -> Retouch:
    found = retouch(reading, words, random.Random(seed), earlier)
    assert found is not None
    return found


def _around(sprite: Placement) -> set[PixelBox]:
    left, top, right, bottom = bounds(sprite)
    return {(left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)}


def test_another_colour_is_painted_on_the_spot() -> None:
    found = _retouched(_reading(FOX, CAT), "a blue fox left of a cat on the beach")
    assert found.caption == f"a blue fox {spot_words(FOX)} left of a cat {spot_words(CAT)} on the beach"
    assert set(found.repaint or ()) == _around(FOX)


def test_what_is_put_on_takes_its_room() -> None:
    found = _retouched(_reading(FOX, CAT), "a fox wearing a red top hat left of a cat on the beach")
    assert found.repaint is not None and min(box[1] for box in found.repaint) < FOX.top - 15
    assert max(box[2] for box in found.repaint) < CAT.left


def test_what_is_not_wanted_goes_and_the_rest_stays() -> None:
    found = _retouched(_reading(FOX, CAT), "a cat on the beach")
    assert found == Retouch(f"a cat {spot_words(CAT)} on the beach", tuple(_around(FOX)))


def test_what_is_turned_is_set_upright_on_its_spot() -> None:
    turned = replace(CAT, rotation=14)
    found = retouch(_reading(FOX, turned), BEFORE, random.Random(0), upright=True)
    assert found is not None and spot_words(replace(CAT, rotation=0)) in found.caption
    assert set(found.repaint or ()) == _around(turned) | _around(replace(CAT, rotation=0))


def test_what_is_left_alone_keeps_its_size() -> None:
    found = _retouched(_reading(FOX, CAT), "a fox on the beach")
    assert spot_words(FOX) in found.caption and set(found.repaint or ()) == _around(CAT)
    large = _retouched(_reading(FOX, CAT), "a large fox on the beach")
    assert spot_words(FOX) not in large.caption


def test_another_subject_takes_the_place() -> None:
    found = _retouched(_reading(FOX, CAT), "a drum left of a cat on the beach")
    assert spot_words(FOX) in found.caption and set(found.repaint or ()) == _around(FOX)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_new_finds_room(seed: int) -> None:
    found = _retouched(_reading(FOX), "a fox left of a drum on the beach", seed)
    _, drum = told_spots(found.caption)
    assert found.repaint is not None and len(found.repaint) == 1 and spot_words(FOX) in found.caption
    left, top, right, bottom = found.repaint[0]
    assert left >= 100 - 2 * MARGIN and left < drum.x < right and top < drum.y < bottom


@pytest.mark.parametrize("room", [(0, 48, 256, 208), (150, 20, 250, 90), (200, 10, 230, 50)])
def test_what_is_new_stands_inside_its_room(room: PixelBox) -> None:
    found = retouch(_reading(FOX), "a fox and a drum on the beach", random.Random(1), room=room)
    assert found is not None and spot_words(FOX) in found.caption
    drum = told_spots(found.caption)[1]
    left, top, right, bottom = room
    half = drum.side / 2 - 0.5  # words tell the middle to the pixel
    assert left <= drum.x - half and drum.x + half <= right and top <= drum.y - half and drum.y + half <= bottom


def test_sprites_that_stand_close_stay_where_they_are() -> None:
    near = replace(CAT, left=FOX.left + FOX.side - 3)
    found = _retouched(_reading(FOX, near), "a blue fox left of a cat on the beach")
    assert spot_words(FOX) in found.caption and spot_words(near) in found.caption
    assert set(found.repaint or ()) == _around(FOX)


def test_two_alike_are_told_apart_by_their_looks() -> None:
    red, plain = Placement("drum", "red", 30, 140, 70), Placement("drum", None, 150, 140, 70)
    found = _retouched(_reading(plain, red), "two red drums on the beach")
    assert set(found.repaint or ()) == _around(plain) and len(told_spots(found.caption)) == 2


def test_nothing_to_do_paints_nothing() -> None:
    worn = Placement("fox", "blue", 20, 110, 100, worn=Worn("bow", "pink"))
    assert _retouched(_reading(worn), "a blue fox wearing a pink bow on the beach").repaint == ()


@pytest.mark.parametrize("words", ["a fox left of a cat at night", "a fox left of a cat on the beach, sketch style"])
def test_another_place_or_style_leaves_everything_on_its_spot(words: str) -> None:
    found = _retouched(_reading(FOX, CAT), words)
    assert found.repaint is None and spot_words(FOX) in found.caption and spot_words(CAT) in found.caption


def test_colours_that_no_style_shows_are_no_change() -> None:
    found = _retouched(_reading(FOX, style="sketch"), "a small red fox on the beach, sketch style")
    assert found.repaint == ()


def test_another_size_keeps_the_feet_where_they_are() -> None:
    sprite = Placement("fox", None, 80, 120, 110)
    (spot,) = told_spots(_retouched(_reading(sprite), "a large fox on the beach").caption)
    assert spot.side > 150 and abs(spot.x - 135) < 10 and abs(spot.y + spot.side / 2 - 230) < 14


def test_another_position_moves_it() -> None:
    sprite = Placement("fox", None, 10, 120, 110)
    found = _retouched(_reading(sprite), "a fox on the right on the beach")
    (spot,) = told_spots(found.caption)
    assert spot.x > 140 and abs(spot.y - 175) < 8 and found.repaint is not None and len(found.repaint) == 2


def test_a_relation_that_does_not_hold_stands_everything_anew() -> None:
    found = _retouched(_reading(FOX, CAT), "a fox right of a cat on the beach")
    fox, cat = told_spots(found.caption)
    assert fox.x > cat.x and found.repaint is not None and len(found.repaint) == 4


@pytest.mark.parametrize("words", ["make it red", "a zork", "four cats, four dogs and a fox on the beach", ""])
def test_words_that_are_no_scene_are_none(words: str) -> None:
    assert retouch(_reading(FOX), words, random.Random(0)) is None


def test_the_same_seed_paints_the_same() -> None:
    words = "a fox left of a drum on the beach"
    assert _retouched(_reading(FOX), words, 3) == _retouched(_reading(FOX), words, 3)


BLUE = replace(FOX, tint="blue")
BEFORE = "a fox left of a cat on the beach"


def _room(sprite: Placement) -> PixelBox:
    left, top, right, bottom = bounds(sprite)
    margin = 2 * MARGIN
    return max(0, left - margin), max(0, top - margin), min(256, right + margin), min(256, bottom + margin)


def test_what_was_so_before_comes_back() -> None:
    now, once = _reading(BLUE, CAT), _reading(FOX, CAT)
    found = _retouched(now, BEFORE, earlier=(once,))
    assert found.repaint == () and set(found.restored) == {Restored(_room(FOX), 0)} and found.base is None


def test_what_was_put_in_goes_without_paint() -> None:
    found = _retouched(_reading(FOX, CAT), "a fox on the beach", earlier=(_reading(FOX),))
    assert found.repaint == () and found.restored == (Restored(_room(CAT), 0),)


def test_what_was_taken_out_comes_back_to_its_spot() -> None:
    found = _retouched(_reading(CAT), BEFORE, earlier=(_reading(FOX, CAT), _reading(CAT)))
    assert found.repaint == () and found.restored == (Restored(_room(FOX), 0),)
    assert spot_words(FOX) in found.caption


def test_readings_of_one_sprite_may_differ_a_little() -> None:
    moved = replace(FOX, left=FOX.left + 3, side=FOX.side - 2, rotation=-4)
    found = _retouched(_reading(FOX, CAT), "a fox on the beach", earlier=(_reading(moved),))
    assert found.repaint == () and len(found.restored) == 1


def test_another_spot_then_is_no_help_now() -> None:
    elsewhere = replace(FOX, left=140, top=20, side=70)
    found = _retouched(_reading(FOX, CAT), "a blue fox left of a cat on the beach", earlier=(_reading(elsewhere, CAT),))
    assert set(found.repaint or ()) == _around(FOX) and found.restored == ()


def test_a_version_is_no_help_where_it_shows_something_else() -> None:
    drum = Placement("drum", None, 22, 140, 70)
    found = _retouched(_reading(FOX, CAT), "a cat on the beach", earlier=(_reading(drum, CAT),))
    assert set(found.repaint or ()) == _around(FOX) and found.restored == ()


def test_a_place_of_before_is_begun_with() -> None:
    night, day = _reading(BLUE, CAT, background="night"), _reading(FOX, CAT)
    found = _retouched(night, "a blue fox left of a cat on the beach", earlier=(day,))
    assert found.base == 0 and set(found.repaint or ()) == _around(FOX)
    assert _retouched(night, "a blue fox left of a cat in the rain", earlier=(day,)).repaint is None
