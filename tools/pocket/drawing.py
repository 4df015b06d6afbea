"""Pictures as numbers: what a worker process hands to the renderer of another.

Layout legend: B pictures, S slots for sprites, F figures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from chatdit.tools.pocket.figures import FIGURE_NUMBERS, figure_numbers
from chatdit.tools.pocket.scene import Placement, Scene
from chatdit.tools.pocket.sprites import tint_index
from chatdit.tools.pocket.tile_bank import level_of, window_of
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, PERSON, STYLES, SUBJECTS
from chatdit.tools.pocket.wearing import worn_square

BACKGROUND_VARIANTS = 3
"""In how many ways every background is painted."""


N = TypeVar("N")


class SpriteNumbers(NamedTuple, Generic[N]):
    """One sprite, or columns of many; an empty slot has side 0."""

    tile: N
    """Subjects, then accessories; of a figure, its row among the figures."""
    tint: N
    side: N
    left: N
    top: N
    rotation: N
    variant: N
    level: N
    window: N
    owner: N
    """Which of the picture's placements it belongs to."""
    figure: N
    """1 for a figure."""


class Drawing(NamedTuple):
    """A batch of pictures to render; every tensor is int64 on the CPU."""

    sprites: Tensor
    """(B, S, 11): the fields of `SpriteNumbers`, from the back to the front."""
    figures: Tensor
    """(F, FIGURE_NUMBERS)"""
    grounds: Tensor
    """(B,): background times BACKGROUND_VARIANTS plus its variant."""
    styles: Tensor
    """(B,)"""


def drawing(scenes: Sequence[Scene], placements: Sequence[tuple[Placement, ...]], rng: random.Random) -> Drawing:
    """The numbers of sprites placed by hand; scenes give place and style, `rng` views of backgrounds that are open."""
    figures: list[tuple[int, ...]] = []
    rows = [[n for i, p in enumerate(sprites) for n in _numbers(p, i, figures)] for sprites in placements]
    slots = max((len(row) for row in rows), default=0)
    padded = [[*row, *[_EMPTY] * (slots - len(row))] for row in rows]
    grounds = [
        _BACKGROUND_INDEX[s.background] * BACKGROUND_VARIANTS
        + (rng.randrange(BACKGROUND_VARIANTS) if s.view is None else s.view)
        for s in scenes
    ]
    return Drawing(
        torch.tensor(padded, dtype=torch.int64).view(len(scenes), slots, len(_EMPTY)),
        torch.tensor(figures, dtype=torch.int64).view(-1, FIGURE_NUMBERS),
        torch.tensor(grounds, dtype=torch.int64),
        torch.tensor([_STYLE_INDEX[s.style] for s in scenes], dtype=torch.int64),
    )


def _numbers(sprite: Placement, owner: int, figures: list[tuple[int, ...]]) -> list[SpriteNumbers[int]]:
    person = sprite.subject == PERSON
    if person:
        if sprite.outfit is None or not sprite.pose:
            raise ValueError("a person has no outfit or no pose: expected both")
        figures.append(figure_numbers(sprite.outfit, sprite.pose))
    tile = len(figures) - 1 if person else SUBJECTS[sprite.subject].index
    square = (sprite.left, sprite.top, sprite.side)
    turn = (sprite.rotation, sprite.variant)
    found = [_sprite(tile, tint_index(sprite.tint), square, turn, owner, int(person))]
    if sprite.worn is not None:
        worn = len(SUBJECTS) + ACCESSORIES.index(sprite.worn.kind)
        # mirrored with its wearer; its colour is its own
        turn = (sprite.rotation, sprite.variant % 2)
        found.append(_sprite(worn, tint_index(sprite.worn.colour), worn_square(sprite), turn, owner, 0))
    return found


def _sprite(
    tile: int, tint: int, square: tuple[int, int, int], turn: tuple[int, int], owner: int, figure: int
) -> SpriteNumbers[int]:
    left, top, side = square
    rotation, variant = turn
    level, window = level_of(side), window_of(side, rotation)
    return SpriteNumbers(tile, tint, side, left, top, rotation, variant, level, window, owner, figure)


_EMPTY = SpriteNumbers(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_BACKGROUND_INDEX = {name: i for i, name in enumerate(BACKGROUNDS)}
_STYLE_INDEX = {name: i for i, name in enumerate(STYLES)}
