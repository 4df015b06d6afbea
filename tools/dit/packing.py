"""Latents as tokens: packing, position ids, and which elements of a row are known.

Layout legend: C latent channels, h and w latent cells, p cells on a token's side, N tokens,
E = C p p elements of a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.rows import Segment
from chatdit.tools.types import ToolError


@dataclass(frozen=True)
class Grid:
    """How pixels become tokens: pixels on a cell's side, cells on a token's side, channels of a cell."""

    downscale: int
    pack: int
    channels: int

    @property
    def token_size(self) -> int:
        """Pixels on a token's side."""
        return self.downscale * self.pack

    @property
    def elements(self) -> int:
        """Numbers in a token."""
        return self.channels * self.pack**2

    def area(self, segment: Segment) -> int:
        """How many tokens a segment has."""
        rows, columns = self.tokens(segment)
        return rows * columns

    def tokens(self, segment: Segment) -> tuple[int, int]:
        """Rows and columns of tokens of a segment.

        Raises:
            ToolError: a side is not a positive multiple of the token size.
        """
        size = self.token_size
        if segment.width < size or segment.height < size or segment.width % size or segment.height % size:
            raise ToolError(
                f"a segment is {segment.width}x{segment.height} pixels; "
                f"both sides must be positive multiples of {size}: round them"
            )
        return segment.height // size, segment.width // size


def pack_factor(token_channels: int, latent_channels: int) -> int:
    """The p for which a token of `token_channels` holds p x p cells. Raises ToolError if there is none."""
    p = math.isqrt(max(0, token_channels // latent_channels))
    if p < 1 or p * p * latent_channels != token_channels:
        raise ToolError(
            f"the transformer has {token_channels} channels a token and the autoencoder {latent_channels} a cell; "
            "expected a square multiple: the two parts do not belong together"
        )
    return p


def pack(latent: Tensor, p: int) -> Tensor:
    """Tokens (N, E) of a latent (C, h, w); the element order is FluxPipeline's (channel, row, column)."""
    channels, height, width = latent.shape
    cells = latent.view(channels, height // p, p, width // p, p).permute(1, 3, 0, 2, 4)
    return cells.reshape(height // p * (width // p), channels * p * p)


def unpack(tokens: Tensor, rows: int, columns: int, p: int) -> Tensor:
    """Latent (C, rows p, columns p) of tokens (N, E)."""
    cells = tokens.view(rows, columns, -1, p, p).permute(2, 0, 3, 1, 4)
    return cells.reshape(cells.shape[0], rows * p, columns * p)


def position_ids(segments: Sequence[Segment], grid: Grid) -> Tensor:
    """RoPE coordinates (N, 3) as float32: panel, row, column, with each segment at its origin."""
    parts = []
    for segment in segments:
        rows, columns = grid.tokens(segment)
        ids = torch.zeros(rows, columns, 3)
        ids[..., 0] = segment.panel
        ids[..., 1] = torch.arange(rows)[:, None] + segment.origin[0]
        ids[..., 2] = torch.arange(columns)[None] + segment.origin[1]
        parts.append(ids.view(-1, 3))
    return torch.cat(parts)


def known_elements(segment: Segment, grid: Grid) -> Tensor:
    """Bool (N, E): True where every pixel of the latent cell is known."""
    if segment.known is None:
        return torch.zeros(grid.area(segment), grid.elements, dtype=torch.bool)
    mask = segment.known_mask if segment.known_mask is not None else torch.ones(segment.height, segment.width)
    unknown_pixels = (~mask.bool()).float()[None, None].cpu()
    cells = F.max_pool2d(unknown_pixels, grid.downscale)[0] == 0
    return pack(cells.expand(grid.channels, -1, -1).contiguous(), grid.pack)


def check_known(segment: Segment) -> None:
    """Raises ToolError where given pixels or their mask do not have the segment's size."""
    size = (segment.height, segment.width)
    if segment.known is not None and tuple(segment.known.shape) != (3, *size):
        raise ToolError(
            f"known pixels are {tuple(segment.known.shape)}; expected (3, {size[0]}, {size[1]}): resize them"
        )
    if segment.known_mask is None:
        return
    if segment.known is None:
        raise ToolError("a segment has known_mask but no known pixels; give both or neither")
    if tuple(segment.known_mask.shape) != size:
        raise ToolError(f"known_mask is {tuple(segment.known_mask.shape)}; expected {size}: resize it")
