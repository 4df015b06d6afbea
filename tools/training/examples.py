"""Training examples of the pocket model: latents as tokens, caption ids, positions, given panels.

Layout legend: B batch, P panels, N tokens of a row, E elements of a token, L text tokens, S squares of a panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.layout import MOST_SQUARES, NUMBERS
from chatdit.tools.dit.packing import Grid, position_ids
from chatdit.tools.dit.rows import Segment
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import GIVENS
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.training.streams import SetChunk
from chatdit.tools.training.team import mixed_precision

GRID = Grid(downscale=8, pack=2, channels=16)
SIDES = (128, PICTURE_PIXELS)
"""Pixels of a picture's side at which a base can be trained."""
CANVAS_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2}
EMPTY_CAPTION_SHARE = 0.1
GIVEN_SHARE = 0.4
CANVAS_SHARE = 0.5
FRAMED_SHARE = 0.15
"""Of the rows: in how many one panel is given but for a rectangle, as masked edits give it."""
_FRAME_SIDES = (0.3, 0.85)


class Batch(NamedTuple):
    """What one training step reads."""

    tokens: Tensor
    """float (B, N, E), clean."""
    text_ids: Tensor
    """int64 (B, L); a row of zeros is the empty caption."""
    positions: Tensor
    """float (N, 3): panel, row, column."""
    given: Tensor
    """bool (B, N): tokens fed clean and left out of the loss."""
    squares: Tensor
    """float (B, P, S, NUMBERS): where the captions say that sprites stand; sides of 0 where they do not."""


def untold(size: int, panels: int, device: torch.device) -> Tensor:
    """The squares of captions that tell none, float (B, P, S, NUMBERS)."""
    return torch.zeros(size, panels, MOST_SQUARES, NUMBERS, device=device)


