"""How like the true sprite a generated subject is: found, aligned, and compared on the sprite's own pixels.

Recognition saturates: visibly bent subjects are still named right. So each subject that was found is laid beside the
sprite as the renderer draws it at that place, size and angle. What the autoencoder alone does to true pictures is the
most that a generator can reach; fidelity is told as a share of it.

Layout legend: B batch, H and W 256 pixels.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene
from chatdit.tools.types import Box

WINDOW, SIGMA = 11, 1.5
"""Of SSIM's Gaussian window, as in its paper (Wang et al., 2004), which also gives the two constants."""
_C1, _C2 = 0.01**2, 0.03**2
_STEPS = ((4, 4), (2, 2), (1, 1))
"""Pixels and degrees that the alignment tries on each side, from coarse to fine."""
_MAX_CLOSE_STEPS = 16
_CLEAR = 2.0
_MIN_CORE = 0.25
FoundT = TypeVar("FoundT")
How: TypeAlias = Callable[[Renderer, Tensor, Scene, Sighting], FoundT]


@dataclass(frozen=True)
class Likeness:
    """Of a subject and its true sprite, on the sprite's pixels; and where the sprite was laid."""

    ssim: float
    psnr: float
    """dB"""
    placement: Placement


def likeness(renderer: Renderer, picture: Tensor, scene: Scene, sighting: Sighting) -> Likeness:
    """How like its true sprite a sighting in picture (3, H, W), in [-1, 1], is; `scene` gives place and style.

    The sprite is moved, scaled and turned by a few pixels and degrees to where it fits best, at last by single ones. A
    sprite of which nothing lies in the picture is not like it at all.
    """
    best, error = _aligned(renderer, picture, scene, _placed(sighting))
    best, _ = _settled(renderer, picture, scene, best, error)
    truth, mask = _true_sprites(renderer, scene, [best])
    if not mask.any():
        return Likeness(0.0, 0.0, best)
    return Likeness(*compare(picture.to(truth.device), truth[0], mask[0]), best)


class Comparer:
    """Asks how sprites compare: in turn with its renderer, or in the processes of a pool, on the same device."""

    def __init__(self, renderer: Renderer, pool: Executor | None = None) -> None:
        self._renderer, self._pool = renderer, pool

    def begin(self, how: How[FoundT], picture: Tensor, scene: Scene, sighting: Sighting) -> Callable[[], FoundT]:
        """Begin with `likeness` or `mirroring`; what is returned waits for the answer."""
        if self._pool is None:
            found = how(self._renderer, picture, scene, sighting)
            return lambda: found
        device = str(self._renderer.device)
        return self._pool.submit(_apart, how, device, picture.float().cpu().numpy(), scene, sighting).result


@contextmanager
def comparer(renderer: Renderer, workers: int = 0) -> Iterator[Comparer]:
    """One that compares in turn, or in so many processes of one thread each."""
    if workers == 0:
        yield Comparer(renderer)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield Comparer(renderer, pool)


def _apart(how: How[FoundT], device: str, picture: NDArray[np.float32], scene: Scene, sighting: Sighting) -> FoundT:
    return how(_own_renderer(device), torch.from_numpy(picture), scene, sighting)


@cache
def _own_renderer(device: str) -> Renderer:
    return Renderer(torch.device(device))


def mirroring(renderer: Renderer, picture: Tensor, scene: Scene, sighting: Sighting) -> tuple[float, float]:
    """Mean squared errors of the sprite of a sighting in picture (3, H, W), in [-1, 1]: as it is, and mirrored.

    Each is laid where it fits best, closely where the two come near each other.
    """
    both = [_aligned(renderer, picture, scene, replace(_placed(sighting), variant=v)) for v in (0, 1)]
    errors = [error for _, error in both]
    if max(errors) < _CLEAR * min(errors):
        errors = [_settled(renderer, picture, scene, *one)[1] for one in both]
    return errors[0], errors[1]


