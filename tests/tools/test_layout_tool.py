"""`layout`: boxes with phrases become squares to the pixel, and what cannot stand in a box is told."""

from __future__ import annotations

import random

import pytest

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.layout import BoxedPhrase, LayoutInput, LayoutTool, settled
from chatdit.tools.pocket import world
from chatdit.tools.pocket.boxed import boxed, visible
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Scene, Thing
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.pocket.vocabulary import DRAWABLE
from chatdit.tools.types import Box, Sampling, ToolError
from tests.tools.conftest import RecordingDiT

LEFT, RIGHT = Box(x1=0.05, y1=0.4, x2=0.45, y2=0.9), Box(x1=0.5, y1=0.5, x2=0.95, y2=0.95)


def _asked(*boxes: tuple[str, Box], **more: str) -> LayoutInput:
    return LayoutInput.model_validate({"boxes": [{"phrase": p, "box": b} for p, b in boxes], **more})


def test_a_sprite_fills_its_box_as_far_as_its_shape_allows() -> None:
    rng = random.Random(0)
    for name in rng.sample(DRAWABLE, 40):
        entry = boxed(f"a {name}", LEFT)
        x1, y1, x2, y2 = (v / PICTURE_PIXELS for v in visible(entry.sprite))
        slack = 2 / PICTURE_PIXELS
        assert LEFT.x1 - slack <= x1 and x2 <= LEFT.x2 + slack and LEFT.y1 - slack <= y1 and y2 <= LEFT.y2 + slack, name
        filled = max((x2 - x1) / (LEFT.x2 - LEFT.x1), (y2 - y1) / (LEFT.y2 - LEFT.y1))
        assert filled > 0.93, name
        assert abs((x1 + x2) - (LEFT.x1 + LEFT.x2)) < 0.02 and abs((y1 + y2) - (LEFT.y1 + LEFT.y2)) < 0.02, name


def test_what_is_seen_of_a_sprite_is_where_the_renderer_shows_it() -> None:
    rng, renderer = random.Random(1), Renderer()
    for name in rng.sample(DRAWABLE, 12):
        entry = boxed(f"a {name} wearing a red bow", RIGHT)
        rendered = renderer.render([Scene((entry.thing,), "studio")], rng, [(entry.sprite,)])
        true = [v * PICTURE_PIXELS for v in rendered.boxes[0][0].tolist()]
        # what is worn is told by its square, which it does not fill
        assert all(abs(a - b) <= 26 for a, b in zip(visible(entry.sprite), true, strict=True)), name
        bare = boxed(f"a {name}", RIGHT)
        rendered = renderer.render([Scene((bare.thing,), "studio")], rng, [(bare.sprite,)])
        true = [v * PICTURE_PIXELS for v in rendered.boxes[0][0].tolist()]
        assert all(abs(a - b) <= 3 for a, b in zip(visible(bare.sprite), true, strict=True)), name


def test_like_things_are_told_as_one_group_each_with_its_square() -> None:
    caption, sprites = settled(
        _asked(("a cat", LEFT), ("a red car", RIGHT), ("a cat", Box(x1=0.6, y1=0, x2=0.9, y2=0.4)))
    )
    read = read_caption(caption)
    assert read is not None and [(t.subject, t.count) for t in read.scene.things] == [("cat", 2), ("car", 1)]
    spots = told_spots(caption)
    assert [(s.x, s.y) for s in spots] == [sprites[0].centre, sprites[2].centre, sprites[1].centre]
    assert [sprite.subject for sprite in sprites] == ["cat", "car", "cat"], "in the order of the boxes"


def test_the_picture_is_drawn_from_the_squares(store: ArtifactStore, pocket_like: RecordingDiT) -> None:
    asked = _asked(("a cat", LEFT), ("a dog", RIGHT), background="on the beach", style="sketch")
    asked = asked.model_copy(update={"sampling": Sampling(seed=8)})
    made = LayoutTool().run(asked, pocket_like.context(store))
    (row,) = pocket_like.rows
    assert row.caption == made.caption and row.seed == 8 and made.seeds == (8,)
    assert row.caption.endswith("on the beach, sketch style")
    assert len(made.boxes) == 2 and made.boxes[0].x2 < made.boxes[1].x1
    assert LayoutTool().estimate(asked, pocket_like.defaults).rows == 1


