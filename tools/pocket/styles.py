"""The styles of the pocket world as filters on whole pictures.

Layout legend: B batch, H and W pixels. Pictures are float (B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.vocabulary import STYLES


def in_style(pictures: Tensor, style: str) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as `style` shows them."""
    return pictures if style == "plain" else _STYLE_FILTERS[style](pictures)


def in_styles(pictures: Tensor, styles: Tensor) -> Tensor:
    """Each picture in its own style, given as indices into `STYLES`, int64 (B,) on the CPU."""
    pictures = pictures.contiguous()
    for index, name in enumerate(STYLES):
        rows = (styles == index).nonzero()[:, 0]
        if len(rows) and name != "plain":
            chosen = rows.to(pictures.device)
            pictures[chosen] = in_style(pictures[chosen], name)
    return pictures


def luminance(x: Tensor) -> Tensor:
    """Light (B, 1, H, W) of colours (B, 3, H, W), by the weights of ITU-R BT.601 in 1/256.

    Whole numbers up to 255 give exact results, in whatever order and precision a device adds.
    """
    return x[:, :1] * (77 / 256) + x[:, 1:2] * (150 / 256) + x[:, 2:3] * (29 / 256)


def square_root(x: Tensor) -> Tensor:
    """The correctly rounded root of float32, on every machine.

    A CPU's own vectors give the last bit as its make likes; of a root in float64 float32 keeps no wrong bit.
    """
    return x.double().sqrt().float()


@cache
def colour(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """Three channels as float (3,), kept on the device: a copy from the host would make every batch wait."""
    return torch.tensor(values, device=device)


def _sketch(x: Tensor) -> Tensor:
    light = F.pad(luminance(x), (1, 1, 1, 1), mode="replicate")
    smooth = F.avg_pool2d(light, 3, stride=1)
    smooth = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    ink = square_root(across.square() + down.square()).mul(5).clamp(0, 1)
    shade = 0.92 + 0.08 * luminance(x)
    return (shade * (1 - 0.85 * ink)).expand(-1, 3, -1, -1)


def _pixel_art(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 8), scale_factor=8, mode="nearest")


def _monochrome(x: Tensor) -> Tensor:
    return luminance(x).expand(-1, 3, -1, -1)


def _sepia(x: Tensor) -> Tensor:
    dark, pale = colour((0.16, 0.09, 0.04), x.device), colour((1.0, 0.93, 0.78), x.device)
    return dark[:, None, None] + luminance(x) * (pale - dark)[:, None, None]


def _negative(x: Tensor) -> Tensor:
    return 1 - x


_STYLE_FILTERS = {
    "sketch": _sketch,
    "pixel art": _pixel_art,
    "monochrome": _monochrome,
    "sepia": _sepia,
    "negative": _negative,
}
