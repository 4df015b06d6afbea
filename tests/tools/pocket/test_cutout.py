"""Masks of things that were read, on renders whose true masks are known."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.cutout import Cutouts, worn_cover
from chatdit.tools.pocket.figures import random_outfit, random_pose
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene, Thing, Worn
from chatdit.tools.types import Box

FOX, CAT = Placement("fox", None, 20, 130, 84, rotation=8), Placement("cat", "blue", 150, 110, 90, variant=1)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def _sighting(sprite: Placement, off: int = 0, **said: object) -> Sighting:
    """What a reader that is `off` pixels and degrees wrong says."""
    x1, y1, x2, y2 = (sprite.left + off, sprite.top - off, sprite.left + sprite.side, sprite.top + sprite.side)
    box = Box(x1=x1 / 256, y1=y1 / 256, x2=x2 / 256, y2=y2 / 256)
    found = Sighting(sprite.subject, sprite.tint, box, 1.0, sprite.rotation + off, sprite.worn)
    return replace(found, **said)  # type: ignore[arg-type]


def _cut(
    renderer: Renderer, sprites: tuple[Placement, ...], seen: tuple[Sighting, ...], style: str = "plain"
) -> tuple[Cutouts, tuple[Tensor, ...]]:
    scene = Scene((Thing("fox"),), "street", style, view=2)
    drawn = renderer.render([scene], random.Random(0), [sprites])
    return Cutouts(renderer, drawn.pictures[0], Reading(seen, "street", style)), tuple(drawn.masks[0])


def _iou(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("style", ["plain", "sketch", "pixel art", "negative"])
def test_a_mask_fits_to_the_pixel_where_the_reader_is_off(renderer: Renderer, style: str) -> None:
    seen = _sighting(FOX, off=4)
    cutouts, (truth,) = _cut(renderer, (FOX,), (seen,), style)
    box = torch.zeros_like(truth)
    box[130:214, 20:104] = True
    found = cutouts.mask(seen)
    assert found.shape == (256, 256) and found.dtype == torch.bool
    assert _iou(found, truth) > 0.95 > _iou(box, truth) + 0.2
    assert cutouts.misfit == 0


def test_a_mirrored_sprite_of_a_tint_that_was_misread(renderer: Renderer) -> None:
    seen = _sighting(CAT, off=2, tint="red")
    cutouts, (truth,) = _cut(renderer, (CAT,), (seen,))
    assert _iou(cutouts.mask(seen), truth) > 0.95


def test_each_thing_has_its_own_mask(renderer: Renderer) -> None:
    seen = (_sighting(FOX, off=2), _sighting(CAT, off=-2))
    cutouts, truths = _cut(renderer, (FOX, CAT), seen)
    found = [cutouts.mask(s) for s in seen]
    assert all(_iou(m, t) > 0.95 for m, t in zip(found, truths, strict=True))
    assert _iou(found[0], truths[1]) == 0 == _iou(found[1], truths[0])


def test_what_is_worn_alone(renderer: Renderer) -> None:
    dressed = replace(FOX, worn=Worn("top hat", "red"))
    seen = _sighting(dressed, off=2)
    cutouts, (truth,) = _cut(renderer, (dressed,), (seen,))
    hat = cutouts.worn_mask(seen)
    assert _iou(hat, worn_cover(dressed)) > 0.9
    assert (hat & cutouts.mask(seen)).sum() > 0.95 * hat.sum() and hat.sum() < 0.5 * truth.sum()
    with pytest.raises(ValueError, match="the fox wears nothing: expected something worn"):
        cutouts.worn_mask(_sighting(FOX))


def test_an_outline_follows_a_sprite_that_is_bent(renderer: Renderer) -> None:
    scene = Scene((Thing("cat"),), "street", view=1)
    drawn = renderer.render([scene], random.Random(0), [(replace(CAT, variant=0),)])
    rows = torch.arange(256.0)
    # the picture leans to and fro by three pixels, up and down
    lean = 3 * torch.sin(rows / 14)[:, None].expand(256, 256)
    grid = (torch.stack([rows.expand(256, 256) + lean, rows[:, None].expand(256, 256)], dim=-1) * 2 + 1) / 256 - 1

    def bent(picture: Tensor) -> Tensor:
        return F.grid_sample(picture[None], grid[None], padding_mode="border", align_corners=False)[0]

    truth = bent(drawn.masks[0].float())[0] > 0.5
    seen = _sighting(CAT)
    found = Cutouts(renderer, bent(drawn.pictures[0]), Reading((seen,), "street", "plain")).mask(seen)
    assert _iou(found, truth) > max(0.93, _iou(drawn.masks[0][0], truth) + 0.02)


def test_a_person_is_found_in_any_pose(renderer: Renderer) -> None:
    rng = random.Random(4)
    person = Placement("person", None, 60, 60, 150, 2, outfit=random_outfit(rng), pose=random_pose(rng))
    seen = _sighting(person, off=2)
    cutouts, (truth,) = _cut(renderer, (person,), (seen,))
    assert _iou(cutouts.mask(seen), truth) > 0.88


def test_a_picture_of_another_world_is_noticed(renderer: Renderer) -> None:
    noise = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert Cutouts(renderer, noise, Reading((_sighting(FOX),), "street", "plain")).misfit > 0.3
