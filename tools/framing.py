"""A picture on a frame of a painter's size, and back: stretched where the shapes are nearly one, else padded.

Layout legend: H, W pixels of the frame.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chatdit.tools.fitting import PixelBox, pad_to, resize_to

SAME_SHAPE = 0.05
"""Of the aspect: what a picture is stretched by rather than padded."""


def framed(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The whole picture on (width, height)."""
    stretched = window(picture.size, (width, height)) == (0, 0, width, height)
    return resize_to(picture, width, height) if stretched else pad_to(picture, width, height)


def window(inner: tuple[int, int], frame: tuple[int, int]) -> PixelBox:
    """Where in its frame a picture of size `inner` stands."""
    if abs(inner[0] * frame[1] / (inner[1] * frame[0]) - 1) <= SAME_SHAPE:
        return 0, 0, *frame
    scale = min(frame[0] / inner[0], frame[1] / inner[1])
    width, height = (max(1, round(side * scale)) for side in inner)
    left, top = (frame[0] - width) // 2, (frame[1] - height) // 2
    return left, top, left + width, top + height


def outside(region: Image.Image, frame: tuple[int, int]) -> Tensor:
    """bool (H, W): True where a picture's region (mode L) is black, and in the bars around the picture."""
    left, top, right, bottom = window(region.size, frame)
    free = Image.new("L", frame)
    some = region.point([255 * (level > 0) for level in range(256)])
    free.paste(some.resize((right - left, bottom - top), Image.Resampling.BOX), (left, top))
    return torch.from_numpy(np.asarray(free) == 0)
