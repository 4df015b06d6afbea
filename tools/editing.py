"""How an edit is carried out: where a picture is painted anew, the row that does it, and putting it back.

A picture of another shape than the painter's stands on a frame that has it (`framing.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image, ImageChops, ImageFilter

from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Row, Segment
from chatdit.tools.edit import EditWay
from chatdit.tools.fitting import resize_to
from chatdit.tools.framing import framed, outside, window
from chatdit.tools.in_context import Drawing, sampled_pictures
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.closer_look import own_reader
from chatdit.tools.pocket.retouch import PixelBox, Retouch, retouch
from chatdit.tools.types import Box, ProgressCallback, Sampling, ToolError

FEATHER = 0.012
"""How far inwards the border of a mask is soft, as a share of the picture's longer side."""
_TWO_LEVELS = [255 * (level >= 128) for level in range(256)]
_WHOLE = Box(x1=0, y1=0, x2=1, y2=1)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be changed: a picture, the versions it came from (oldest first), and where it may change.

    `boxes` are in fractions of the picture; `mask` is of its size, mode L, and white where it may change.
    """

    picture: Image.Image
    caption: str
    earlier: tuple[Image.Image, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Image.Image | None = None
    ways: tuple[EditWay, ...] = ()


@dataclass(frozen=True, eq=False)
class Order:
    """What is painted: on which ground, the caption as the painter reads it, and where.

    `boxes` are in fractions of the ground, `region` is of its size, mode L, white where it is painted.
    """

    ground: Image.Image
    caption: str
    boxes: tuple[Box, ...]
    region: Image.Image
    seed: int
    restored: int = 0
    """How often pixels of an earlier version were taken."""

    @property
    def whole(self) -> bool:
        """Whether nothing of the picture stays."""
        return self.boxes == (_WHOLE,)


def order_for(dit: DiT, asked: Asked, seed: int) -> Order:
    """Where and by which words the picture comes to show its caption.

    Raises ToolError where nothing says where to paint, or a mask is empty.
    """
    found = None if dit.defaults.open_vocabulary else _looked_at(dit, asked, seed)
    caption = asked.caption if found is None else found.caption
    if asked.mask is not None:
        return _masked(asked.picture, asked.mask, caption, seed)
    if asked.boxes:
        return _boxed(asked.picture, caption, asked.boxes, seed)
    if found is None:
        raise ToolError(
            f"{asked.caption!r} is no scene that {dit.name} can draw: expected subjects, a place and a style"
        )
    if found.repaint is None or "afresh" in asked.ways:
        return _boxed(asked.picture, caption, (_WHOLE,), seed)
    return _retouched(dit, asked, found, seed)


def edited(dit: DiT, order: Order, sampling: Sampling, progress: ProgressCallback, *, preview: bool) -> Image.Image:
    """The order's ground with its region painted anew; outside of that its pixels are its own."""
    if not order.boxes:
        return order.ground.copy()
    frame = framed(order.ground, dit.defaults.width, dit.defaults.height)
    known = None if order.whole else to_tensor(frame)
    mask = None if known is None else outside(order.region, frame.size)
    segment = Segment(*frame.size, known=known, known_mask=mask)
    drawing = Drawing(Row(order.caption, (segment,), order.seed), 0)
    (made,) = sampled_pictures(dit, drawing, sampling, progress, preview=preview).pictures
    inner = resize_to(made.crop(window(order.ground.size, made.size)), *order.ground.size)
    result = order.ground.copy()
    result.paste(inner, (0, 0), order.region)
    return result


def _looked_at(dit: DiT, asked: Asked, seed: int) -> Retouch | None:
    sides = dit.defaults.width, dit.defaults.height
    frames = [to_tensor(framed(picture, *sides)) for picture in (asked.picture, *_versions(asked))]
    reading, *earlier = own_reader().read(torch.stack(frames))
    room = _seen_part(asked, sides)
    return retouch(reading, asked.caption, random.Random(seed), earlier, upright="upright" in asked.ways, room=room)


def _seen_part(asked: Asked, frame: tuple[int, int]) -> PixelBox:
    """Where on the frame something new can stand: in the mask if there is one, never in the bars."""
    left, top, right, bottom = window(asked.picture.size, frame)
    found = asked.mask.point(_TWO_LEVELS).getbbox() if asked.mask is not None else None
    if found is None:
        return left, top, right, bottom
    x1, y1, x2, y2 = (v / side for v, side in zip(found, (*asked.picture.size, *asked.picture.size), strict=True))
    width, height = right - left, bottom - top
    return (
        left + math.floor(x1 * width), top + math.floor(y1 * height),
        left + math.ceil(x2 * width), top + math.ceil(y2 * height),
    )  # fmt: skip


def _versions(asked: Asked) -> list[Image.Image]:
    return [picture for picture in asked.earlier if picture.size == asked.picture.size]


def _retouched(dit: DiT, asked: Asked, found: Retouch, seed: int) -> Order:
    """What comes back is laid on the ground; what is painted anew is ordered."""
    versions = _versions(asked)
    ground = (asked.picture if found.base is None else versions[found.base]).copy()
    frame = dit.defaults.width, dit.defaults.height
    for box, version in found.restored:
        ground.paste(versions[version], (0, 0), _region_of(_on_picture([box], ground.size, frame), ground.size))
    boxes = _on_picture(found.repaint or (), ground.size, frame)
    order = _boxed(ground, found.caption, boxes, seed)
    return replace(order, restored=len(found.restored) + (found.base is not None))


def _boxed(ground: Image.Image, caption: str, boxes: Sequence[Box], seed: int) -> Order:
    return Order(ground, caption, tuple(boxes), _region_of(boxes, ground.size), seed)


def _masked(picture: Image.Image, mask: Image.Image, caption: str, seed: int) -> Order:
    """The mask with its border soft inwards: outside of it nothing is painted."""
    hard = mask.point(_TWO_LEVELS)
    found = hard.getbbox()
    if found is None:
        raise ToolError("the mask marks nothing: expected white where the picture may change; draw it again")
    soft = hard.filter(ImageFilter.GaussianBlur(FEATHER * max(hard.size)))
    return Order(picture, caption, (_fractions(found, picture.size),), ImageChops.darker(hard, soft), seed)


def _region_of(boxes: Sequence[Box], size: tuple[int, int]) -> Image.Image:
    """Mode L, 255 inside the boxes."""
    region = Image.new("L", size)
    for box in boxes:
        corners = [v * side for v, side in zip((box.x1, box.y1, box.x2, box.y2), (*size, *size), strict=True)]
        left, top, right, bottom = map(round, corners)
        if left < right and top < bottom:
            region.paste(255, (left, top, right, bottom))
    return region


def _on_picture(boxes: Sequence[PixelBox], size: tuple[int, int], frame: tuple[int, int]) -> list[Box]:
    """Boxes of the frame in fractions of the picture of `size` that stands in it, as far as they meet it."""
    left, top, right, bottom = window(size, frame)
    found = []
    for box in boxes:
        x1, x2 = (min(max((v - left) / (right - left), 0.0), 1.0) for v in (box[0], box[2]))
        y1, y2 = (min(max((v - top) / (bottom - top), 0.0), 1.0) for v in (box[1], box[3]))
        if x1 < x2 and y1 < y2:
            found.append(Box(x1=x1, y1=y1, x2=x2, y2=y2))
    return found


def _fractions(box: PixelBox, size: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = (v / side for v, side in zip(box, (*size, *size), strict=True))
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)
