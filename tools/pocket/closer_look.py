"""A second look at what subjects wear: its colour, by drawing it in every colour and comparing the pixels.

The detector nearly always tells what is worn, which is small, and its colour in three of five cases.
Layout legend: B batch, H and W 256 pixels, C candidates.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.captions import COLOURLESS
from chatdit.tools.pocket.detector import Detector, load_detector
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import PERSON, TINTS

COLOURS: tuple[str, ...] = tuple(TINTS)

SHIFTS = (-6, -4, -2, 0, 2, 4, 6)
"""Pixels that the sprite is moved, down and across, to where it fits best."""


class CloserLook:
    """Reads as the detector does, and then settles the colour of each thing worn; it stands where that one does."""

    def __init__(self, detector: Detector, renderer: Renderer | None = None) -> None:
        self._detector = detector
        self._renderer = renderer or Renderer()

    @torch.no_grad()
    def read(self, pictures: Tensor) -> list[Reading]:
        """What is in each picture of (B, 3, H, W) in [-1, 1]; sizes other than 256 are scaled first.

        Raises:
            ToolError: not a batch of colour pictures.
        """
        readings = self._detector.read(pictures)
        return [self._settled(r, p) for r, p in zip(readings, pictures.float(), strict=True)]

    def _settled(self, reading: Reading, picture: Tensor) -> Reading:
        if reading.style in COLOURLESS or not any(s.worn for s in reading.sightings):
            return reading
        if picture.shape[-2:] != (PICTURE_PIXELS, PICTURE_PIXELS):
            picture = F.interpolate(picture[None], size=(PICTURE_PIXELS, PICTURE_PIXELS), mode="area")[0]
        picture = picture.to(self._renderer.device)
        return replace(reading, sightings=tuple(self._coloured(s, reading, picture) for s in reading.sightings))

    def _coloured(self, sighting: Sighting, reading: Reading, picture: Tensor) -> Sighting:
        if sighting.worn is None or sighting.subject == PERSON:
            return sighting
        looks = [
            replace(placed(sighting), worn=Worn(sighting.worn.kind, colour), variant=mirrored)
            for mirrored in (0, 1)
            for colour in COLOURS
        ]
        drawn = self._drawn(looks, reading)
        drawn = drawn.reshape(2, len(COLOURS), *drawn.shape[1:])
        # only what depends on the colour is compared: the thing itself, without its surroundings
        told = (drawn.amax(dim=1) - drawn.amin(dim=1)).amax(dim=1) > 0.05
        misfits = torch.cat([_misfit(d, t, picture) for d, t in zip(drawn, told, strict=True)])
        colour = COLOURS[int(misfits.amin(dim=0).argmin())]
        return replace(sighting, worn=Worn(sighting.worn.kind, colour))

    def _drawn(self, looks: Sequence[Placement], reading: Reading) -> Tensor:
        """Pictures float (C, 3, H, W) of one sprite each, in the place and style that were read."""
        first = looks[0]
        scene = Scene((Thing(first.subject, tint=first.tint),), reading.background, reading.style, view=0)
        return self._renderer.pictures_of([scene] * len(looks), [(look,) for look in looks], random.Random(0))


@cache
def own_reader() -> CloserLook:
    """The reader that ships, on the CPU; it is loaded once. Raises ToolError when its weights are missing."""
    return CloserLook(load_detector())


def sprites_in(picture: Tensor) -> list[Placement]:
    """The sprites that the own reader sees in a picture (3, H, W) in [-1, 1], the surest first."""
    return [placed(sighting) for sighting in own_reader().read(picture[None])[0].sightings]


def _misfit(drawn: Tensor, told: Tensor, picture: Tensor) -> Tensor:
    """(shifts, C): mean difference to `picture` within `told` (H, W), the reader's place being a few pixels off."""
    rows, columns = told.nonzero().unbind(dim=1)
    if not len(rows):
        return torch.full((1, len(drawn)), float("inf"), device=drawn.device)
    mine = drawn[:, :, rows, columns]
    found = []
    for down in SHIFTS:
        for across in SHIFTS:
            at = (rows + down).clamp(0, PICTURE_PIXELS - 1), (columns + across).clamp(0, PICTURE_PIXELS - 1)
            found.append((mine - picture[:, at[0], at[1]]).abs().mean(dim=(1, 2)))
    return torch.stack(found)


def placed(sighting: Sighting) -> Placement:
    """The sprite that was seen, as something to draw."""
    box = sighting.box
    side = max(16, round(max(box.x2 - box.x1, box.y2 - box.y1) * PICTURE_PIXELS))
    left, top = (round((a + b) / 2 * PICTURE_PIXELS - side / 2) for a, b in ((box.x1, box.x2), (box.y1, box.y2)))
    return Placement(sighting.subject, sighting.tint, left, top, side, sighting.rotation)
