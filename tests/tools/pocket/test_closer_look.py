"""The colour of what is worn is settled by drawing it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from chatdit.tools.pocket.closer_look import COLOURS, CloserLook, placed
from chatdit.tools.pocket.detector import Detector
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES
from chatdit.tools.types import Box


class _WrongColours:
    """Says what stands in the pictures, a few pixels off, with all that is worn in yellow."""

    def __init__(self, scenes: Sequence[Scene], sprites: Sequence[Placement]) -> None:
        self._readings = [_reading(scene, sprite) for scene, sprite in zip(scenes, sprites, strict=True)]

    def read(self, pictures: Tensor) -> list[Reading]:
        return self._readings[: len(pictures)]


def _reading(scene: Scene, sprite: Placement) -> Reading:
    x1, y1 = (sprite.left + 3) / PICTURE_PIXELS, (sprite.top - 2) / PICTURE_PIXELS
    side = (sprite.side + 2) / PICTURE_PIXELS
    box = Box(x1=x1, y1=max(0.0, y1), x2=min(1.0, x1 + side), y2=min(1.0, y1 + side))
    worn = sprite.worn and Worn(sprite.worn.kind, "yellow")
    return Reading((Sighting(sprite.subject, None, box, 1.0, sprite.rotation, worn),), scene.background, scene.style)


def _dressed(count: int, style: str, rng: random.Random) -> tuple[list[Scene], list[Placement], Tensor]:
    subjects = ("cat", "fox", "deer", "rabbit", "llama", "duck", "pig")
    scenes = [
        Scene((Thing(rng.choice(subjects), worn=Worn(ACCESSORIES[i % 6], rng.choice(COLOURS))),), "meadow", style)
        for i in range(count)
    ]
    pictures, placements = Renderer().pictures_and_placements(scenes, rng)
    return scenes, [sprites[0] for sprites in placements], pictures


def _colours(readings: Sequence[Reading]) -> list[str]:
    return [worn.colour for r in readings if (worn := r.sightings[0].worn) is not None]


def test_colours_are_settled_whatever_the_detector_said() -> None:
    scenes, sprites, pictures = _dressed(42, "plain", random.Random(3))
    found = _colours(CloserLook(cast(Detector, _WrongColours(scenes, sprites))).read(pictures))
    truth = [s.worn.colour for s in sprites if s.worn]
    assert sum(a == b for a, b in zip(found, truth, strict=True)) >= 40
    assert sum(colour == "yellow" for colour in truth) < 20, "else the detector alone would do"


def test_colours_that_nobody_sees_are_left_alone_and_bare_subjects_too() -> None:
    scenes, sprites, pictures = _dressed(6, "sketch", random.Random(4))
    assert _colours(CloserLook(cast(Detector, _WrongColours(scenes, sprites))).read(pictures)) == ["yellow"] * 6
    bare = [replace(s, worn=None) for s in sprites]
    plain = [replace(s, style="plain") for s in scenes]
    detector = _WrongColours(plain, bare)
    assert CloserLook(cast(Detector, detector)).read(pictures) == detector.read(pictures)


def test_a_sighting_is_placed_where_it_was_seen() -> None:
    sprite = Placement("cat", "red", 40, 60, 100, rotation=7)
    box = Box(x1=40 / 256, y1=60 / 256, x2=140 / 256, y2=160 / 256)
    assert placed(Sighting("cat", "red", box, 1.0, 7)) == sprite


def test_pictures_of_another_size_are_read_too() -> None:
    scenes, sprites, pictures = _dressed(6, "plain", random.Random(5))
    look = CloserLook(cast(Detector, _WrongColours(scenes, sprites)))
    twice = torch.nn.functional.interpolate(pictures, scale_factor=2, mode="nearest")
    assert _colours(look.read(twice)) == _colours(look.read(pictures))
