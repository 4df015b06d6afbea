"""Sprite fidelity: one for the sprite itself wherever it stands, less for a blurred, bent or other one."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.evals.sprite_fidelity import Comparer, compare, comparer, likeness, mirroring, sighting_of, ssim_map
from chatdit.tools.pocket import world
from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import DRAWABLE, SIZES, Size
from chatdit.tools.types import Box

RENDERER = Renderer()
SCENE = Scene((Thing("octopus"),), "beach")
TRUE = Placement("octopus", None, 60, 70, 120, rotation=8)


def _picture(placement: Placement = TRUE, scene: Scene = SCENE) -> Tensor:
    return RENDERER.pictures_of([scene], [(placement,)], random.Random(1))[0]


def _sighting(subject: str = "octopus", left: int = 60, top: int = 70, side: int = 120, rotation: int = 8) -> Sighting:
    return sighting_of(Placement(subject, None, left, top, side, rotation))


def test_the_sprite_itself_is_found_where_it_stands() -> None:
    seen = likeness(RENDERER, _picture(), SCENE, _sighting(left=55, top=73, side=124, rotation=4))
    found = seen.placement
    assert abs(found.left - 60) <= 1 and abs(found.top - 70) <= 1 and abs(found.side - 120) <= 2
    assert abs(found.rotation - 8) <= 1
    assert seen.ssim > 0.98 and seen.psnr > 30


def test_the_background_does_not_count() -> None:
    here = likeness(RENDERER, _picture(), SCENE, _sighting())
    other = likeness(RENDERER, _picture(scene=Scene((Thing("octopus"),), "moon")), SCENE, _sighting())
    assert here.ssim == pytest.approx(1, abs=1e-4)
    assert other.ssim > 0.99


def test_blurred_bent_and_other_subjects_are_less_like() -> None:
    picture = _picture()
    blurred = F.avg_pool2d(F.pad(picture[None], (4,) * 4, mode="reflect"), 9, stride=1)[0]
    bent = torch.stack([picture[:, :, x].roll(round(8 * math.sin(x / 12)), 1) for x in range(256)], dim=2)
    scores = [likeness(RENDERER, p, SCENE, _sighting()).ssim for p in (picture, blurred, bent)]
    assert scores[0] > 0.99 and scores[1] < 0.8 and scores[2] < 0.8
    assert likeness(RENDERER, _picture(Placement("crab", None, 60, 70, 120)), SCENE, _sighting()).ssim < 0.5


@pytest.mark.parametrize("size", SIZES)
def test_a_readers_small_error_costs_nothing(size: Size) -> None:
    """Of sprites at any side, angle and place, tinted or wearing something, seen a few pixels and degrees off."""
    rng = random.Random(2)
    for _ in range(2):
        thing = Thing(rng.choice(DRAWABLE), size=size, tint=rng.choice((None, "red")), worn=Worn("bow", "blue"))
        scene = Scene((thing,), "beach")
        (sprite,) = world.place(scene, rng)
        left, top, side, turn = (rng.choice((-n, n)) for n in (2, 2, 3, 2))
        off = replace(
            sprite,
            left=sprite.left + left,
            top=sprite.top + top,
            side=sprite.side + side,
            rotation=sprite.rotation + turn,
        )
        assert likeness(RENDERER, _picture(sprite, scene), scene, sighting_of(off)).ssim > 0.97


def test_a_sprite_is_told_from_its_mirror_image() -> None:
    scene = Scene((Thing("fox"),), "beach")
    straight = Placement("fox", None, 60, 70, 121, rotation=-7)
    off = _sighting("fox", left=62, top=69, side=119, rotation=-5)
    as_is, mirrored = mirroring(RENDERER, _picture(straight, scene), scene, off)
    assert 2 * as_is < mirrored
    as_is, mirrored = mirroring(RENDERER, _picture(replace(straight, variant=1), scene), scene, off)
    assert 2 * mirrored < as_is


def test_a_sighting_of_nothing_is_like_nothing() -> None:
    corner = Sighting("octopus", None, Box(x1=0.998, y1=0.998, x2=1, y2=1), 0.4, rotation=40)
    assert 0 <= likeness(RENDERER, _picture(), SCENE, corner).ssim < 0.9


def test_processes_find_what_is_found_in_turn() -> None:
    picture, sighting = _picture(), _sighting(left=58)
    with ThreadPoolExecutor(1) as pool:
        apart = Comparer(RENDERER, pool).begin(likeness, picture, SCENE, sighting)()
    with comparer(RENDERER) as compares:
        assert compares.begin(likeness, picture, SCENE, sighting)() == apart
        assert compares.begin(mirroring, picture, SCENE, sighting)() == mirroring(RENDERER, picture, SCENE, sighting)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    a = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ssim_map(a, a), torch.ones(1, 40, 40), atol=1e-5)
    assert ssim_map(a, a + 0.1 * noise).mean() > ssim_map(a, a + 0.3 * noise).mean() > 0


def test_only_the_mask_counts() -> None:
    a, mask = torch.zeros(3, 32, 32), torch.zeros(32, 32, dtype=torch.bool)
    mask[8:24, 8:24] = True
    other = torch.where(mask, a, torch.ones(3, 32, 32))
    assert compare(other, a, mask) == (1.0, 100.0)
    ssim, psnr = compare(a + 0.2, a, mask)
    assert ssim < 1 and psnr == pytest.approx(20, abs=1e-3)