def test_boxes_that_hide_each_other_are_told(store: ArtifactStore, pocket_like: RecordingDiT) -> None:
    made = LayoutTool().run(_asked(("a cat", LEFT), ("a dog", LEFT)), pocket_like.context(store))
    assert "the boxes of 'a cat' and 'a dog' overlap: one may hide the other" in made.warnings


@pytest.mark.parametrize(
    ("boxes", "more", "code", "why"),
    [
        ([("two cats", LEFT)], {}, "bad_box", "is no single subject"),
        ([("a zyx", LEFT)], {}, "bad_box", "is no single subject"),
        ([("a person wearing a hat", LEFT)], {}, "bad_box", "is no single subject"),
        ([("a cat", Box(x1=0, y1=0, x2=0.1, y2=0.5))], {}, "bad_box", "26x128 pixels of 256: make it larger"),
        ([("a cat", LEFT)], {"background": "in a volcano"}, "unknown_word", "in a volcano"),
        ([("a cat", LEFT)], {"style": "cubist"}, "unknown_word", "cubist"),
        ([(f"a {n}", LEFT) for n in ("cat", "dog", "fox", "car")], {}, "too_much", "one to three different subjects"),
    ],
)
def test_what_cannot_stand_there_is_told_before_weights_load(
    store: ArtifactStore,
    pocket_like: RecordingDiT,
    boxes: list[tuple[str, Box]],
    more: dict[str, str],
    code: str,
    why: str,
) -> None:
    asked = _asked(*boxes, **more)
    (problem,) = LayoutTool().validate(asked, pocket_like.defaults)
    assert problem.code == code and why in str(problem)
    with pytest.raises(ToolError):
        LayoutTool().run(asked, pocket_like.context(store))


def test_a_painter_that_is_told_no_squares_sees_each_phrase_in_its_box(
    store: ArtifactStore, flux_like: RecordingDiT
) -> None:
    asked = _asked(("two brass lamps", LEFT), ("a zyx", RIGHT), background="in a volcano", style="cubist style")
    assert not LayoutTool().validate(asked, flux_like.defaults)
    made = LayoutTool().run(asked, flux_like.context(store))
    (row,) = flux_like.rows
    assert row.caption == made.caption == "two brass lamps and a zyx, in a volcano, cubist style"
    assert [(r.phrase, r.box) for r in row.regions] == [
        ("two brass lamps", (0.05, 0.4, 0.45, 0.9)), ("a zyx", (0.5, 0.5, 0.95, 0.95)),
    ]  # fmt: skip
    assert made.boxes == (LEFT, RIGHT) and made.report["way"] == "regions"


def test_sprites_of_the_world_keep_their_place() -> None:
    """The box of what is seen of a sprite gives that sprite's square again."""
    rng = random.Random(5)
    for _ in range(20):
        thing = Thing(rng.choice(DRAWABLE))
        sprite = next(s for s in (world.place(Scene((thing,), "beach"), rng)[0] for _ in range(50)) if not s.rotation)
        x1, y1, x2, y2 = (v / PICTURE_PIXELS for v in visible(sprite))
        if min(x1, y1) < 0 or max(x2, y2) > 1:
            continue
        again = boxed(f"a {thing.subject}", Box(x1=x1, y1=y1, x2=x2, y2=y2)).sprite
        assert (
            abs(again.side - sprite.side) <= 3
            and abs(again.left - sprite.left) <= 3
            and abs(again.top - sprite.top) <= 3
        )


def test_a_phrase_needs_a_box_in_the_picture() -> None:
    with pytest.raises(ValueError, match="x1 < x2"):
        BoxedPhrase.model_validate({"phrase": "a cat", "box": {"x1": 0.5, "y1": 0, "x2": 0.4, "y2": 1}})
