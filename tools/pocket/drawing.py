"""Pictures as numbers: what a worker process hands to the renderer of another.

Layout legend: B pictures, S slots for sprites.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.tools.pocket.scene import Placement, Scene
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS, TINTS

BACKGROUND_VARIANTS = 3
"""In how many ways every background is painted."""


class Drawing(NamedTuple):
    """A batch of pictures to render; every tensor is int64 on the CPU."""

    sprites: Tensor
    """(B, S, 6): subject, tint (0 for none), side in cells (0 for an empty slot), row, column, variant."""
    grounds: Tensor
    """(B,): background times BACKGROUND_VARIANTS plus its variant."""
    styles: Tensor
    """(B,)"""


def drawing(scenes: Sequence[Scene], placements: Sequence[tuple[Placement, ...]], rng: random.Random) -> Drawing:
    """The numbers of sprites placed by hand; scenes give place and style, `rng` the background's variant."""
    slots = max((len(p) for p in placements), default=0)
    rows = [[_numbers(p[i]) if i < len(p) else _EMPTY for i in range(slots)] for p in placements]
    grounds = [
        _BACKGROUND_INDEX[s.background] * BACKGROUND_VARIANTS + rng.randrange(BACKGROUND_VARIANTS) for s in scenes
    ]
    return Drawing(
        torch.tensor(rows, dtype=torch.int64).view(len(scenes), slots, len(_EMPTY)),
        torch.tensor(grounds, dtype=torch.int64),
        torch.tensor([_STYLE_INDEX[s.style] for s in scenes], dtype=torch.int64),
    )


def _numbers(sprite: Placement) -> tuple[int, ...]:
    tint = 0 if sprite.tint is None else _TINT_INDEX[sprite.tint]
    return (SUBJECTS[sprite.subject].index, tint, sprite.cells, sprite.row, sprite.column, sprite.variant)


_EMPTY = (0, 0, 0, 0, 0, 0)
_BACKGROUND_INDEX = {name: i for i, name in enumerate(BACKGROUNDS)}
_STYLE_INDEX = {name: i for i, name in enumerate(STYLES)}
_TINT_INDEX = {name: i for i, name in enumerate(TINTS, start=1)}
