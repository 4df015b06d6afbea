"""The offline judge's eye: a small network that reads a pocket picture back.

It answers for every cell of the 8 x 8 grid: whether a sprite's top-left corner is there and how
big it is, which subject covers the cell and in which tint; and for the whole picture: background
and style. Layout legend: B batch, G 8 cells a side, K subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PixelNorm, ResidualBlock
from chatdit.tools.dit.storage import load_weights
from chatdit.tools.pocket.scene import CELLS, SIZE_CELLS, Placement
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS, TINTS
from chatdit.tools.types import Box, ToolError

SUBJECT_NAMES: tuple[str, ...] = tuple(SUBJECTS)
TINT_NAMES: tuple[str | None, ...] = (None, *TINTS)
SIDES: tuple[int, ...] = tuple(sorted(set(SIZE_CELLS.values())))
_INPUT_PIXELS = 128


class Logits(NamedTuple):
    """Raw answers of the network."""

    corner: Tensor
    """float (B, 1 + sizes, G, G): no corner here, or the side of the sprite that starts here."""
    subject: Tensor
    """float (B, K + 1, G, G): the subject over the cell, last channel for none."""
    tint: Tensor
    """float (B, 1 + tints, G, G)."""
    background: Tensor
    """float (B, 24)."""
    style: Tensor
    """float (B, 6)."""


@dataclass(frozen=True)
class Sighting:
    """One subject found in a picture; `score` is the mean probability of its name over its cells."""

    subject: str
    tint: str | None
    box: Box
    score: float


@dataclass(frozen=True)
class Reading:
    """Everything the recogniser sees in one picture."""

    sightings: tuple[Sighting, ...]
    background: str
    style: str

    def find(self, subject: str) -> Sighting | None:
        """The surest sighting of `subject`, or None."""
        found = [s for s in self.sightings if s.subject == subject]
        return max(found, key=lambda s: s.score, default=None)


class Recogniser(nn.Module):
    """Convolutions from 128 x 128 pixels down to the grid, with one head for each question."""

    def __init__(self, widths: tuple[int, int, int] = (48, 96, 192)) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            ResidualBlock(fine),
            nn.PixelUnshuffle(2),
            nn.Conv2d(fine * 4, middle, 1),
            ResidualBlock(middle),
            ResidualBlock(middle),
            nn.PixelUnshuffle(2),
            nn.Conv2d(middle * 4, coarse, 1),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            PixelNorm(coarse),
        )
        self.cells = nn.Conv2d(coarse, (1 + len(SIDES)) + (1 + len(SUBJECT_NAMES)) + len(TINT_NAMES), 1)
        self.whole = nn.Linear(coarse * 2, len(BACKGROUNDS) + len(STYLES))

    def forward(self, pictures: Tensor) -> Logits:
        """Logits of pictures (B, 3, 256, 256) in [-1, 1]."""
        features = self.features(pictures)
        corner, subject, tint = self.cells(features).split(
            (1 + len(SIDES), 1 + len(SUBJECT_NAMES), len(TINT_NAMES)), dim=1
        )
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        background, style = self.whole(pooled).split((len(BACKGROUNDS), len(STYLES)), dim=1)
        return Logits(corner, subject, tint, background, style)

    @torch.no_grad()
    def read(self, pictures: Tensor) -> list[Reading]:
        """What is in each picture of (B, 3, 256, 256) in [-1, 1]; other sizes are scaled first.

        Raises:
            ToolError: not a batch of colour pictures.
        """
        if pictures.dim() != 4 or pictures.shape[1] != 3:
            raise ToolError(f"recogniser got a tensor {tuple(pictures.shape)}; expected (B, 3, H, W)")
        logits = self(pictures.float())
        return [_reading(Logits(*(part[i] for part in logits))) for i in range(len(pictures))]

    def features(self, pictures: Tensor) -> Tensor:
        """Trunk features (B, 192, 8, 8), for similarity measures."""
        found: Tensor = self.trunk(F.interpolate(pictures, size=(_INPUT_PIXELS, _INPUT_PIXELS), mode="area"))
        return found


def load_recogniser(path: Path | None = None) -> Recogniser:
    """The recogniser that ships with the package, or the one in the file `path`.

    Raises:
        ToolError: the file is missing.
    """
    path = path or Path(str(files("chatdit.tools.pocket").joinpath("recogniser.safetensors")))
    if not path.is_file():
        raise ToolError(f"no recogniser weights at {path}; expected recogniser.safetensors: reinstall or train it")
    model = Recogniser()
    model.load_state_dict(load_weights(path))
    return model.eval().requires_grad_(False)


def corner_targets(placements: Sequence[Sequence[Placement]]) -> tuple[Tensor, Tensor, Tensor]:
    """Class indices (B, G, G) for the corner, subject and tint heads; the later sprite covers the earlier."""
    shape = (len(placements), CELLS, CELLS)
    corner = torch.zeros(shape, dtype=torch.int64)
    subject = torch.full(shape, len(SUBJECT_NAMES))
    tint = torch.zeros(shape, dtype=torch.int64)
    for i, sprites in enumerate(placements):
        for s in sprites:
            area = (i, slice(s.row, s.row + s.cells), slice(s.column, s.column + s.cells))
            corner[area] = 0
            corner[i, s.row, s.column] = 1 + SIDES.index(s.cells)
            subject[area] = SUBJECTS[s.subject].index
            tint[area] = TINT_NAMES.index(s.tint)
    return corner, subject, tint


def _reading(logits: Logits) -> Reading:
    sides = logits.corner.softmax(dim=0)
    best = sides[1:].amax(dim=0)
    corners = [(float(best[r, c]), r, c) for r, c in (best > 0.4).nonzero().tolist()]
    sightings: list[Sighting] = []
    for _, row, column in sorted(corners, reverse=True):
        side = SIDES[int(sides[1:, row, column].argmax())]
        seen = _sighting(logits, row, column, side)
        if seen is not None and all(_overlap(seen.box, other.box) < 0.4 for other in sightings):
            sightings.append(seen)
    return Reading(
        tuple(sightings),
        list(BACKGROUNDS)[int(logits.background.argmax())],
        list(STYLES)[int(logits.style.argmax())],
    )


def _sighting(logits: Logits, row: int, column: int, side: int) -> Sighting | None:
    area = (slice(None), slice(row, row + side), slice(column, column + side))
    names = logits.subject[area].log_softmax(dim=0).flatten(1).mean(dim=1)
    index = int(names.argmax())
    if index == len(SUBJECT_NAMES):
        return None
    score = float(logits.subject[area].softmax(dim=0)[index].mean())
    tint = TINT_NAMES[int(logits.tint[area].flatten(1).mean(dim=1).argmax())]
    corners = (column, row, min(column + side, CELLS), min(row + side, CELLS))
    x1, y1, x2, y2 = (v / CELLS for v in corners)
    return Sighting(SUBJECT_NAMES[index], tint, Box(x1=x1, y1=y1, x2=x2, y2=y2), score)


def _overlap(a: Box, b: Box) -> float:
    wide = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1))
    high = max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    both = wide * high
    return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both)
