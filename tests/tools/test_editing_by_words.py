"""Edits from words alone: both captions, the way for each painter, other sizes; on the model that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from PIL import Image

from chatdit.tools.dit.model import DiT
from chatdit.tools.editing_by_words import POCKET, Way, Words, edited_by_words, told, way_for, words_for
from chatdit.tools.pocket.closer_look import placed
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import Scene, Thing, Worn
from chatdit.tools.pocket.spots import spot_words, told_spots
from chatdit.tools.types import Box, Cancelled, Progress, Sampling, ToolError

if TYPE_CHECKING:
    from tests.tools.conftest import RecordingDiT

Levels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@pytest.fixture
def picture(fox_and_cat: Image.Image) -> Image.Image:
    return fox_and_cat


def _levels(picture: Image.Image) -> Levels:
    return np.asarray(picture).astype(np.int64)


def _edited(dit: DiT, picture: Image.Image, wanted: str, steps: int = 4, **how: object) -> Levels:
    words = words_for(dit, picture, wanted, seed=1)
    made = edited_by_words(dit, picture, words, Sampling(seed=1, steps=steps), lambda _: None, **how)  # type: ignore[arg-type]
    return _levels(made)


def test_words_alone_recolour_a_fox_and_leave_the_cat(pocket: DiT, picture: Image.Image) -> None:
    after, before = _edited(pocket, picture, "a blue fox left of a cat on the beach"), _levels(picture)
    fox = after[140:200, 35:85].mean(axis=(0, 1))
    assert fox[2] > fox[0] + 30, "it is blue now"
    assert (after[:, 140:] == before[:, 140:]).all(axis=2).mean() > 0.9, "no box says so, and yet the cat stays"


def test_what_is_shown_already_is_left_as_it_is(pocket: DiT, picture: Image.Image) -> None:
    words = words_for(pocket, picture, "a fox left of a cat on the beach")
    assert words.shown == words.wanted and len(told_spots(words.shown)) == 2
    way = Way(guidance=1.0)
    made = edited_by_words(pocket, picture, words, Sampling(steps=2), lambda _: None, way=way)
    assert (_levels(made) == _levels(picture)).all()


def test_nothing_changes_where_nothing_may(pocket: DiT, picture: Image.Image) -> None:
    region = Image.new("L", picture.size)
    region.paste(255, (30, 150, 60, 200))
    after = _edited(pocket, picture, "a blue fox left of a cat on the beach", region=region)
    rows, columns = (after != _levels(picture)).any(axis=2).nonzero()
    assert len(rows) > 100 and rows.min() >= 150 and rows.max() < 200 and columns.min() >= 30 and columns.max() < 60


def test_pictures_of_other_sizes_keep_their_pixels(pocket: DiT, picture: Image.Image) -> None:
    wide = Image.new("RGB", (640, 400), (120, 200, 250))
    wide.paste(picture.resize((400, 400)), (120, 0))
    region = Image.new("L", wide.size)
    region.paste(255, (128, 160, 320, 384))
    words = Words("a fox on the beach", "a blue fox on the beach")
    made = edited_by_words(pocket, wide, words, Sampling(steps=2), lambda _: None, region=region)
    rows, columns = (_levels(made) != _levels(wide)).any(axis=2).nonzero()
    assert made.size == wide.size and len(rows)
    assert columns.min() >= 128 and columns.max() < 320 and rows.min() >= 160 and rows.max() < 384


def _seen(subject: str, x: float, tint: str | None = None, worn: Worn | None = None, side: float = 0.4) -> Sighting:
    return Sighting(subject, tint, Box(x1=x, y1=0.9 - side, x2=x + side, y2=0.9), 0.9, worn=worn)


def test_both_captions_differ_where_the_scenes_do() -> None:
    """The surest sighting comes first in a reading; the wanted caption has an order and words of its own."""
    cat, fox = _seen("cat", 0.55), _seen("fox", 0.05)
    reading = Reading((cat, fox), "beach", "plain")
    spots = [spot_words(placed(sighting)) for sighting in (fox, cat)]
    pair = told(reading, Scene((Thing("dog"), Thing("cat")), "beach", relation="left of"))
    assert pair == f"a fox {spots[0]} left of a cat {spots[1]} on the beach", "the dog takes the fox's place"
    assert told(reading, Scene((Thing("cat"), Thing("fox")), "moon")) == (
        f"a cat {spots[1]} and a fox {spots[0]} on the beach"
    )
    large = Reading((_seen("fox", 0.2, "red", Worn("bow", "blue"), 0.7),), "moon", "plain")
    assert told(large, Scene((Thing("fox"),), "moon")).startswith("a red fox wearing a blue bow [")
    assert told(large, Scene((Thing("fox", size="small"),), "moon")).startswith("a large red fox")
    two = Reading((_seen("fox", 0.05), cat, _seen("fox", 0.3, side=0.2)), "beach", "sketch")
    caption = told(two, Scene((Thing("fox", 2), Thing("cat", tint="red")), "beach"))
    assert caption.startswith(f"two foxes {spots[0]}") and caption.endswith("on the beach, sketch style")
    assert [round(s.x / 4) for s in told_spots(caption)] == [16, 26, 48]
    assert told(Reading((), "moon", "plain"), Scene((Thing("cat"),), "moon")) == "on the moon, plain style"


def test_words_that_are_no_scene_are_one_clear_line(pocket: DiT, picture: Image.Image) -> None:
    with pytest.raises(ToolError, match="'make it red' is no scene that pocket can draw: expected subjects"):
        words_for(pocket, picture, "make it red")


def test_a_painter_that_cannot_look_must_be_told(flux_like: RecordingDiT, picture: Image.Image) -> None:
    dit = cast(DiT, flux_like)
    with pytest.raises(ToolError, match="nothing says what the picture shows"):
        words_for(dit, picture, "a red door")
    words = words_for(dit, picture, "a red door", "a green door")
    assert words == Words("a green door", "a red door")
    way = Way("fireflow", 0.5, guidance=4.0, source_guidance=1.5)
    tall = picture.resize((300, 450))
    region = Image.new("L", tall.size, 255)
    made = edited_by_words(dit, tall, words, Sampling(seed=3), lambda _: None, way=way, region=region)
    (row,), (options,) = flux_like.rows, flux_like.options
    assert made.size == tall.size and (row.caption, row.seed, row.trajectory) == ("a red door", 3, "edited")
    assert row.source is not None and (row.source.caption, row.source.route) == ("a green door", "fireflow")
    assert (row.source.start, row.source.guidance, options.guidance) == (0.5, 1.5, 4.0)
    (segment,) = row.segments
    assert segment.keep is not None and not segment.keep.any()
    assert abs(segment.width / segment.height - 2 / 3) < 0.05 and segment.width * segment.height <= 1.1 * 256**2


def test_a_guidance_that_is_asked_for_is_used(flux_like: RecordingDiT, picture: Image.Image) -> None:
    words = Words("a green door", "a red door")
    edited_by_words(cast(DiT, flux_like), picture, words, Sampling(guidance=2.5), lambda _: None, way=Way(guidance=9))
    assert flux_like.options[0].guidance == 2.5


def test_each_painter_has_a_way(pocket: DiT) -> None:
    assert way_for(pocket) == POCKET


def test_cancelling_passes_through(pocket: DiT, picture: Image.Image) -> None:
    def stop(_: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        edited_by_words(pocket, picture, Words("a fox", "a cat"), Sampling(steps=2), stop)
