"""Reads pictures of the pocket world: every subject with its square, angle, tint and what it wears, at any place.

One network looks once: on a grid of 32 x 32 cells it says where a sprite's middle lies and what stands there.
Layout legend: B batch, G cells on a side, S sprites.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PixelNorm, ResidualBlock
from chatdit.tools.dit.storage import load_weights
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, PERSON, STYLES, SUBJECTS, TINTS
from chatdit.tools.types import Box, ToolError

CLASS_NAMES: tuple[str, ...] = (*SUBJECTS, PERSON)
TINT_NAMES: tuple[str | None, ...] = (None, *TINTS)
WORN_NAMES: tuple[str | None, ...] = (None, *ACCESSORIES)
BACKGROUND_NAMES: tuple[str, ...] = tuple(BACKGROUNDS)
STYLE_NAMES: tuple[str, ...] = tuple(STYLES)
FILE = "detector.safetensors"
CELL_PIXELS = 8
GRID = PICTURE_PIXELS // CELL_PIXELS
MIDDLE_SIDE = 112.0
"""Pixels of a side whose logarithm the network calls 0."""
ANGLE_UNIT = 18.0
"""Degrees that the network calls 1."""
MIN_CONFIDENCE = 0.3
MAX_SIGHTINGS = 8
_CHANNELS = {
    "middle": 1,
    "subject": len(CLASS_NAMES),
    "shift": 2,
    "side": 1,
    "angle": 1,
    "tint": len(TINT_NAMES),
    "worn": len(WORN_NAMES),
    "worn_colour": len(TINT_NAMES),
}


class Answers(NamedTuple):
    """What the network says: maps (B, channels, G, G) of each cell, and logits of whole pictures."""

    middle: Tensor
    """(B, 1, G, G): logit that a sprite's middle lies in the cell."""
    subject: Tensor
    shift: Tensor
    """(B, 2, G, G): from the cell's middle to the sprite's, x and y in cells."""
    side: Tensor
    """(B, 1, G, G): logarithm of the side in units of MIDDLE_SIDE."""
    angle: Tensor
    """(B, 1, G, G): in units of ANGLE_UNIT."""
    tint: Tensor
    worn: Tensor
    worn_colour: Tensor
    background: Tensor
    style: Tensor


class DetectorNetwork(nn.Module):
    """Convolutions at cells of 8 pixels with a coarser branch for what is large."""

    def __init__(self, widths: tuple[int, int, int] = (40, 112, 160)) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.near = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            ResidualBlock(fine),
            nn.PixelUnshuffle(2),
            nn.Conv2d(fine * 4, middle, 1),
            ResidualBlock(middle),
        )
        self.far = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(middle * 4, coarse, 1),
            *[ResidualBlock(coarse) for _ in range(4)],
        )
        self.back = nn.Sequential(nn.Conv2d(coarse, middle * 4, 1), nn.PixelShuffle(2))
        self.joint = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle), PixelNorm(middle))
        self.cells = nn.Conv2d(middle, sum(_CHANNELS.values()), 1)
        self.whole = nn.Linear(coarse * 2, len(BACKGROUND_NAMES) + len(STYLE_NAMES))
        self.norm = PixelNorm(coarse)
        # few cells hold a middle: start from that
        assert self.cells.bias is not None
        nn.init.zeros_(self.cells.weight[:1])
        nn.init.constant_(self.cells.bias[:1], -5.0)

    def forward(self, pictures: Tensor) -> Answers:
        """Answers for pictures (B, 3, 256, 256) in [-1, 1]."""
        near = self.near(pictures)
        far = self.far(near)
        maps = self.cells(self.joint(near + self.back(far))).split(tuple(_CHANNELS.values()), dim=1)
        far = self.norm(far)
        pooled = torch.cat([far.mean(dim=(2, 3)), far.amax(dim=(2, 3))], dim=1)
        return Answers(*maps, *self.whole(pooled).split((len(BACKGROUND_NAMES), len(STYLE_NAMES)), dim=1))


