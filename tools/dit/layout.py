"""What a transformer with layout channels is told: where each image token lies in the square that covers it.

The words of squares (`square_words.py`) are coarse as text tokens. Here every image token brings, beside its latent,
where exactly it lies within its square, and what the text encoder says of that square's thing. That is grounding by
channels, as boxes and depth are given to FLUX's Control and Fill models, with the coordinates of coordinate networks
(arXiv 2006.10739).

Layout legend: B batch, S squares of a picture, N image tokens of a picture, L text tokens, D text width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chatdit.tools.dit.square_words import Spot

if TYPE_CHECKING:
    from chatdit.tools.dit.packing import Grid
    from chatdit.tools.dit.painter import Painter
    from chatdit.tools.dit.rows import Row, Segment

MOST_SQUARES = 6
NUMBERS = 5
"""Of a square: x, y, side in pixels, angle in degrees, and the text token that is told of it."""
_WAVES = 5
GEOMETRY = 6 + 2 * (1 + 2 * _WAVES)
"""Channels of where a token lies; those of what the text encoder says come behind."""
_REACH = 1.9
"""Half sides from the middle up to which a token belongs to a square: what is worn stands out of it."""


def layout_width(text_width: int) -> int:
    """Channels that a token brings beside its latent."""
    return GEOMETRY + text_width


def latent_part(channels: int, text_width: int, *, layout: bool) -> int:
    """How many of a transformer's input channels are a token's latent."""
    return channels - layout_width(text_width) if layout else channels


def square_tensor(told: list[tuple[Spot, int]]) -> Tensor:
    """float (MOST_SQUARES, NUMBERS) of squares and their text tokens; sides of 0 where there is none."""
    rows = [[spot.x, spot.y, spot.side, spot.rotation, token] for spot, token in told[:MOST_SQUARES]]
    rows += [[0.0] * NUMBERS] * (MOST_SQUARES - len(rows))
    return torch.tensor(rows)


def layout_channels(squares: Tensor, centres: Tensor, text: Tensor) -> Tensor:
    """What each image token is told, float (B, N, GEOMETRY + D).

    `squares` are (B, S, NUMBERS), `centres` the middles of tokens, x and y in pixels (N, 2), `text` (B, L, D). All
    zeros for tokens of no square.
    """
    owner, local = _owners(squares, centres)
    mine = torch.gather(squares, 1, owner[..., None].expand(-1, -1, NUMBERS))
    covered = (local.abs().amax(dim=2) <= _REACH) & (mine[..., 2] > 0)
    token = mine[..., 4].long().clamp(0, text.shape[1] - 1)
    named = torch.gather(text, 1, token[..., None].expand(-1, -1, text.shape[2]))
    channels = torch.cat([_geometry(local, mine), named.to(local.dtype)], dim=2)
    return channels * covered[..., None]


def told_rows(painter: Painter, rows: Sequence[Row], text: Tensor, passes: int) -> Tensor:
    """Layout channels (B, N, GEOMETRY + D) of rows and their guidance passes, whose captions are `text` (B, L, D).

    A row's second pass knows no squares unless its negative caption tells some.
    """
    captions = [row.caption for row in rows] + [row.negative for row in rows] * (passes - 1)
    entries = []
    for caption, row, words in zip(captions, list(rows) * passes, text, strict=True):
        squares = painter.text.squares(caption, len(row.segments))
        if squares is None:
            squares = torch.zeros(len(row.segments), MOST_SQUARES, NUMBERS)
        parts = []
        for told, segment in zip(squares.to(text.device), row.segments, strict=True):
            centres = token_centres(segment, painter.grid, text.device)
            parts.append(layout_channels(told[None], centres, words[None])[0])
        entries.append(torch.cat(parts))
    return torch.stack(entries).to(text.dtype)


def token_centres(segment: Segment, grid: Grid, device: torch.device) -> Tensor:
    """The middles of a segment's tokens, x and y in pixels of the picture, float (N, 2)."""
    rows, columns = grid.tokens(segment)
    across, down = ((torch.arange(n, device=device) + 0.5) * grid.token_size for n in (columns, rows))
    return torch.stack([across.repeat(rows), down.repeat_interleave(columns)], dim=1)


def _owners(squares: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """For each token the square (B, N) that it is nearest to, and where it lies there, in half sides (B, N, 2)."""
    x, y, side, turn = (squares[..., None, i] for i in range(4))
    across, down = centres[:, 0] - x, centres[:, 1] - y
    cos, sin = (turn * (math.pi / 180)).cos(), (turn * (math.pi / 180)).sin()
    half = side.clamp(min=1) / 2
    local = torch.stack([(across * cos - down * sin) / half, (across * sin + down * cos) / half], dim=3)
    away = local.abs().amax(dim=3).masked_fill(side <= 0, math.inf)
    owner = away.argmin(dim=1)
    chosen = owner[:, None, :, None].expand(-1, 1, -1, 2)
    return owner, torch.gather(local, 1, chosen)[:, 0]


def _geometry(local: Tensor, squares: Tensor) -> Tensor:
    """float (B, N, GEOMETRY)."""
    half = squares[..., 2].clamp(min=1) / 2
    turn = squares[..., 3] * (math.pi / 180)
    inside = (local.abs().amax(dim=2) <= 1 + 8 / half).to(local.dtype)
    plain = [torch.ones_like(half), inside, (half / 48).log2(), 16 / half, 3 * turn.sin(), local.abs().amax(dim=2)]
    angles = local[..., None] * (math.pi / 2 * 2.0 ** torch.arange(_WAVES, device=local.device))
    waves = torch.cat([local, angles.sin().flatten(2), angles.cos().flatten(2)], dim=2)
    return torch.cat([torch.stack(plain, dim=2), waves], dim=2)
