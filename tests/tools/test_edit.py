"""The edit tool: what it paints, what it leaves, what it refuses; on the model that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.dit.model import DiT
from chatdit.tools.edit import Edit, EditInput, EditOutput
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Box, Cancelled, Progress, Sampling, ToolError

if TYPE_CHECKING:
    from tests.tools.conftest import RecordingDiT

Levels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@pytest.fixture
def picture(fox_and_cat: Image.Image) -> Image.Image:
    return fox_and_cat


def _edited(
    painter: DiT, store: ArtifactStore, picture: Image.Image, caption: str, boxes: tuple[Box, ...] = (), steps: int = 2
) -> tuple[EditOutput, Levels]:
    request = EditInput(
        image=store.put_image(picture), caption=caption, boxes=boxes, sampling=Sampling(seed=1, steps=steps)
    )
    return _run(painter, store, request)


def _run(painter: DiT, store: ArtifactStore, request: EditInput) -> tuple[EditOutput, Levels]:
    made = Edit().run(request, RunContext(lambda: painter, store, lambda _: None))
    return made, np.asarray(store.open_image(made.images[0])).astype(np.int64)


def _levels(picture: Image.Image) -> Levels:
    return np.asarray(picture).astype(np.int64)


def test_only_what_changes_is_painted(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    made, after = _edited(pocket, store, picture, "a blue fox left of a cat on the beach", steps=4)
    changed = (after != _levels(picture)).any(axis=2)
    rows, columns = changed.nonzero()
    assert changed.sum() > 100 and rows.min() >= 115 and rows.max() < 225 and columns.max() < 115
    fox = after[140:200, 35:85].mean(axis=(0, 1))
    assert fox[2] > fox[0] + 30, "it is blue now"
    assert made.report["painted"] == 1 and len(told_spots(str(made.report["caption_1"]))) == 2 and not made.warnings


def test_pictures_of_other_sizes_keep_their_pixels(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    wide = Image.new("RGB", (640, 400), (120, 200, 250))
    wide.paste(picture.resize((400, 400)), (120, 0))
    made, after = _edited(pocket, store, wide, "a cat on the beach", (Box(x1=0.2, y1=0.5, x2=0.5, y2=0.8),))
    assert after.shape == (400, 640, 3) and made.boxes == (Box(x1=0.2, y1=0.5, x2=0.5, y2=0.8),)
    changed = (after != _levels(wide)).any(axis=2)
    rows, columns = changed.nonzero()
    assert changed.any() and columns.min() >= 128 and columns.max() < 320
    assert rows.min() >= 200 and rows.max() < 320


def _mask(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = (256, 256)) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, (left, top, right, bottom))
    return mask


@pytest.mark.parametrize("kind", ["mask", "picture"])
def test_a_mask_says_where(pocket: DiT, store: ArtifactStore, picture: Image.Image, kind: str) -> None:
    mask = _mask(10, 120, 110, 220)
    given = store.put_mask(mask) if kind == "mask" else store.put_image(mask.convert("RGB"))
    image = store.put_image(picture)
    request = EditInput(image=image, caption="a blue fox left of a cat on the beach", mask=given)
    made, after = _run(pocket, store, request.model_copy(update={"sampling": Sampling(seed=1, steps=4)}))
    changed = (after != _levels(picture)).any(axis=2)
    assert not changed[np.asarray(mask) == 0].any() and changed.sum() > 1000
    fox = after[140:200, 35:85].mean(axis=(0, 1))
    assert fox[2] > fox[0] + 30 and made.boxes == (Box(x1=10 / 256, y1=120 / 256, x2=110 / 256, y2=220 / 256),)


def test_a_mask_keeps_every_pixel_outside_of_it_at_any_size(
    pocket: DiT, store: ArtifactStore, picture: Image.Image
) -> None:
    wide = Image.new("RGB", (640, 400), (120, 200, 250))
    wide.paste(picture.resize((400, 400)), (120, 0))
    mask = Image.effect_noise(wide.size, 90).point([255 * (level > 150) for level in range(256)])
    request = EditInput(
        image=store.put_image(wide), caption="a fox left of a cat on the beach", mask=store.put_mask(mask)
    )
    _, after = _run(pocket, store, request.model_copy(update={"sampling": Sampling(seed=1, steps=2)}))
    changed = (after != _levels(wide)).any(axis=2)
    assert changed.any() and not changed[np.asarray(mask) == 0].any()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_added_stands_in_the_picture_and_in_the_mask(
    pocket: DiT, store: ArtifactStore, picture: Image.Image, seed: int
) -> None:
    wide = Image.new("RGB", (512, 256), (120, 200, 250))
    wide.paste(picture, (0, 0))
    request = EditInput(
        image=store.put_image(wide), caption="a fox, a cat and a drum on the beach",
        sampling=Sampling(seed=seed, steps=1),
    )  # fmt: skip
    free, _ = _run(pocket, store, request)
    assert all(64 <= spot.y <= 192 for spot in told_spots(str(free.report["caption_1"]))), "never in the bars"
    mask = store.put_mask(_mask(380, 60, 500, 180, wide.size))
    masked, _ = _run(pocket, store, request.model_copy(update={"mask": mask}))
    drum = told_spots(str(masked.report["caption_1"]))[2]
    half = drum.side / 2 - 0.5  # words tell the middle to the pixel
    assert drum.x - half >= 190 and drum.x + half <= 250


def test_masks_that_do_not_fit_are_refused(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    image, box = store.put_image(picture), Box(x1=0, y1=0, x2=0.5, y2=0.5)
    small = EditInput(image=image, caption="a cat", mask=store.put_mask(Image.new("L", (64, 64), 255)))
    (problem,) = Edit().validate(small)
    assert problem.code == "mask_size" and "256x256" in problem.expected and problem.got == "64x64"
    both = small.model_copy(update={"boxes": (box,)})
    assert [p.code for p in Edit().validate(both)] == ["two_places"]
    empty = EditInput(image=image, caption="a cat on the beach", mask=store.put_mask(Image.new("L", (256, 256))))
    with pytest.raises(ToolError, match="the mask marks nothing: expected white where"):
        _run(pocket, store, empty)


def test_what_an_earlier_version_shows_comes_back(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    first = store.put_image(picture)
    blue = EditInput(image=first, caption="a blue fox left of a cat on the beach", sampling=Sampling(steps=4))
    second, changed = _run(pocket, store, blue)
    assert (changed != _levels(picture)).any() and second.report["restored"] == 0
    back = EditInput(image=second.images[0], caption="a fox left of a cat on the beach", earlier=(first,))
    third, restored = _run(pocket, store, back)
    assert (restored == _levels(picture)).all() and third.report["restored"] == 1 and not third.warnings
    alone, painted = _run(pocket, store, back.model_copy(update={"earlier": ()}))
    assert (painted != _levels(picture)).any() and alone.report["painted"] == 1


def test_a_place_that_was_there_before_comes_back(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    first = store.put_image(picture)
    night = EditInput(image=first, caption="a fox left of a cat at night", sampling=Sampling(steps=4))
    second, _ = _run(pocket, store, night)
    back = EditInput(image=second.images[0], caption="a fox left of a cat on the beach", earlier=(first,))
    third, restored = _run(pocket, store, back)
    assert third.report["restored"] and (restored == _levels(picture)).mean() > 0.9


def test_a_blurred_picture_is_painted_anew(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    blurred = picture.filter(ImageFilter.GaussianBlur(2.5))
    request = EditInput(
        image=store.put_image(blurred), caption="a fox left of a cat on the beach", ways=("afresh",),
        sampling=Sampling(steps=4),
    )  # fmt: skip
    made, after = _run(pocket, store, request)
    assert made.report["painted"] == "all" and any("painted anew" in warning for warning in made.warnings)

    def edges(levels: Levels) -> float:
        return float(np.abs(np.diff(levels, axis=1)).mean())

    assert edges(after) > 1.5 * edges(_levels(blurred))
    assert [s.x < 128 for s in told_spots(str(made.report["caption_1"]))] == [True, False]


def test_versions_of_another_size_are_left_aside(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    other = store.put_image(picture.resize((300, 300)))
    request = EditInput(
        image=store.put_image(picture), caption="a cat on the beach", earlier=(other,), sampling=Sampling(steps=1)
    )
    made, _ = _run(pocket, store, request)
    assert made.report["restored"] == 0 and made.report["painted"] == 1


def test_another_place_paints_it_all(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    made, after = _edited(pocket, store, picture, "a fox left of a cat at night")
    assert made.report["painted"] == "all" and after[:60].mean() < 90 < _levels(picture)[:60].mean()


def test_what_is_shown_already_is_left_as_it_is(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    made, after = _edited(pocket, store, picture, "a fox left of a cat on the beach")
    assert made.boxes == () and (after == _levels(picture)).all()
    assert made.warnings == ("nothing had to change",)


def test_words_that_are_no_scene_are_one_clear_line(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    with pytest.raises(ToolError, match="'make it red' is no scene that pocket can draw: expected subjects"):
        _edited(pocket, store, picture, "make it red")


def test_a_painter_that_cannot_look_needs_boxes(flux_like: RecordingDiT, store: ArtifactStore) -> None:
    grey = store.put_image(Image.new("RGB", (64, 64), (90, 90, 90)))
    request = EditInput(image=grey, caption="a red door")
    (problem,) = Edit().validate(request, flux_like.defaults)
    assert problem.code == "no_place"
    with pytest.raises(ToolError, match="say it, or give a mask or boxes"):
        Edit().run(request, flux_like.context(store))
    boxed = request.model_copy(update={"boxes": (Box(x1=0, y1=0, x2=0.5, y2=0.5),)})
    assert Edit().validate(boxed, flux_like.defaults) == []
    Edit().run(boxed, flux_like.context(store))
    (segment,) = flux_like.rows[0].segments
    assert segment.known_mask is not None and not segment.known_mask[:128, :128].any()
    assert segment.known_mask[128:].all() and flux_like.rows[0].caption == "a red door"


def test_cost_is_one_row_or_by_words_two(flux_like: RecordingDiT, store: ArtifactStore) -> None:
    grey = store.put_image(Image.new("RGB", (64, 64)))
    request = EditInput(image=grey, caption="a cat", shown="a dog", sampling=Sampling(steps=5))
    cost = Edit().estimate(request, flux_like.defaults)
    assert (cost.steps, cost.rows, cost.tokens) == (5, 2, 256)
    boxed = request.model_copy(update={"boxes": (Box(x1=0, y1=0, x2=0.5, y2=0.5),)})
    assert Edit().estimate(boxed, flux_like.defaults).rows == 1


def test_a_painter_of_any_words_edits_by_what_is_shown_and_wanted(
    flux_like: RecordingDiT, store: ArtifactStore
) -> None:
    grey = store.put_image(Image.new("RGB", (256, 256), (90, 90, 90)))
    request = EditInput(image=grey, caption="a red door", shown="a blue door", sampling=Sampling(seed=5))
    assert Edit().validate(request, flux_like.defaults) == []
    made = Edit().run(request, flux_like.context(store))
    assert isinstance(made, EditOutput)
    (row,) = flux_like.rows
    assert row.trajectory == "edited" and row.source is not None and row.source.caption == "a blue door"
    assert row.caption == "a red door" and row.seed == 5 and made.report["route"] == "flow_edit"


def test_cancelling_keeps_nothing(pocket: DiT, store: ArtifactStore, picture: Image.Image) -> None:
    request = EditInput(image=store.put_image(picture), caption="a cat on the beach", sampling=Sampling(steps=2))
    before = sorted(store.root.rglob("*"))

    def stop(_: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Edit().run(request, RunContext(lambda: pocket, store, stop))
    assert sorted(store.root.rglob("*")) == before
