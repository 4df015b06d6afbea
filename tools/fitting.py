"""Fit a picture into a panel without losing what it shows.

A reference is cropped only where the crop takes nothing but plain border; otherwise it is padded.
It is never cut at the centre's expense, which is how ChatDiT's release lost its references.
Boxes here are pixels: left, top, right, bottom.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

PixelBox = tuple[int, int, int, int]
Padding = Literal["edge", "blur"]

_SAME_ASPECT = 0.02  # a change of shape too small to see
_BORDER_TOLERANCE = 24  # levels of 255; above the noise of a JPEG
_BORDER_SHARE = 0.75  # of the outermost pixels that must agree before the border counts as plain


def fit_to(image: Image.Image, width: int, height: int, padding: Padding = "edge") -> Image.Image:
    """`image` (RGB) at exactly (width, height): resized, cropped inside its plain border, or padded."""
    if abs(image.width * height / (image.height * width) - 1) <= _SAME_ASPECT:
        return resize_to(image, width, height)
    box = crop_box(image.size, content_box(image), width / height)
    if box is not None:
        return resize_to(image.crop(box), width, height)
    return pad_to(image, width, height, padding)


def resize_to(image: Image.Image, width: int, height: int) -> Image.Image:
    """`image` stretched to (width, height)."""
    return image.copy() if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)


def pad_to(image: Image.Image, width: int, height: int, padding: Padding = "edge") -> Image.Image:
    """The whole of `image` centred in (width, height).

    Each bar has the median colour of the edge it adjoins ("edge"), or the bars show the picture
    itself out of focus ("blur"). Continuing the edge pixel by pixel would smear what touches it.
    """
    scale = min(width / image.width, height / image.height)
    inner = resize_to(image, _within(image.width * scale, width), _within(image.height * scale, height))
    left, top = (width - inner.width) // 2, (height - inner.height) // 2
    canvas = _out_of_focus(image, width, height) if padding == "blur" else _edge_coloured(inner, width, height)
    canvas.paste(inner, (left, top))
    return canvas


def content_box(image: Image.Image) -> PixelBox:
    """Smallest box around everything that differs from a plain border.

    The whole picture when its border is not plain (a photograph) or when there is nothing else.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.int16)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(border, axis=0)
    whole = (0, 0, image.width, image.height)
    if (np.abs(border - colour).max(axis=1) <= _BORDER_TOLERANCE).mean() < _BORDER_SHARE:
        return whole
    differs = np.abs(pixels - colour).max(axis=2) > _BORDER_TOLERANCE
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not rows.size:
        return whole
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def crop_box(size: tuple[int, int], content: PixelBox, aspect: float) -> PixelBox | None:
    """Largest window of `aspect` (width / height) in `size` that holds all of `content`, or None.

    The window is centred on the content as far as the picture's edges allow.
    """
    width = max(1, min(size[0], round(size[1] * aspect)))
    height = max(1, min(size[1], round(size[0] / aspect)))
    left, top, right, bottom = content
    if width < right - left or height < bottom - top:
        return None
    x = min(max(0, (left + right - width) // 2), size[0] - width)
    y = min(max(0, (top + bottom - height) // 2), size[1] - height)
    return x, y, x + width, y + height


def _within(side: float, limit: int) -> int:
    return min(limit, max(1, round(side)))


def _edge_coloured(inner: Image.Image, width: int, height: int) -> Image.Image:
    pixels = np.asarray(inner)
    side_by_side = inner.height == height  # bars stand left and right, else above and below
    first, last = (pixels[:, 0], pixels[:, -1]) if side_by_side else (pixels[0], pixels[-1])
    canvas = Image.new("RGB", (width, height), _median_colour(first))
    half = (width // 2, 0, width, height) if side_by_side else (0, height // 2, width, height)
    canvas.paste(_median_colour(last), half)
    return canvas


def _median_colour(pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = np.median(pixels, axis=0).astype(int).tolist()
    return red, green, blue


def _out_of_focus(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = max(width / image.width, height / image.height)
    cover = resize_to(image, max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    left, top = (cover.width - width) // 2, (cover.height - height) // 2
    window = cover.crop((left, top, left + width, top + height))
    return window.filter(ImageFilter.GaussianBlur(max(width, height) / 24))
