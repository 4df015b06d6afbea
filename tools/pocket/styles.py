"""The styles of the pocket world as filters on whole pictures.

Layout legend: B batch, H and W pixels. Pictures are float (B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

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


def _luminance(x: Tensor) -> Tensor:
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


def _sketch(x: Tensor) -> Tensor:
    light = F.pad(_luminance(x), (1, 1, 1, 1), mode="replicate")
    smooth = F.avg_pool2d(light, 3, stride=1)
    smooth = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    ink = (across.square() + down.square()).sqrt().mul(5).clamp(0, 1)
    shade = 0.92 + 0.08 * _luminance(x)
    return (shade * (1 - 0.85 * ink)).expand(-1, 3, -1, -1)


def _pixel_art(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 8), scale_factor=8, mode="nearest")


def _monochrome(x: Tensor) -> Tensor:
    return _luminance(x).expand(-1, 3, -1, -1)


def _sepia(x: Tensor) -> Tensor:
    dark, pale = x.new_tensor([0.16, 0.09, 0.04]), x.new_tensor([1.0, 0.93, 0.78])
    return dark[:, None, None] + _luminance(x) * (pale - dark)[:, None, None]


def _negative(x: Tensor) -> Tensor:
    return 1 - x


_STYLE_FILTERS = {
    "sketch": _sketch,
    "pixel art": _pixel_art,
    "monochrome": _monochrome,
    "sepia": _sepia,
    "negative": _negative,
}
