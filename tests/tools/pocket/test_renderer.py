"""The renderer: determinism, annotations that match the pixels, styles."""

from __future__ import annotations

import random

import pytest
import torch

from chatdit.tools.pocket.renderer import NO_CLASS, Renderer, to_image
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS
from chatdit.tools.pocket.world import place, random_scene


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def test_the_same_seed_gives_the_same_bytes(renderer: Renderer) -> None:
    def draw(seed: int) -> torch.Tensor:
        rng = random.Random(seed)
        return renderer.pictures([random_scene(rng) for _ in range(6)], rng)

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))


def test_a_batch_equals_its_pictures_one_by_one(renderer: Renderer) -> None:
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(6)]
    placements = [place(scene, rng) for scene in scenes]
    together = renderer.pictures_of(scenes, placements, random.Random(1))
    one_stream = random.Random(1)
    alone = [renderer.pictures_of([s], [p], one_stream) for s, p in zip(scenes, placements, strict=True)]
    assert together.shape == (6, 3, 256, 256)
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert together.min() >= -1 and together.max() <= 1


def test_boxes_and_masks_are_where_the_subject_is(renderer: Renderer) -> None:
    scene = Scene((Thing("cat"), Thing("rocket")), "studio", relation="left of")
    rendering = renderer.render([scene], random.Random(1))
    boxes, masks = rendering.boxes[0], rendering.masks[0]
    assert boxes.shape == (2, 4) and masks.shape == (2, 256, 256)
    assert boxes[0, 2] <= boxes[1, 0]
    assert not (masks[0] & masks[1]).any()
    for thing, box, mask, sprite in zip(scene.things, boxes, masks, rendering.placements[0], strict=True):
        x1, y1, x2, y2 = (box * 256).round().int().tolist()
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 1000
        assert sprite.left <= x1 < x2 <= sprite.left + sprite.side
        assert (rendering.class_map[0][mask] == SUBJECTS[thing.subject].index).all()
    assert (rendering.class_map[0][~masks.any(dim=0)] == NO_CLASS).all()


def test_the_subject_changes_only_its_own_pixels(renderer: Renderer) -> None:
    scenes = [Scene((Thing(name, position="left"),), "studio") for name in ("cat", "dog")]
    one, other = (renderer.render([s], random.Random(3)) for s in scenes)
    apart = (one.pictures - other.pictures).abs().amax(dim=1)[0] > 0.02
    right = max(p.left + p.side for made in (one, other) for p in made.placements[0])
    assert right < 200
    assert apart.any() and not apart[:, right:].any()


def test_a_tint_changes_colour_and_keeps_shape(renderer: Renderer) -> None:
    cat = [SUBJECTS["cat"].index]
    plain, red = renderer.sprites(None, 128, cat)[0], renderer.sprites("red", 128, cat)[0]
    assert torch.equal(plain[3], red[3])
    seen = plain[3] > 0.9
    assert red[0][seen].mean() > 1.5 * red[2][seen].mean()


@pytest.mark.parametrize("style", [s for s in STYLES if s != "plain"])
def test_every_style_looks_different_from_plain(renderer: Renderer, style: str) -> None:
    plain = renderer.pictures([Scene((Thing("fox"),), "forest")], random.Random(0))
    styled = renderer.pictures([Scene((Thing("fox"),), "forest", style)], random.Random(0))
    assert (plain - styled).abs().mean() > 0.02
    assert styled.min() >= -1 and styled.max() <= 1


def test_every_background_is_its_own(renderer: Renderer) -> None:
    pictures = renderer.pictures([Scene((Thing("key", size="small"),), b) for b in BACKGROUNDS], random.Random(0))
    thumbs = torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)
    distances = torch.cdist(thumbs, thumbs) + torch.eye(len(thumbs)) * 99
    assert distances.min() > 0.5


def test_a_picture_becomes_an_image() -> None:
    picture = torch.stack([torch.full((4, 6), v) for v in (-1.0, 0.0, 1.0)])
    image = to_image(picture)
    assert image.size == (6, 4) and image.getpixel((0, 0)) == (0, 128, 255)
