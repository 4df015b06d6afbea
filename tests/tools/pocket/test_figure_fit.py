"""A person's pose and clothes, found by drawing."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from chatdit.tools.pocket.figure_fit import _Silhouette, best_figure
from chatdit.tools.pocket.figures import STANDING, random_outfit, random_pose
from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.sprite_fit import Stage
from chatdit.tools.types import Box

RNG = random.Random(4)
PERSON = Placement("person", None, 60, 60, 150, 2, outfit=random_outfit(RNG), pose=random_pose(RNG))
SCENE = Scene((Thing("fox"),), "farm", view=1)
SEEN = Sighting("person", None, Box(x1=62 / 256, y1=57 / 256, x2=212 / 256, y2=210 / 256), 1.0, 0)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def _mask(renderer: Renderer, sprite: Placement) -> Tensor:
    return renderer.render([SCENE], random.Random(0), [(sprite,)]).masks[0][0]


def _iou(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_pose_and_clothes_are_found(renderer: Renderer) -> None:
    picture, place = renderer.pictures_of([SCENE] * 2, [(PERSON,), ()], random.Random(0))
    unlike = (picture - place).abs().amax(dim=0).clamp(max=0.5) - 0.15
    found = best_figure(Stage(renderer, SCENE, place, place), picture, SEEN, unlike)
    assert found.outfit is not None and PERSON.outfit is not None
    assert found.outfit.top.colour == PERSON.outfit.top.colour
    assert found.outfit.bottom.colour == PERSON.outfit.bottom.colour
    assert _iou(_mask(renderer, found), _mask(renderer, PERSON)) > 0.85


def test_a_silhouette_lies_over_what_speaks_for_it(renderer: Renderer) -> None:
    truth = _mask(renderer, PERSON)
    start = Placement("person", None, 64, 56, 150, 0, outfit=PERSON.outfit, pose=STANDING)
    laid = _Silhouette(renderer, SCENE, torch.where(truth, 0.3, -0.1)).laid(start)
    assert _iou(_mask(renderer, laid), truth) > _iou(_mask(renderer, start), truth) + 0.15