def compare(picture: Tensor, truth: Tensor, mask: Tensor) -> tuple[float, float]:
    """SSIM and PSNR of pictures (3, H, W) in [-1, 1] on the pixels of mask (H, W); the rest does not count."""
    picture, truth = (picture.clamp(-1, 1) + 1) / 2, (truth + 1) / 2
    # outside both are the same, so that windows at the edge see no background
    picture = torch.where(mask, picture, truth)
    ssim = ssim_map(picture[None], truth[None])[0][mask].mean()
    error = (picture - truth).square().mean(dim=0)[mask].mean()
    return float(ssim), float(-10 * torch.log10(error.clamp(min=1e-10)))


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (B, H, W) around each pixel of pictures (B, C, H, W) in [0, 1], mean over the channels."""
    means = [_blurred(x) for x in (a, b, a * a, b * b, a * b)]
    mean_a, mean_b = means[:2]
    var_a, var_b = means[2] - mean_a.square(), means[3] - mean_b.square()
    both = means[4] - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    return (likeness / ((mean_a.square() + mean_b.square() + _C1) * (var_a + var_b + _C2))).mean(dim=1)


def _blurred(x: Tensor) -> Tensor:
    places = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    weights = (-places.square() / (2 * SIGMA**2)).exp()
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    half = WINDOW // 2
    x = F.pad(x, (half, half, half, half), mode="reflect")
    return F.conv2d(F.conv2d(x, weights, groups=x.shape[1]), weights.mT, groups=x.shape[1])


def sighting_of(sprite: Placement) -> Sighting:
    """What a reader that makes no mistake would say of a sprite."""
    corners = (sprite.left, sprite.top, sprite.left + sprite.side, sprite.top + sprite.side)
    x1, y1, x2, y2 = (min(1.0, max(0.0, v / PICTURE_PIXELS)) for v in corners)
    box = Box(x1=x1, y1=y1, x2=x2, y2=y2)
    return Sighting(sprite.subject, sprite.tint, box, 1.0, sprite.rotation, sprite.worn)


def _placed(sighting: Sighting) -> Placement:
    box = sighting.box
    side = max(2 * WINDOW, round((box.x2 - box.x1 + box.y2 - box.y1) / 2 * PICTURE_PIXELS))
    x, y = ((a + b) / 2 * PICTURE_PIXELS for a, b in ((box.x1, box.x2), (box.y1, box.y2)))
    left, top = (round(v - side / 2) for v in (x, y))
    return Placement(sighting.subject, sighting.tint, left, top, side, sighting.rotation, worn=sighting.worn)


def _around(placed: Placement, pixels: int, degrees: int) -> list[Placement]:
    """The placement moved, scaled about its middle, or turned, one at a time."""
    moved = [replace(placed, left=placed.left + x, top=placed.top + y) for x, y in _sides(pixels)]
    scaled = [
        replace(placed, left=placed.left - s, top=placed.top - s, side=placed.side + 2 * s) for s in (-pixels, pixels)
    ]
    turned = [replace(placed, rotation=placed.rotation + r) for r in (-degrees, degrees)]
    return [p for p in moved + scaled + turned if p.side >= 2 * WINDOW]


def _aligned(renderer: Renderer, picture: Tensor, scene: Scene, best: Placement) -> tuple[Placement, float]:
    """The placement after steps from coarse to fine, one way at a time, and its error."""
    error = _errors(renderer, picture, scene, [best])[0]
    for pixels, degrees in _STEPS:
        for _ in range(3):
            tries = _around(best, pixels, degrees)
            errors = _errors(renderer, picture, scene, tries)
            at = min(range(len(tries)), key=errors.__getitem__)
            if errors[at] >= error:
                break
            best, error = tries[at], errors[at]
    return best, error


def _settled(
    renderer: Renderer, picture: Tensor, scene: Scene, best: Placement, error: float
) -> tuple[Placement, float]:
    """The placement after steps of one pixel, in any direction and of any corner, or one degree, or both at once."""
    for _ in range(_MAX_CLOSE_STEPS):
        for tries in (_close_to(best), [p for turned in _turned(best) for p in _close_to(turned)]):
            tries = [p for p in tries if p.side >= 2 * WINDOW]
            errors = _errors(renderer, picture, scene, tries)
            at = min(range(len(tries)), key=errors.__getitem__)
            if errors[at] < error:
                best, error = tries[at], errors[at]
                break
        else:
            break
    return best, error


def _close_to(placed: Placement) -> list[Placement]:
    steps = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    moved = [replace(placed, left=placed.left + x, top=placed.top + y) for x, y in steps]
    grown = [
        replace(placed, left=placed.left - s * x, top=placed.top - s * y, side=placed.side + s)
        for s in (-1, 1)
        for x in (0, 1)
        for y in (0, 1)
    ]
    return [*moved, *grown, *_turned(placed)]


def _turned(placed: Placement) -> list[Placement]:
    return [replace(placed, rotation=placed.rotation + r) for r in (-1, 1)]


def _sides(pixels: int) -> Sequence[tuple[int, int]]:
    return ((-pixels, 0), (pixels, 0), (0, -pixels), (0, pixels))


def _errors(renderer: Renderer, picture: Tensor, scene: Scene, placements: Sequence[Placement]) -> list[float]:
    """Mean squared error on each sprite's pixels; infinite for one that stands outside the picture."""
    truth, masks = _true_sprites(renderer, scene, placements)
    error = (picture.to(truth.device) - truth).square().mean(dim=1)
    counts = masks.sum(dim=(1, 2))
    sums = (error * masks).sum(dim=(1, 2))
    return [s / c if c else math.inf for s, c in zip(sums.tolist(), counts.tolist(), strict=True)]


def _true_sprites(renderer: Renderer, scene: Scene, placements: Sequence[Placement]) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) with one sprite each, and its inner pixels (B, H, W): those off its soft edge."""
    scenes = [replace(scene, view=0)] * len(placements)
    drawn = renderer.render(scenes, random.Random(0), [(p,) for p in placements])
    masks = torch.stack([mask[0] for mask in drawn.masks])
    inner = F.max_pool2d((~masks).float()[:, None], 3, stride=1, padding=1)[:, 0] == 0
    thin = inner.sum(dim=(1, 2)) < _MIN_CORE * masks.sum(dim=(1, 2))
    return drawn.pictures, torch.where(thin[:, None, None], masks, inner)
