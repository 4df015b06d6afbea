"""The recogniser: synthesis finds what was drawn, the shipped network names place and style."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chatdit.tools.pocket.grid_world import random_scene
from chatdit.tools.pocket.recogniser import (
    BACKGROUND_NAMES,
    STYLE_NAMES,
    Logits,
    PlaceNetwork,
    Reading,
    Recogniser,
    load_recogniser,
)
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.templates import TemplateBank
from chatdit.tools.pocket.vocabulary import SUBJECTS
from chatdit.tools.types import ToolError


class _Told(PlaceNetwork):
    """A network that is told the answers, so that only the search for subjects is tested."""

    def __init__(self, scenes: list[Scene]) -> None:
        super().__init__()
        self._scenes = scenes

    def forward(self, pictures: Tensor) -> Logits:
        places = torch.tensor([BACKGROUND_NAMES.index(s.background) for s in self._scenes])
        styles = torch.tensor([STYLE_NAMES.index(s.style) for s in self._scenes])
        return Logits(
            torch.nn.functional.one_hot(places, len(BACKGROUND_NAMES)).float(),
            torch.nn.functional.one_hot(styles, len(STYLE_NAMES)).float(),
        )


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture(scope="module")
def bank(renderer: Renderer) -> TemplateBank:
    return TemplateBank(renderer)


@pytest.mark.parametrize("style", ["plain", "negative", "sketch"])
def test_what_was_drawn_is_found_where_it_stands(renderer: Renderer, bank: TemplateBank, style: str) -> None:
    rng = random.Random(5)
    scenes = [random_scene(rng, tuple(SUBJECTS), style) for _ in range(12)]
    pictures, placements = renderer.pictures_and_placements(scenes, rng)
    readings = Recogniser(_Told(scenes), bank).read(pictures)
    hits = [_found(r) == _placed(p) for r, p in zip(readings, placements, strict=True)]
    assert sum(hits) >= len(hits) - 1


def test_tints_are_told_apart(renderer: Renderer, bank: TemplateBank) -> None:
    scenes = [Scene((Thing("cat", tint=tint),), "studio") for tint in (None, "red", "blue", "green", "pink")]
    readings = Recogniser(_Told(scenes), bank).read(renderer.pictures(scenes, random.Random(0)))
    assert [r.sightings[0].tint for r in readings] == [None, "red", "blue", "green", "pink"]


def test_an_empty_place_shows_nothing(renderer: Renderer, bank: TemplateBank) -> None:
    scenes = [Scene((Thing("cat"),), place) for place in ("beach", "forest", "city")]
    empty = renderer.pictures_of(scenes, [(), (), ()], random.Random(0))
    assert [r.sightings for r in Recogniser(_Told(scenes), bank).read(empty)] == [(), (), ()]


def test_the_shipped_recogniser_reads_renders(renderer: Renderer, bank: TemplateBank) -> None:
    rng = random.Random(11)
    scenes = [random_scene(rng) for _ in range(16)]
    pictures, placements = renderer.pictures_and_placements(scenes, rng)
    readings = load_recogniser(bank=bank).read(pictures)
    named = [_found(r) == _placed(p) for r, p in zip(readings, placements, strict=True)]
    settings = [(r.background, r.style) == (s.background, s.style) for r, s in zip(readings, scenes, strict=True)]
    assert sum(named) >= 14 and sum(settings) >= 14


def test_other_sizes_are_read_and_other_shapes_refused(renderer: Renderer, bank: TemplateBank) -> None:
    recogniser = Recogniser(PlaceNetwork(), bank)
    assert len(recogniser.read(torch.zeros(2, 3, 512, 512))) == 2
    with pytest.raises(ToolError, match="expected"):
        recogniser.read(torch.zeros(3, 256, 256))


def test_missing_weights_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no recogniser weights"):
        load_recogniser(tmp_path / "none.safetensors")


def _found(reading: Reading) -> list[tuple[str, float, float]]:
    return sorted((s.subject, s.box.x1 * 8, s.box.y1 * 8) for s in reading.sightings)


def _placed(sprites: tuple[Placement, ...]) -> list[tuple[str, float, float]]:
    return sorted((s.subject, s.left / 32, s.top / 32) for s in sprites)