class Detector:
    """Reads pictures with a trained `DetectorNetwork`."""

    def __init__(self, network: DetectorNetwork) -> None:
        self._network = network.eval().requires_grad_(False)
        self._device = next(network.parameters()).device

    @torch.no_grad()
    def read(self, pictures: Tensor) -> list[Reading]:
        """What is in each picture of (B, 3, H, W) in [-1, 1]; sizes other than 256 are scaled first.

        Raises:
            ToolError: not a batch of colour pictures.
        """
        if pictures.dim() != 4 or pictures.shape[1] != 3:
            raise ToolError(f"detector got a tensor {tuple(pictures.shape)}; expected (B, 3, H, W)")
        pictures = pictures.to(self._device).float()
        if pictures.shape[-2:] != (PICTURE_PIXELS, PICTURE_PIXELS):
            pictures = F.interpolate(pictures, size=(PICTURE_PIXELS, PICTURE_PIXELS), mode="area")
        return readings(self._network(pictures))


def load_detector(path: Path | None = None, device: torch.device | str = "cpu") -> Detector:
    """The detector that ships with the package, or one with the network in the file `path`, on `device`.

    Raises:
        ToolError: the file is missing or holds other weights.
    """
    return Detector(load_network(path or weights_file()).to(device))


def weights_file() -> Path:
    """Where the weights that ship with the package lie."""
    return Path(str(files("chatdit.tools.pocket").joinpath(FILE)))


def load_network(path: Path) -> DetectorNetwork:
    """The network in a file.

    Raises:
        ToolError: the file is missing or holds other weights.
    """
    if not path.is_file():
        raise ToolError(f"no detector weights at {path}; expected {FILE}: reinstall, or train it")
    network = DetectorNetwork()
    try:
        network.load_state_dict(load_weights(path))
    except (RuntimeError, SafetensorError) as error:
        raise ToolError(f"{path} holds no detector weights; expected those of `--stage detector`") from error
    return network


def readings(answers: Answers) -> list[Reading]:
    """The answers as readings, the surest sighting of each picture first."""
    confidence = answers.middle.float().sigmoid()
    highest = F.max_pool2d(confidence, 3, stride=1, padding=1)
    peaks = torch.where((confidence == highest) & (confidence > MIN_CONFIDENCE), confidence, 0.0)[:, 0].cpu()
    places = answers.background.argmax(dim=1).tolist()
    styles = answers.style.argmax(dim=1).tolist()
    found = []
    for i, peak in enumerate(peaks):
        spots = sorted(peak.nonzero().tolist(), key=lambda s: -float(peak[s[0], s[1]]))
        kept: list[Sighting] = []
        for row, column in spots:
            sighting = _sighting(answers, i, row, column, float(peak[row, column]))
            if len(kept) < MAX_SIGHTINGS and not any(_same(sighting.box, other.box) for other in kept):
                kept.append(sighting)
        found.append(Reading(tuple(kept), BACKGROUND_NAMES[places[i]], STYLE_NAMES[styles[i]]))
    return found


def _sighting(answers: Answers, picture: int, row: int, column: int, score: float) -> Sighting:
    at = (picture, slice(None), row, column)
    x, y = answers.shift[at].tolist()
    side = MIDDLE_SIDE * float(answers.side[at].clamp(-3, 3).exp()) / PICTURE_PIXELS
    x, y = (column + 0.5 + x) / GRID, (row + 0.5 + y) / GRID
    kind = WORN_NAMES[int(answers.worn[at].argmax())]
    colour = TINT_NAMES[int(answers.worn_colour[at].argmax())]
    return Sighting(
        CLASS_NAMES[int(answers.subject[at].argmax())],
        TINT_NAMES[int(answers.tint[at].argmax())],
        Box(x1=_inside(x - side / 2), y1=_inside(y - side / 2), x2=_inside(x + side / 2), y2=_inside(y + side / 2)),
        score,
        round(ANGLE_UNIT * float(answers.angle[at])),
        None if kind is None or colour is None else Worn(kind, colour),
    )


def _inside(value: float) -> float:
    return min(1.0, max(0.0, value))


def _same(a: Box, b: Box) -> bool:
    """Whether two boxes share more than half of the smaller one."""
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    smaller = min((a.x2 - a.x1) * (a.y2 - a.y1), (b.x2 - b.x1) * (b.y2 - b.y1))
    return width > 0 and height > 0 and width * height > 0.5 * smaller
