"""Sprites moved to where they fit: windows, moves and their limits, and the search itself."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from chatdit.tools.pocket.figures import STANDING
from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.sprite_fit import POSE_LIMITS, Search, Stage, Window, _lowest, best_fit, moved
from chatdit.tools.types import Box

FOX = Placement("fox", None, 90, 100, 84, rotation=8, variant=1)
SCENE = Scene((Thing("fox"),), "forest", view=0)


def test_windows() -> None:
    assert Window.around(Box(x1=0.25, y1=0, x2=0.5, y2=1), 10) == Window(slice(0, 256), slice(54, 138))
    mask = torch.zeros(256, 256, dtype=torch.bool)
    mask[3:9, 250:254] = True
    window = Window.holding(mask, 4)
    assert window == Window(slice(0, 13), slice(246, 256)) and window.of(mask[None]).shape == (1, 13, 10)
    window.of(mask).fill_(False)
    assert not mask.any(), "a window is a view"


def test_moves() -> None:
    assert moved(FOX, "left", -3).left == 87 and moved(FOX, "rotation", 2).rotation == 10
    larger = moved(FOX, "side", 6)
    assert larger.side == 90 and larger.centre == FOX.centre
    assert moved(FOX, "side", -500).side == 16
    person = replace(FOX, subject="person", pose=STANDING)
    assert moved(person, 1, 100).pose[1] == POSE_LIMITS[1][1] and moved(person, 8, -2).pose[8] == -8
    assert moved(person, 1, 1).pose[:1] == STANDING[:1]


@pytest.mark.parametrize(
    ("errors", "step", "lowest"),
    [((4.0, 1.0, 4.0), 2, 0), ((1.0, 1.0, 9.0), 4, -2), ((9.0, 4.0, 1.0), 2, 2), ((1.0, 2.0, 1.0), 4, 0)],
)
def test_the_lowest_point_of_a_parabola(errors: tuple[float, float, float], step: int, lowest: int) -> None:
    assert _lowest(*errors, step) == lowest


def test_a_search_finds_what_was_drawn() -> None:
    renderer = Renderer()
    picture, place = renderer.pictures_of([SCENE] * 2, [(FOX,), ()], random.Random(0))
    stage = Stage(renderer, SCENE, place, place)
    box = Box(x1=(FOX.left + 4) / 256, y1=(FOX.top + 3) / 256, x2=(FOX.left + 90) / 256, y2=(FOX.top + 89) / 256)
    seen = Sighting("fox", "blue", box, 1.0, 4)
    found = best_fit(stage, picture, seen)
    assert (found.tint, found.variant) == (None, 1)
    assert max(abs(found.left - FOX.left), abs(found.top - FOX.top), abs(found.side - FOX.side)) <= 1
    assert abs(found.rotation - FOX.rotation) <= 1
    search = Search(stage, picture, Window.around(box, 10))
    assert search.fit(FOX).error == 0 < search.fit(moved(FOX, "left", 3)).error
    assert search.settled(search.fit(FOX), 2).sprite == FOX, "what fits stays"


def test_a_stage_puts_sprites_into_another_place() -> None:
    renderer = Renderer()
    (place,) = renderer.pictures_of([SCENE], [()], random.Random(0))
    grey = torch.full((3, 256, 256), 0.25)
    (drawn,) = renderer.pictures_of([SCENE], [(FOX,)], random.Random(0))
    (shown,) = Stage(renderer, SCENE, place, grey).with_each([FOX])
    changed = (shown != grey).any(dim=0)
    mask = renderer.render([SCENE], random.Random(0), [(FOX,)]).masks[0][0]
    assert (changed & mask).sum() > 0.98 * mask.sum() and changed.sum() < 1.2 * mask.sum()
    assert (shown[:, changed] == drawn[:, changed]).all()
