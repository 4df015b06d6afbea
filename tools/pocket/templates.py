"""Every sprite as the renderer would show it, small, for the recogniser to lay on a picture.

Layout legend: n subjects, K subject-and-tint templates, S pixels on a template's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.grid_world import CELL_PIXELS
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.styles import in_style
from chatdit.tools.pocket.vocabulary import SUBJECTS, TINTS

COARSE = 4
"""Subjects are compared at a quarter of the resolution."""
SUBJECT_NAMES: tuple[str, ...] = tuple(SUBJECTS)
TINT_NAMES: tuple[str | None, ...] = (None, *TINTS)
_BACKDROP = 0.6
_PART = 4
"""Sprites worked on at once: full-size ones of every subject would go through memory instead of the cache."""


@dataclass(frozen=True)
class Templates:
    """Weights (n, 1, S, S), weighted colours (K, 3, S, S) over 3, and their weighted energy and area."""

    weight: Tensor
    colour: Tensor
    energy: Tensor
    area: Tensor
    tints: tuple[str | None, ...]


class TemplateBank:
    """Templates of one renderer, made for each style and size when first asked for; recognisers may share one."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self._made: dict[tuple[str, int], Templates] = {}

    def templates(self, style: str, side: int) -> Templates:
        """Every subject in every tint that `style` shows, `side` cells wide."""
        if (style, side) not in self._made:
            self._made[style, side] = self._make(style, side)
        return self._made[style, side]

    def _make(self, style: str, side: int) -> Templates:
        tints = _visible_tints(style)
        indices = range(len(SUBJECT_NAMES))
        parts = [self._part(style, side, tints, indices[i : i + _PART]) for i in indices[::_PART]]
        weight, colour = (torch.cat(part) for part in zip(*parts, strict=True))
        heavy = weight.repeat_interleave(len(tints), dim=0)
        energy = (heavy * colour.square()).sum(dim=(1, 2, 3)) / 3
        return Templates(weight, heavy * colour / 3, energy, weight.sum(dim=(1, 2, 3)), tints)

    def _part(
        self, style: str, side: int, tints: Sequence[str | None], subjects: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        sprites = [self.renderer.sprites(tint, side * CELL_PIXELS, subjects) for tint in tints]
        solid = (sprites[0][:, 3:] > 0.9).float()
        colours = torch.stack([_small_in_style(s, style) for s in sprites], dim=1)
        return F.avg_pool2d(solid, COARSE), colours.flatten(0, 1)


def _small_in_style(sprites: Tensor, style: str) -> Tensor:
    on_grey = sprites[:, :3] + _BACKDROP * (1 - sprites[:, 3:])
    return F.avg_pool2d(in_style(on_grey, style), COARSE)


def _visible_tints(style: str) -> tuple[str | None, ...]:
    # a pencil drawing shows no colour
    return (None,) if style == "sketch" else TINT_NAMES
