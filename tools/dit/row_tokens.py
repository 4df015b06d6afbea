"""The tokens of a group of rows: their noise, what is known of them, and how they become pictures.

Layout legend: R rows, N image tokens, E elements of a token; tokens are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.codecs import ImageCodec
from chatdit.tools.dit.packing import Grid, known_elements, pack, unpack
from chatdit.tools.dit.rows import Given, Row, SampledRow, Segment

PREVIEW_CELLS = 16


@dataclass(frozen=True)
class RowTokens:
    """Noise, known pictures (zeros elsewhere), where they are known, and where they are fed at t = 0.

    All (R, N, E), the last two bool; `moving` (R,) is 0.0 for rows that stay at t = 0, else 1.0.
    """

    noise: Tensor
    clean: Tensor
    known: Tensor
    fed_clean: Tensor
    moving: Tensor

    def fed(self, x: Tensor, level: float | Tensor) -> Tensor:
        """What the transformer sees at noise `level` when the free tokens stand at `x`.

        As a tensor (R, 1, 1) it is each row's own level of what is known.
        """
        noised = (1 - level) * self.clean + level * self.noise
        return torch.where(self.fed_clean, self.clean, torch.where(self.known, noised, x))

    def restored(self, x: Tensor) -> Tensor:
        """`x` with every known element put back."""
        return torch.where(self.known, self.clean, x)


def row_tokens(rows: Sequence[Row], images: ImageCodec, grid: Grid, given: Given, device: torch.device) -> RowTokens:
    """The tokens of rows with equal token counts, on `device`.

    Known tokens of a "generate" row are fed clean if `given` says so and all their cells are known.
    """
    known = torch.stack([torch.cat([known_elements(s, grid) for s in row.segments]) for row in rows]).to(device)
    still = torch.tensor([row.trajectory == "clean" for row in rows], device=device)
    as_given = torch.tensor([row.trajectory == "generate" and given == "clean" for row in rows], device=device)
    whole = known & known.all(dim=-1, keepdim=True)
    return RowTokens(
        noise=torch.stack([_noise(row, grid) for row in rows]).to(device),
        clean=torch.stack([_clean(row, images, grid) for row in rows]).to(device),
        known=known,
        fed_clean=(still | as_given)[:, None, None] & whole,
        moving=(~still).float(),
    )


def finished(row: Row, tokens: Tensor, images: ImageCodec, grid: Grid) -> SampledRow:
    """The pictures of a row's tokens (N, E), given pixels exactly as they were given."""
    latents = _latents(row, tokens, grid)
    return SampledRow(tuple(_picture(s, latent, images) for s, latent in zip(row.segments, latents, strict=True)))


def preview(row: Row, tokens: Tensor, images: ImageCodec, grid: Grid) -> object:
    """The row's segments side by side, small, as a uint8 array (H, W, 3)."""
    latents = torch.cat([_shrunk(latent) for latent in _latents(row, tokens, grid)], dim=-1)
    pixels = _unit(images.decode(latents[None])[0])
    return (pixels * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _picture(segment: Segment, latent: Tensor, images: ImageCodec) -> Tensor:
    if segment.known is not None and segment.wholly_known:
        return _unit(segment.known).cpu()
    picture = _unit(images.decode(latent[None])[0]).cpu()
    if segment.known is None or segment.known_mask is None:
        return picture
    return torch.where(segment.known_mask.bool().cpu(), _unit(segment.known).cpu(), picture)


def _noise(row: Row, grid: Grid) -> Tensor:
    """Noise (N, E), drawn on the CPU so that devices agree, segment by segment in latent order."""
    generator = torch.Generator().manual_seed(row.seed)
    parts = []
    for segment in row.segments:
        height, width = (grid.pack * n for n in grid.tokens(segment))
        parts.append(pack(torch.randn(grid.channels, height, width, generator=generator), grid.pack))
    return torch.cat(parts)


def _clean(row: Row, images: ImageCodec, grid: Grid) -> Tensor:
    parts = []
    for segment in row.segments:
        if segment.known is None:
            parts.append(torch.zeros(grid.area(segment), grid.elements))
        else:
            parts.append(pack(images.encode(segment.known[None].float())[0].float().cpu(), grid.pack))
    return torch.cat(parts)


def _latents(row: Row, tokens: Tensor, grid: Grid) -> list[Tensor]:
    """The latent (C, h, w) of each segment."""
    parts = torch.split(tokens, [grid.area(segment) for segment in row.segments])
    return [unpack(part, *grid.tokens(s), grid.pack) for part, s in zip(parts, row.segments, strict=True)]


def _shrunk(latent: Tensor) -> Tensor:
    """The latent with PREVIEW_CELLS rows and its own aspect."""
    width = max(1, round(latent.shape[2] * PREVIEW_CELLS / latent.shape[1]))
    return F.interpolate(latent[None], (PREVIEW_CELLS, width), mode="area")[0]


def _unit(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1] as float32 in [0, 1]."""
    return (pixels.float() / 2 + 0.5).clamp(0, 1)
