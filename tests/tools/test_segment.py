"""The tool segment: what it means, what it gives and what it refuses; on pictures whose masks are known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from chatdit.agents.node_cache import NodeCache
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import Placement, Scene, Thing, Worn
from chatdit.tools.segment import GROUNDING_VARIABLE, SAM_VARIABLE, Segment, SegmentInput, SegmentOutput
from chatdit.tools.types import Box, Cancelled, ImageRef, Progress, ToolError
from tests.tools.test_grounding import save_tiny_dino, save_tiny_sam

if TYPE_CHECKING:
    from tests.tools.conftest import RecordingDiT

FOX, CAT = Placement("fox", None, 20, 130, 80), Placement("cat", "red", 150, 120, 90, worn=Worn("top hat", "blue"))
Levels = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (GROUNDING_VARIABLE, SAM_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def drawn() -> tuple[Image.Image, tuple[Levels, Levels]]:
    """A fox on the left and a red cat with a hat on the right, and their masks."""
    scene = Scene((Thing("fox"), Thing("cat", tint="red")), "beach", view=1)
    made = Renderer().render([scene], random.Random(1), [(FOX, CAT)])
    fox, cat = made.masks[0].numpy()
    return to_image(made.pictures[0]), (fox, cat)


@pytest.fixture
def picture(drawn: tuple[Image.Image, tuple[Levels, Levels]]) -> Image.Image:
    return drawn[0]


@pytest.fixture
def fox(drawn: tuple[Image.Image, tuple[Levels, Levels]]) -> Levels:
    return drawn[1][0]


@pytest.fixture
def cat(drawn: tuple[Image.Image, tuple[Levels, Levels]]) -> Levels:
    return drawn[1][1]


def _segmented(
    painter: RecordingDiT, store: ArtifactStore, picture: Image.Image, **asked: object
) -> tuple[SegmentOutput, list[Levels]]:
    request = SegmentInput.model_validate({"image": store.put_image(picture), **asked})
    made = Segment().run(request, painter.context(store))
    return made, [np.asarray(store.open_mask(mask)) > 127 for mask in made.masks]


def _iou(a: Levels, b: Levels) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    "asked",
    [
        {"phrase": "the fox"},
        {"phrase": "the one on the left"},
        {"points": [(0.23, 0.66)]},
        {"box": Box(x1=0, y1=0.4, x2=0.5, y2=1)},
        {"phrase": "everything", "points": [(0.23, 0.66), (0.25, 0.7)], "box": Box(x1=0, y1=0.4, x2=0.5, y2=1)},
    ],
)
def test_words_points_and_boxes_mean_a_thing(
    pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, fox: Levels, asked: dict[str, object]
) -> None:
    made, (mask,) = _segmented(pocket_like, store, picture, **asked)
    assert _iou(mask, fox) > 0.95
    assert made.phrases == ("a fox",) and not made.warnings and not pocket_like.rows
    (box,) = made.boxes
    rows, columns = mask.nonzero()
    assert (box.x1 * 256, box.y1 * 256) == (columns.min(), rows.min())
    shown = np.asarray(store.open_image(made.images[0]))
    assert (shown[mask] == np.asarray(picture)[mask]).all() and (shown[~mask] == 255).all()


def test_everything_at_once_or_one_by_one(
    pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, fox: Levels, cat: Levels
) -> None:
    made, (both,) = _segmented(pocket_like, store, picture, phrase="everything")
    assert _iou(both, fox | cat) > 0.95 and set(made.phrases[0].split(" and ")) == {
        "a fox",
        "a red cat wearing a blue top hat",
    }
    made, masks = _segmented(pocket_like, store, picture, points=[(0.23, 0.66), (0.75, 0.65)], instances=True)
    assert len(masks) == len(made.images) == len(made.boxes) == 2
    by_name = dict(zip(made.phrases, masks, strict=True))
    assert _iou(by_name["a fox"], fox) > 0.95
    assert _iou(by_name["a red cat wearing a blue top hat"], cat) > 0.95


def test_the_rest(pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, cat: Levels) -> None:
    made, (mask,) = _segmented(pocket_like, store, picture, phrase="Everything except the red cat.")
    assert _iou(~mask, cat) > 0.95 and made.phrases == ("all but a red cat wearing a blue top hat",)


def test_the_background_and_what_is_left_of_a_point(
    pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, fox: Levels, cat: Levels
) -> None:
    _, (mask,) = _segmented(pocket_like, store, picture, phrase="background")
    assert _iou(~mask, fox | cat) > 0.95
    _, (mask,) = _segmented(pocket_like, store, picture, phrase="everything else", points=[(0.23, 0.66)])
    assert _iou(~mask, fox) > 0.95


def test_what_is_worn_alone(pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, cat: Levels) -> None:
    made, (hat,) = _segmented(pocket_like, store, picture, phrase="the cat's hat")
    assert made.phrases == ("the blue top hat of a red cat",)
    assert (hat & cat).sum() > 0.95 * hat.sum() and 0.05 < hat.sum() / cat.sum() < 0.5
    assert hat.nonzero()[0].max() < 256 * 0.62


def test_pictures_of_other_sizes(
    pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, fox: Levels
) -> None:
    wide = Image.new("RGB", (640, 400), (120, 200, 250))
    wide.paste(picture.resize((400, 400)), (120, 0))
    truth = Image.new("L", wide.size)
    truth.paste(Image.fromarray(fox).resize((400, 400)), (120, 0))
    made, (mask,) = _segmented(pocket_like, store, wide, points=[((120 + 92) / 640, 0.66)])
    assert (made.masks[0].width, made.masks[0].height) == (640, 400)
    assert _iou(mask, np.asarray(truth) > 127) > 0.85


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"phrase": "a zebra"}, "'a zebra' is not there, and the picture shows a .* and a .*: expected one of them"),
        ({"phrase": "the striped fox"}, "'the striped fox' holds 'striped', and the picture shows"),
        ({"points": [(0.5, 0.1)]}, r"nothing that is meant lies at \(0.50, 0.10\), and the picture shows a .* and a "),
        ({"phrase": "the cat", "points": [(0.23, 0.66)]}, r"nothing that is meant lies at \(0.23, 0.66\)"),
        ({"box": Box(x1=0.4, y1=0, x2=0.6, y2=0.2)}, "nothing that is meant lies in the box, and the picture shows"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image, asked: dict[str, object], message: str
) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        _segmented(pocket_like, store, picture, **asked)
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


def test_something_must_be_meant(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    grey = store.put_image(Image.new("RGB", (8, 8)))
    (problem,) = Segment().validate(SegmentInput(image=grey), pocket_like.defaults)
    assert (problem.path, problem.code) == ("phrase", "nothing_meant")
    with pytest.raises(ToolError, match="expected a phrase, points or a box, got none of them"):
        Segment().run(SegmentInput(image=grey), pocket_like.context(store))
    for given in ({"phrase": "a cat"}, {"points": ((0.5, 0.5),)}, {"box": Box(x1=0, y1=0, x2=1, y2=1)}):
        assert Segment().validate(SegmentInput.model_validate({"image": grey, **given})) == []
    for wrong in ({"points": [(1.2, 0)]}, {"phrase": "  "}, {"points": [(0, 0)] * 17}, {"seed": 1}):
        with pytest.raises(ValidationError):
            SegmentInput.model_validate({"image": grey, **wrong})


def test_a_picture_of_another_world_is_warned_of(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    made, (mask,) = _segmented(pocket_like, store, Image.fromarray(levels), phrase="background")
    assert mask.any() and "none that the painter draws" in made.warnings[0]


def test_cancelling_keeps_nothing(pocket_like: RecordingDiT, store: ArtifactStore, picture: Image.Image) -> None:
    request = SegmentInput(image=store.put_image(picture), phrase="the fox")
    before = sorted(store.root.rglob("*"))

    def stop(_: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Segment().run(request, pocket_like.context(store, stop))
    assert sorted(store.root.rglob("*")) == before


def test_nothing_is_painted(flux_like: RecordingDiT, store: ArtifactStore) -> None:
    request = SegmentInput(image=store.put_image(Image.new("RGB", (8, 8))), phrase="a cat")
    assert Segment().estimate(request, flux_like.defaults).tokens == 0


def test_real_pictures_name_the_models_that_they_take(
    flux_like: RecordingDiT, store: ArtifactStore, picture: Image.Image
) -> None:
    with pytest.raises(ToolError, match=r"CHATDIT_SAM2 to name a folder.* and CHATDIT_GROUNDING_DINO to name a folder"):
        _segmented(flux_like, store, picture, phrase="the door")
    with pytest.raises(ToolError, match=r"'background' does not say behind what: expected 'all but the cat'"):
        _segmented(flux_like, store, picture, phrase="background")


def test_real_pictures_take_the_models_in_the_folders_that_are_named(
    flux_like: RecordingDiT,
    pocket_like: RecordingDiT,
    store: ArtifactStore,
    picture: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With random weights: the way, the sizes and what combines, and nothing of what is found."""
    torch.manual_seed(0)
    save_tiny_dino(tmp_path / "dino")
    save_tiny_sam(tmp_path / "sam")
    monkeypatch.setenv(GROUNDING_VARIABLE, str(tmp_path / "dino"))
    monkeypatch.setenv(SAM_VARIABLE, str(tmp_path / "sam"))
    photo = picture.resize((90, 60))
    for painter in (flux_like, pocket_like):
        made, masks = _segmented(painter, store, photo, points=[(0.2, 0.3), (0.7, 0.6)], instances=True)
        assert made.report["by"] == "grounding" and len(masks) == 2 and masks[0].shape == (60, 90)
    _, (thing,) = _segmented(flux_like, store, photo, box=Box(x1=0.1, y1=0.1, x2=0.6, y2=0.7))
    made, (rest,) = _segmented(
        flux_like, store, photo, phrase="everything else", box=Box(x1=0.1, y1=0.1, x2=0.6, y2=0.7)
    )
    assert (thing ^ rest).all() and made.phrases == ("all but the thing in the box",)
    monkeypatch.setattr("chatdit.tools.grounding.MIN_SCORE", 0.0)
    made, masks = _segmented(flux_like, store, photo, phrase="The red fox", instances=True)
    assert masks and set(made.phrases) == {"the red fox"}
    monkeypatch.setattr("chatdit.tools.grounding.MIN_SCORE", 1.0)
    with pytest.raises(ToolError, match="'the red fox' was not found there: expected another word for it"):
        _segmented(flux_like, store, photo, phrase="the red fox")


def test_named_folders_are_part_of_what_decides_a_mask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = SegmentInput(image=ImageRef(sha256="a" * 64, width=64, height=64), phrase="the cat")
    cache = NodeCache(tmp_path, lambda: "weights")
    plain = cache.key(Segment(), asked)
    monkeypatch.setenv(SAM_VARIABLE, str(tmp_path))
    assert cache.key(Segment(), asked) != plain
