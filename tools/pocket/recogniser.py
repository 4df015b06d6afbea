"""The offline judge's eye: reads a pocket picture back into subjects, boxes, tints, place and style.

Place and style come from a small trained network. Subjects are found by synthesis: every sprite is
drawn as the renderer would draw it in that style, and laid on every spot of the grid; one counts
as seen where it explains the pixels better than the bare background does. Layout legend:
B batch, K subject-and-tint templates, S pixels on a template's side, G spots a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PixelNorm, ResidualBlock
from chatdit.tools.dit.storage import load_weights
from chatdit.tools.pocket.grid_world import CELL_PIXELS, CELLS, SIZE_CELLS
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Worn
from chatdit.tools.pocket.styles import in_style
from chatdit.tools.pocket.templates import COARSE, SUBJECT_NAMES, TemplateBank, Templates
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES
from chatdit.tools.types import Box, ToolError

BACKGROUND_NAMES: tuple[str, ...] = tuple(BACKGROUNDS)
STYLE_NAMES: tuple[str, ...] = tuple(STYLES)
SIDES: tuple[int, ...] = tuple(sorted(set(SIZE_CELLS.values())))
MIN_SCORE = 0.45


class Logits(NamedTuple):
    """What the network says of whole pictures: background (B, 24) and style (B, 6)."""

    background: Tensor
    style: Tensor


@dataclass(frozen=True)
class Sighting:
    """One subject found; `score` is the share of the background's misfit that it explains, at most 1."""

    subject: str
    tint: str | None
    box: Box
    score: float
    rotation: int = 0
    """Whole degrees, counterclockwise."""
    worn: Worn | None = None


@dataclass(frozen=True)
class Reading:
    """Everything the recogniser sees in one picture; the strongest sighting comes first."""

    sightings: tuple[Sighting, ...]
    background: str
    style: str

    def find(self, subject: str) -> Sighting | None:
        """The surest sighting of `subject`, or None."""
        found = [s for s in self.sightings if s.subject == subject]
        return max(found, key=lambda s: s.score, default=None)


class PlaceNetwork(nn.Module):
    """Convolutions on 128 x 128 pixels, pooled to one answer for background and one for style."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96)) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            ResidualBlock(fine),
            nn.PixelUnshuffle(2),
            nn.Conv2d(fine * 4, middle, 1),
            ResidualBlock(middle),
            nn.PixelUnshuffle(2),
            nn.Conv2d(middle * 4, coarse, 1),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            PixelNorm(coarse),
        )
        self.whole = nn.Linear(coarse * 2, len(BACKGROUND_NAMES) + len(STYLE_NAMES))

    def forward(self, pictures: Tensor) -> Logits:
        """Logits of pictures (B, 3, 256, 256) in [-1, 1]."""
        features = self.trunk(F.interpolate(pictures, size=(128, 128), mode="area"))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return Logits(*self.whole(pooled).split((len(BACKGROUND_NAMES), len(STYLE_NAMES)), dim=1))


class Recogniser:
    """Reads pictures with a trained `PlaceNetwork` and the renderer's own sprites, on the renderer's device."""

    def __init__(self, network: PlaceNetwork, bank: TemplateBank | None = None) -> None:
        self._bank = bank or TemplateBank(Renderer())
        self._device = self._bank.renderer.device
        self._network = network.eval().requires_grad_(False).to(self._device)

    @torch.no_grad()
    def read(self, pictures: Tensor) -> list[Reading]:
        """What is in each picture of (B, 3, H, W) in [-1, 1]; sizes other than 256 are scaled first.

        Raises:
            ToolError: not a batch of colour pictures.
        """
        if pictures.dim() != 4 or pictures.shape[1] != 3:
            raise ToolError(f"recogniser got a tensor {tuple(pictures.shape)}; expected (B, 3, H, W)")
        pictures = pictures.to(self._device).float()
        pictures = F.interpolate(pictures, size=(PICTURE_PIXELS, PICTURE_PIXELS), mode="area")
        logits = self._network(pictures)
        names = zip(logits.background.argmax(dim=1).tolist(), logits.style.argmax(dim=1).tolist(), strict=True)
        return [
            Reading(
                self._sightings(picture, background, STYLE_NAMES[style]),
                BACKGROUND_NAMES[background],
                STYLE_NAMES[style],
            )
            for picture, (background, style) in zip(pictures.add(1).div(2), names, strict=True)
        ]

    def _sightings(self, picture: Tensor, background: int, style: str) -> tuple[Sighting, ...]:
        seen = F.avg_pool2d(picture, COARSE)
        bare = self._bank.renderer.backgrounds(background)
        bare = F.avg_pool2d(in_style(bare, style), COARSE)
        misfits = (bare - seen).square().mean(dim=1)
        # the variant that fits the most pixels; clamped, so that a sprite weighs no more than its area
        misfit = misfits[misfits.clamp(max=0.01).mean(dim=(1, 2)).argmin()]
        found: list[tuple[float, Sighting]] = []
        for side in SIDES:
            found += _candidates(self._bank.templates(style, side), seen, misfit, side)
        found.sort(key=lambda pair: -pair[0])
        kept: list[Sighting] = []
        for _, sighting in found:
            if not any(_share_cells(sighting.box, other.box) for other in kept):
                kept.append(sighting)
        return tuple(kept)


def load_recogniser(path: Path | None = None, bank: TemplateBank | None = None) -> Recogniser:
    """The recogniser that ships with the package, or one with the network in the file `path`.

    Raises:
        ToolError: the file is missing.
    """
    path = path or Path(str(files("chatdit.tools.pocket").joinpath("recogniser.safetensors")))
    if not path.is_file():
        raise ToolError(f"no recogniser weights at {path}; expected recogniser.safetensors: reinstall or train it")
    network = PlaceNetwork()
    network.load_state_dict(load_weights(path))
    return Recogniser(network, bank)


def _candidates(bank: Templates, seen: Tensor, misfit: Tensor, side: int) -> list[tuple[float, Sighting]]:
    """The best template for each spot that explains enough there, with how much misfit it explains in all."""
    stride = CELL_PIXELS // COARSE
    energy = F.conv2d(seen.square().mean(dim=0)[None, None], bank.weight, stride=stride)[0]
    before = F.conv2d(misfit[None, None], bank.weight, stride=stride)[0]
    cross = F.conv2d(seen[None], bank.colour, stride=stride)[0]
    tints = len(bank.tints)
    after = energy.repeat_interleave(tints, dim=0) - 2 * cross + bank.energy[:, None, None]
    gain = before.repeat_interleave(tints, dim=0) - after
    best, which = gain.max(dim=0)
    found = []
    for row, column in (best > 0).nonzero().tolist():
        k = int(which[row, column])
        score = float(best[row, column] / before[k // tints, row, column].clamp(min=1e-6))
        contrast = float(before[k // tints, row, column] / bank.area[k // tints])
        if score >= MIN_SCORE and contrast > 0.004:
            box = _grid_box(row, column, side)
            sighting = Sighting(SUBJECT_NAMES[k // tints], bank.tints[k % tints], box, score)
            found.append((float(best[row, column]), sighting))
    return found


def _grid_box(row: int, column: int, side: int) -> Box:
    x1, y1, x2, y2 = (v / CELLS for v in (column, row, column + side, row + side))
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def _share_cells(a: Box, b: Box) -> bool:
    # sprites of this world never do; half a cell of slack for rounding
    slack = 0.5 / CELLS
    return min(a.x2, b.x2) - max(a.x1, b.x1) > slack and min(a.y2, b.y2) - max(a.y1, b.y1) > slack
