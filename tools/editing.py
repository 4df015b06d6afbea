"""How an edit is carried out: where a picture is painted anew, the row that does it, and putting it back.

Layout legend: H, W pixels of the painter's size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from PIL import Image
from torch import Tensor

from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Row, Segment
from chatdit.tools.fitting import pad_to
from chatdit.tools.in_context import Drawing, sampled_pictures
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.closer_look import CloserLook
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.retouch import retouch
from chatdit.tools.types import Box, ProgressCallback, Sampling, ToolError

_WHOLE = Box(x1=0, y1=0, x2=1, y2=1)


@dataclass(frozen=True)
class Order:
    """What is painted: the caption as the painter reads it, and the boxes in fractions of the painter's picture."""

    caption: str
    boxes: tuple[Box, ...]
    seed: int

    @property
    def whole(self) -> bool:
        """Whether nothing of the picture stays."""
        return self.boxes == (_WHOLE,)


def order_for(dit: DiT, picture: Image.Image, caption: str, boxes: Sequence[Box], seed: int) -> Order:
    """Where and by which words `picture` comes to show `caption`; `boxes`, if any, are in fractions of it.

    Raises ToolError where nothing says where to paint.
    """
    if dit.defaults.open_vocabulary:
        return Order(caption, tuple(boxes), seed)
    pixels = to_tensor(_framed(dit, picture))
    found = retouch(_reader().read(pixels[None])[0], caption, random.Random(seed))
    if boxes:
        return Order(caption if found is None else found.caption, tuple(boxes), seed)
    if found is None:
        raise ToolError(f"{caption!r} is no scene that {dit.name} can draw: expected subjects, a place and a style")
    if found.repaint is None:
        return Order(found.caption, (_WHOLE,), seed)
    sides = dit.defaults.width, dit.defaults.height
    return Order(found.caption, tuple(_fractions(box, sides) for box in found.repaint), seed)


def edited(
    dit: DiT,
    picture: Image.Image,
    order: Order,
    sampling: Sampling,
    progress: ProgressCallback,
    *,
    preview: bool,
) -> Image.Image:
    """`picture` with the order's boxes painted anew; outside of them its pixels are its own."""
    if not order.boxes:
        return picture.copy()
    frame = _framed(dit, picture)
    known = None if order.whole else to_tensor(frame)
    mask = None if known is None else _kept(order.boxes, frame.size)
    segment = Segment(*frame.size, known=known, known_mask=mask)
    drawing = Drawing(Row(order.caption, (segment,), order.seed), 0)
    (made,) = sampled_pictures(dit, drawing, sampling, progress, preview=preview).pictures
    return _put_back(picture, made, order.boxes)


@cache
def _reader() -> CloserLook:
    return CloserLook(load_detector())


def _framed(dit: DiT, picture: Image.Image) -> Image.Image:
    """The picture on the painter's pixels, padded where its shape is another."""
    return pad_to(picture, dit.defaults.width, dit.defaults.height)


def _kept(boxes: Sequence[Box], size: tuple[int, int]) -> Tensor:
    """bool (H, W): True outside all boxes."""
    mask = torch.ones(size[1], size[0], dtype=torch.bool)
    for box in boxes:
        left, top, right, bottom = _pixels(box, size)
        mask[top:bottom, left:right] = False
    return mask


def _put_back(picture: Image.Image, made: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The boxes of `made` (the painter's size) laid over `picture`, which stands padded in the middle of it."""
    scale = min(made.width / picture.width, made.height / picture.height)
    left, top = ((m - round(p * scale)) // 2 for m, p in zip(made.size, picture.size, strict=True))
    inner = made.crop((left, top, left + round(picture.width * scale), top + round(picture.height * scale)))
    inner = inner.resize(picture.size, Image.Resampling.LANCZOS) if inner.size != picture.size else inner
    result = picture.copy()
    for box in boxes:
        corners = _pixels(box, made.size)
        x1, y1, x2, y2 = (round((v - edge) / scale) for v, edge in zip(corners, (left, top, left, top), strict=True))
        x1, y1, x2, y2 = max(0, x1), max(0, y1), min(picture.width, x2), min(picture.height, y2)
        if x1 < x2 and y1 < y2:
            result.paste(inner.crop((x1, y1, x2, y2)), (x1, y1))
    return result


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    return round(box.x1 * width), round(box.y1 * height), round(box.x2 * width), round(box.y2 * height)


def _fractions(box: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = (v / side for v, side in zip(box, (*size, *size), strict=True))
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)
