"""Where and how a sprite that was read stands, to the pixel: drawn, compared with the picture, and moved.

Layout legend: H and W 256 pixels, C candidates.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.tools.pocket.closer_look import placed
from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, SPRITE_VARIANTS, Placement, Scene
from chatdit.tools.pocket.vocabulary import TINTS
from chatdit.tools.types import Box

STEPS = (4, 2, 1)
"""Pixels and degrees of a move, from coarse to fine."""
ROUNDS = 3
"""Of each step, at most."""
WRONG = 0.6
"""A difference, of 2, that counts no less than any larger one: something else stands there."""
MARGIN = 10
POSE_LIMITS = (*((8, 150), (-20, 90)) * 2, *((4, 40), (-40, 8)) * 2, (-12, 12))
"""Lowest and highest degrees of each joint, as `figures.random_pose` draws them."""
JOINT_STEP = 4
"""Degrees that a joint turns where a sprite moves by a pixel."""
_LEAST_SIDE = 16
_TOLD = 0.02
"""Difference, of 2, by which a sprite is told from the place behind it."""


class Window(NamedTuple):
    """Rows and columns of a picture."""

    rows: slice
    columns: slice

    @classmethod
    def around(cls, box: Box, margin: int = 0) -> Window:
        """The pixels of a box in fractions, with a margin on every side."""
        edges = [(box.y1, box.y2), (box.x1, box.x2)]
        return cls(*(_span(a * PICTURE_PIXELS - margin, b * PICTURE_PIXELS + margin) for a, b in edges))

    @classmethod
    def holding(cls, mask: Tensor, margin: int = 0) -> Window:
        """The rows and columns of a mask (H, W) that is not empty, with a margin on every side."""
        lines = [mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]]
        return cls(*(_span(int(line[0]) - margin, int(line[-1]) + 1 + margin) for line in lines))

    def of(self, picture: Tensor) -> Tensor:
        """That part of (..., H, W), a view."""
        return picture[..., self.rows, self.columns]


class Fit(NamedTuple):
    """A sprite and the mean difference to the picture, of 2, around it."""

    sprite: Placement
    error: float


@dataclass(frozen=True, eq=False)
class Stage:
    """Where sprites are drawn: a scene that gives place, view and style, and that place with nothing in it.

    Both places are float (3, H, W) in [-1, 1]: as it is drawn, and as it is in the picture.
    """

    renderer: Renderer
    scene: Scene
    drawn_place: Tensor
    place: Tensor

    def with_each(self, sprites: Sequence[Placement]) -> Tensor:
        """Pictures float (C, 3, H, W) of each sprite alone in the picture's place."""
        scenes = [self.scene] * len(sprites)
        drawn = self.renderer.pictures_of(scenes, [(sprite,) for sprite in sprites], random.Random(0))
        if self.place is self.drawn_place:
            return drawn
        covered = (drawn - self.drawn_place).abs().amax(dim=1, keepdim=True) > _TOLD
        return torch.where(covered, drawn, self.place)


def best_fit(stage: Stage, picture: Tensor, sighting: Sighting) -> Placement:
    """The sprite of a sighting where it fits picture (3, H, W), in [-1, 1], best.

    It may start a few pixels and degrees off; mirroring and colour are tried besides.
    """
    search = Search(stage, picture, Window.around(sighting.box, MARGIN))
    start = replace(placed(sighting), worn=sighting.worn)
    starts = [search.fit(start), search.fit(replace(start, variant=1))]
    best = min((search.settled(fit, STEPS[0]) for fit in starts), key=_error)
    best = search.better(best, _other_looks(best.sprite))
    for step in STEPS[1:]:
        best = search.settled(best, step)
    return best.sprite


class Search:
    """Compares sprites, each as the only one on a stage, with one window of a picture."""

    def __init__(self, stage: Stage, picture: Tensor, window: Window) -> None:
        self._stage, self._window = stage, window
        self._picture = window.of(picture)

    def fit(self, sprite: Placement) -> Fit:
        """How well a sprite fits."""
        return self._fits([sprite])[0]

    def better(self, best: Fit, tries: Sequence[Placement]) -> Fit:
        """The best of what was and what is tried."""
        return min([best, *self._fits(tries)], key=_error)

    def settled(self, best: Fit, step: int) -> Fit:
        """The sprite after moves of `step`: one at a time, or all together as their errors suggest."""
        ways = _ways(best.sprite)
        for _ in range(ROUNDS):
            moves = self._fits([moved(best.sprite, way, by) for way in ways for by in (-step, step)])
            together = best.sprite
            for way, low, high in zip(ways, moves[::2], moves[1::2], strict=True):
                together = moved(together, way, _lowest(low.error, best.error, high.error, step))
            corners = _with_corners_kept(best.sprite) if step == 1 else []
            better = self.better(min(moves, key=_error), [together, *corners])
            if better.error >= best.error:
                break
            best = better
        return best

    def _fits(self, sprites: Sequence[Placement]) -> list[Fit]:
        off = (self._window.of(self._stage.with_each(sprites)) - self._picture).abs().mean(dim=1).clamp(max=WRONG)
        return [Fit(*pair) for pair in zip(sprites, off.mean(dim=(1, 2)).tolist(), strict=True)]


def moved(sprite: Placement, way: str | int, by: int) -> Placement:
    """The sprite moved one way: `left`, `top`, `side` (about its middle), `rotation`, or by a joint of that number."""
    if isinstance(way, int):
        low, high = POSE_LIMITS[way]
        pose = list(sprite.pose)
        pose[way] = max(low, min(high, pose[way] + by * JOINT_STEP))
        return replace(sprite, pose=tuple(pose))
    if way == "side":
        by = max(by, _LEAST_SIDE - sprite.side)
        return replace(sprite, side=sprite.side + by, left=sprite.left - by // 2, top=sprite.top - by // 2)
    return replace(sprite, **{way: getattr(sprite, way) + by})


def _ways(sprite: Placement) -> tuple[str | int, ...]:
    return ("left", "top", "side", "rotation", *range(len(sprite.pose)))


def _error(fit: Fit) -> float:
    return fit.error


def _with_corners_kept(sprite: Placement) -> list[Placement]:
    """Larger and smaller by a pixel, with one corner where it is."""
    grows = [by for by in (-1, 1) if sprite.side + by >= _LEAST_SIDE]
    return [
        replace(sprite, side=sprite.side + by, left=sprite.left - by * right, top=sprite.top - by * below)
        for by in grows
        for right in (0, 1)
        for below in (0, 1)
    ]


def _other_looks(sprite: Placement) -> list[Placement]:
    """In every other tint, which some styles hide, and with its colours exchanged, which no word tells."""
    dyed = [replace(sprite, tint=tint) for tint in (None, *TINTS) if tint != sprite.tint]
    return dyed + [replace(sprite, variant=sprite.variant + more) for more in range(2, SPRITE_VARIANTS, 2)]


def _lowest(before: float, here: float, after: float, step: int) -> int:
    """Where a parabola through three errors, `step` apart, is lowest: at most a step away, in whole units."""
    curve = before - 2 * here + after
    if curve <= 0:
        return 0
    return round(max(-step, min(step, step * (before - after) / 2 / curve)))


def _span(first: float, last: float) -> slice:
    return slice(max(0, int(first)), min(PICTURE_PIXELS, round(last)))
