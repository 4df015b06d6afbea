"""The renderer's class maps as a teacher of hidden states and of attention.

Layout legend: B batch, N image tokens, K sprites of a picture, C classes (subjects, people, background).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.renderer import PERSON_CLASS

BACKGROUND = PERSON_CLASS + 1
CLASSES = BACKGROUND + 1


def class_occupancy(classes: Tensor, shares: Tensor) -> Tensor:
    """Share of each token's pixels that each class covers, float (B, N, C), background included; rows sum to 1.

    `classes` int64 (B, K) says what each sprite is, and `shares` float (B, N, K) in [0, 1] how much of a token it
    covers; an empty place covers nothing.
    """
    rest = (1 - shares.sum(dim=2, keepdim=True)).clamp(min=0)
    every = torch.cat([classes, classes.new_full((len(classes), 1), BACKGROUND)], dim=1)
    parts = torch.cat([shares, rest], dim=2)
    empty = parts.new_zeros(*parts.shape[:2], CLASSES)
    return empty.scatter_add(2, every[:, None].expand_as(parts), parts)


def pooled_shares(shares: Tensor, tokens: int) -> Tensor:
    """Shares (B, N, K) for a square grid of `tokens` tokens that covers the same picture with larger ones.

    Raises:
        ValueError: the sides of the grids do not divide.
    """
    side, wanted = round(shares.shape[1] ** 0.5), round(tokens**0.5)
    if wanted**2 != tokens or side % wanted:
        raise ValueError(f"{tokens} tokens cannot pool a grid of {side} x {side}: expected a square whose side divides")
    grid = shares.view(len(shares), side, side, -1).permute(0, 3, 1, 2)
    return F.avg_pool2d(grid, side // wanted).flatten(2).mT


def spatially_normalised(teacher: Tensor, part: float = 0.6) -> Tensor:
    """Each feature of (B, N, C) less `part` of its mean over the picture's tokens, over its deviation there.

    What all tokens share weighs less than where they differ (iREPA, arXiv 2512.10794).
    """
    centred = teacher - part * teacher.mean(dim=1, keepdim=True)
    return centred / (teacher.std(dim=1, keepdim=True, correction=0) + 1e-3)


def class_attention(occupancy: Tensor) -> Tensor:
    """Attention float (B, N, N) of a class map: a query attends evenly to the tokens of its own main class."""
    main = occupancy.argmax(dim=2)
    same = (main[:, :, None] == main[:, None]).to(occupancy.dtype)
    return same / same.sum(dim=2, keepdim=True)


def derangement(size: int, generator: torch.Generator) -> Tensor:
    """A random order int64 (size,) that leaves nothing in place, on the generator's device.

    Raises:
        ValueError: fewer than two cannot be deranged.
    """
    if size < 2:
        raise ValueError(f"a batch of {size} cannot be shuffled so that none stays in place: expected at least 2")
    ring = torch.randperm(size, generator=generator, device=generator.device)
    return torch.empty_like(ring).scatter(0, ring, ring.roll(1))