class ExamplePool:
    """A rolling pool of rendered and encoded sets of `panels` pictures, on the autoencoder's device.

    Pictures are rendered on 256 pixels and shrunk to `pixels`. Each example serves `reuse` steps on average, every
    time with new noise, before a fresh one replaces it, so that rendering and encoding cost a part of a step.
    """

    def __init__(
        self,
        panels: int,
        capacity: int,
        chunks: Iterator[SetChunk],
        renderer: Renderer,
        autoencoder: PocketAutoencoder,
        reuse: int,
        pixels: int = PICTURE_PIXELS,
    ) -> None:
        self.panels, self._pixels = panels, pixels
        self.seen = 0
        self._chunks, self._renderer, self._autoencoder = chunks, renderer, autoencoder
        self._reuse, self._owed, self._filled, self._next = reuse, 0.0, 0, 0
        self._device = next(autoencoder.parameters()).device
        self._area = (pixels // GRID.token_size) ** 2
        self._tokens = torch.empty(
            capacity, panels * self._area, GRID.elements, dtype=torch.float16, device=self._device
        )
        self._ids: Tensor | None = None
        self._squares = untold(capacity, panels, self._device)
        self._given = torch.empty(capacity, dtype=torch.int64, device=self._device)

    def fill(self, count: int) -> None:
        """Render and encode at least `count` new sets; beyond the capacity they replace the oldest."""
        while count > 0:
            count -= self._take(next(self._chunks))

    def draw(self, size: int) -> Batch:
        """A batch of `size` examples drawn with replacement, with given panels and empty captions dealt out."""
        self._owed += size / self._reuse
        while self._owed > 0:
            self._owed -= self._take(next(self._chunks))
        chosen = torch.randint(self._filled, (size,), device=self._device)
        assert self._ids is not None
        told = torch.rand(size, 1, device=self._device) >= EMPTY_CAPTION_SHARE
        canvas = self.panels > 1 and torch.rand(()).item() < CANVAS_SHARE
        return Batch(
            self._tokens[chosen].float(),
            self._ids[chosen] * told,
            panel_positions(self.panels, canvas=canvas, pixels=self._pixels).to(self._device, non_blocking=True),
            given_panels(self._given[chosen], self.panels).repeat_interleave(self._area, dim=1)
            | given_around(size, self.panels, self._pixels // GRID.token_size, self._device),
            self._squares[chosen] * told[..., None, None],
        )

    def _take(self, chunk: SetChunk) -> int:
        count = len(chunk.given)
        tokens = encode_tokens(self._autoencoder, shrunk(self._renderer.draw(chunk.drawing), self._pixels))
        capacity = len(self._tokens)
        spots = (torch.arange(count) + self._next) % capacity
        self._next = (self._next + count) % capacity
        self._filled = min(capacity, self._filled + count)
        spots = spots.to(self._device, non_blocking=True)
        if self._ids is None:
            self._ids = torch.zeros(capacity, chunk.text_ids.shape[1], dtype=torch.int64, device=self._device)
        self._tokens[spots] = tokens.half().view(count, -1, GRID.elements)
        self._ids[spots] = chunk.text_ids.to(self._device, non_blocking=True)
        self._squares[spots] = chunk.squares.to(self._device, non_blocking=True)
        self._given[spots] = chunk.given.to(self._device, non_blocking=True)
        self.seen += count
        return count


def given_panels(rules: Tensor, panels: int) -> Tensor:
    """Which panels of each set are given, bool (B, P), by rules int64 (B,) that index `GIVENS`.

    "first" means that one, "some" some for certain, "any" some in GIVEN_SHARE of the sets. At least one
    panel is always left to draw.
    """
    size, device = len(rules), rules.device
    if panels == 1:
        return torch.zeros(size, 1, dtype=torch.bool, device=device)
    order = torch.rand(size, panels, device=device).argsort(dim=1)
    count = torch.randint(1, panels, (size,), device=device)
    shown = (rules == GIVENS.index("some")) | (torch.rand(size, device=device) < GIVEN_SHARE)
    first = torch.arange(panels, device=device) == 0
    return torch.where((rules == GIVENS.index("first"))[:, None], first, order < (count * shown)[:, None])


def given_around(size: int, panels: int, side: int, device: torch.device, share: float = FRAMED_SHARE) -> Tensor:
    """Which tokens of rows are given around a rectangle, bool (B, N), for panels of side x side tokens.

    In a `share` of the rows one panel is; none elsewhere. The rectangle's sides are 0.3 to 0.85 of the panel's.
    """
    low, high = _FRAME_SIDES
    spans = (side * (low + (high - low) * torch.rand(size, 2, device=device))).round()
    starts = ((side - spans + 1) * torch.rand(size, 2, device=device)).floor()
    along = torch.arange(side, device=device)
    inside = (along >= starts[..., None]) & (along < (starts + spans)[..., None])
    outside = ~(inside[:, 0, :, None] & inside[:, 1, None, :]).flatten(1)
    which = torch.where(torch.rand(size, device=device) < share, torch.randint(panels, (size,), device=device), panels)
    framed = torch.arange(panels, device=device) == which[:, None]
    return (framed[..., None] & outside[:, None]).flatten(1)


def panel_positions(panels: int, *, canvas: bool, pixels: int = PICTURE_PIXELS) -> Tensor:
    """RoPE coordinates (N, 3) of pictures on one canvas, or as separate segments numbered from 0."""
    columns, side = CANVAS_COLUMNS[panels], pixels // GRID.token_size
    segments = [
        Segment(pixels, pixels, 0, (i // columns * side, i % columns * side)) if canvas else Segment(pixels, pixels, i)
        for i in range(panels)
    ]
    return position_ids(segments, GRID)


def shrunk(pictures: Tensor, pixels: int) -> Tensor:
    """Square pictures (B, 3, H, H) on `pixels` pixels a side, a divisor of H, each the mean of those it stands for."""
    return F.avg_pool2d(pictures, pictures.shape[-1] // pixels)


@torch.no_grad()
def encode_tokens(autoencoder: PocketAutoencoder, pictures: Tensor, chunk: int = 64) -> Tensor:
    """Tokens (B, N, E) of pictures (B, 3, H, W), in FluxPipeline's element order."""
    p = GRID.pack
    with mixed_precision(pictures.device):
        latents = torch.cat([autoencoder.encode(part).float() for part in torch.split(pictures, chunk)])
    b, c, h, w = latents.shape
    cells = latents.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(b, (h // p) * (w // p), c * p * p)
