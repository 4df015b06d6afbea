"""The operations of `compose`: which sizes come out, from sizes alone, and the pixels.

Pure: pictures in, pictures out. Sizes are pixels, width first. Boxes are pixels (left, top, right, bottom), except for
a `Box`, which is in fractions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageFont

from chatdit.tools.compose import (
    Anchor,
    Crop,
    Flip,
    Grid,
    Joining,
    OneByOne,
    Operation,
    Pad,
    Paste,
    Resize,
    Rotate,
    Size,
    Split,
    Stitch,
)
from chatdit.tools.fitting import PixelBox, crop_box, fit_to, pad_to, resize_to
from chatdit.tools.panels import MAX_PANELS, layout_for
from chatdit.tools.types import Box

_POINTS: dict[Anchor, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "left": (0, 0.5),
    "right": (1, 0.5),
    "top": (0.5, 0),
    "bottom": (0.5, 1),
}
_CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
_BANDS = 18, 96
"""Least and greatest height of a label's band in pixels; its text has two thirds of that."""
_SMALLEST_TEXT = 8
_SPELLINGS = {"–": "-", "—": "-", "×": "x", "ß": "ss"}


def sizes_of(operation: Operation, given: Sequence[Size]) -> tuple[Size, ...]:
    """Width and height of each picture that comes out, in order."""
    match operation:
        case Grid() | Stitch():
            return (sheet_of(operation, given).size,)
        case Split():
            return tuple(extent(part) for part in _parts(operation, given[0]))
        case Paste():
            return (given[0],)
        case _:
            return tuple(_size_of_one(operation, size) for size in given)


def composed(
    operation: Operation, given: Sequence[Size], pictures: Iterable[Image.Image], mask: Image.Image | None = None
) -> Iterator[Image.Image]:
    """The pictures (RGB) that come out; `pictures` of sizes `given` are taken one by one, as they are needed.

    `mask` (L) is a paste's. Expects what `compose.problems` finds no fault with.
    """
    match operation:
        case Grid() | Stitch():
            yield _joined(operation, given, pictures)
        case Split():
            (picture,) = pictures
            yield from (picture.crop(part) for part in _parts(operation, picture.size))
        case Paste():
            ground, laid = pictures
            yield _pasted(operation, ground, laid, mask)
        case _:
            yield from (_one(operation, picture) for picture in pictures)


def written_labels(operation: Grid, given: Sequence[Size]) -> tuple[str, ...]:
    """Each label as it will stand there: in the font's letters, and cut where its picture is too narrow."""
    bands = sheet_of(operation, given).bands
    return tuple(_line(label, band)[0] for label, band in zip(operation.labels, bands, strict=True))


def pixel_box(box: Box, size: Size) -> PixelBox:
    """`box` on a picture of `size`, to the nearest pixels; empty where it selects less than one."""
    width, height = size
    return round(box.x1 * width), round(box.y1 * height), round(box.x2 * width), round(box.y2 * height)


@dataclass(frozen=True)
class Sheet:
    """Where pictures stand on one that joins them, each brought to its box's size."""

    size: Size
    boxes: tuple[PixelBox, ...]
    bands: tuple[PixelBox, ...] = ()
    """Where the labels are written."""


def sheet_of(operation: Joining, given: Sequence[Size]) -> Sheet:
    """The geometry of a grid or a stitch."""
    if isinstance(operation, Grid):
        return _grid(operation, given)
    if operation.direction == "horizontal":
        return _strip(operation, given)
    row = _strip(operation, [(height, width) for width, height in given])
    width, height = row.size
    return Sheet((height, width), tuple((top, left, bottom, right) for left, top, right, bottom in row.boxes))


def _grid(operation: Grid, given: Sequence[Size]) -> Sheet:
    sizes = [given[0]] * len(given) if operation.fit else list(given)
    widths, heights, gap = [width for width, _ in sizes], [height for _, height in sizes], operation.gap
    band = _band(max(heights)) if operation.labels else 0
    columns = operation.columns or _columns(len(sizes), (max(widths) + gap) / (max(heights) + band + gap))
    columns = min(columns, len(sizes))
    rows = -(-len(sizes) // columns)
    if max(widths) - min(widths) <= 1 and max(heights) - min(heights) <= 1:
        across = [max(widths[j::columns]) for j in range(columns)]
        down = [max(heights[i * columns : (i + 1) * columns]) for i in range(rows)]
    else:
        across, down = [max(widths)] * columns, [max(heights)] * rows
    lefts = list(accumulate((width + gap for width in across), initial=gap))
    tops = list(accumulate((height + band + gap for height in down), initial=gap))
    boxes, bands = [], []
    for i, (width, height) in enumerate(sizes):
        row, column = divmod(i, columns)
        left, bottom = lefts[column], tops[row] + down[row]
        x, y = left + (across[column] - width) // 2, tops[row] + (down[row] - height) // 2
        boxes.append((x, y, x + width, y + height))
        bands.append((left, bottom, left + across[column], bottom + band))
    return Sheet((lefts[-1], tops[-1]), tuple(boxes), tuple(bands) if band else ())


def _columns(count: int, aspect: float) -> int:
    if count <= MAX_PANELS:
        return layout_for(count, aspect).columns
    return max(1, min(count, round(sqrt(count / aspect))))


def _strip(operation: Stitch, given: Sequence[Size]) -> Sheet:
    """A row; a column is the row of the pictures with their sides exchanged."""
    height = given[0][1] if operation.match == "first" else max(height for _, height in given)
    widths = [max(1, round(width * height / own)) for width, own in given]
    lefts = list(accumulate((width + operation.gap for width in widths), initial=0))
    boxes = tuple((left, 0, left + width, height) for left, width in zip(lefts, widths, strict=False))
    return Sheet((lefts[-1] - operation.gap, height), boxes)


def _joined(operation: Joining, given: Sequence[Size], pictures: Iterable[Image.Image]) -> Image.Image:
    sheet, colour = sheet_of(operation, given), _rgb(operation.background)
    bring = fit_to if isinstance(operation, Grid) else resize_to
    canvas = Image.new("RGB", sheet.size, colour)
    for picture, box in zip(pictures, sheet.boxes, strict=True):
        canvas.paste(bring(picture, *extent(box)), box[:2])
    if isinstance(operation, Grid):
        for label, band in zip(operation.labels, sheet.bands, strict=True):
            _write(canvas, label, band, dark=_brightness(colour) > 127)
    return canvas


def _parts(operation: Split, size: Size) -> list[PixelBox]:
    xs = [j * size[0] // operation.columns for j in range(operation.columns + 1)]
    ys = [i * size[1] // operation.rows for i in range(operation.rows + 1)]
    rows, columns = range(operation.rows), range(operation.columns)
    return [(xs[j], ys[i], xs[j + 1], ys[i + 1]) for i in rows for j in columns]


def _size_of_one(operation: OneByOne, size: Size) -> Size:
    match operation:
        case Crop():
            return extent(_cut(operation, size))
        case Pad():
            return _padded_size(operation, size)
        case Resize():
            return _resized(operation, size)
        case Rotate(degrees=90 | 270):
            return size[1], size[0]
        case _:
            return size


def _one(operation: OneByOne, picture: Image.Image) -> Image.Image:
    match operation:
        case Crop():
            return picture.crop(_cut(operation, picture.size))
        case Pad():
            return _padded(picture, _padded_size(operation, picture.size), operation.fill)
        case Resize():
            return resize_to(picture, *_resized(operation, picture.size))
        case Rotate():
            return picture.transpose(_CLOCKWISE[operation.degrees])
        case Flip(direction="horizontal"):
            return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case Flip():
            return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def _cut(operation: Crop, size: Size) -> PixelBox:
    if operation.box is not None:
        return pixel_box(operation.box, size)
    return _window(size, operation.aspect or size[0] / size[1], operation.anchor)


def _window(size: Size, aspect: float, anchor: Anchor = "centre") -> PixelBox:
    """Largest window of `aspect` in `size`, as near to the anchor as it goes."""
    x, y = (part * side for part, side in zip(_POINTS[anchor], size, strict=True))
    # at most one pixel a side, so that every window holds it
    return crop_box(size, (floor(x), floor(y), ceil(x), ceil(y)), aspect) or (0, 0, *size)


def _resized(operation: Resize, size: Size) -> Size:
    width, height = size
    if operation.scale is not None:
        return max(1, round(width * operation.scale)), max(1, round(height * operation.scale))
    return (
        operation.width or max(1, round(width * (operation.height or height) / height)),
        operation.height or max(1, round(height * (operation.width or width) / width)),
    )


def _padded_size(operation: Pad, size: Size) -> Size:
    width, height = size
    if operation.aspect is None:
        return operation.width or width, operation.height or height
    return max(width, round(height * operation.aspect)), max(height, round(width / operation.aspect))


def _padded(picture: Image.Image, size: Size, fill: str) -> Image.Image:
    inner = resize_to(picture, *_inside(picture.size, size, most=1))
    if fill == "edge":
        return pad_to(pad_to(inner, size[0], inner.height), *size)  # it fills one side, then the other
    ground = _out_of_focus(picture, size) if fill == "blur" else Image.new("RGB", size, _rgb(fill))
    ground.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return ground


def _out_of_focus(picture: Image.Image, size: Size) -> Image.Image:
    cover = picture.crop(_window(picture.size, size[0] / size[1]))
    return resize_to(cover, *size).filter(ImageFilter.GaussianBlur(max(size) / 24))


def _inside(size: Size, limit: Size, most: float = float("inf")) -> Size:
    """`size` scaled by at most `most`, so that it lies within `limit`."""
    scale = min(most, limit[0] / size[0], limit[1] / size[1])
    return min(limit[0], max(1, round(size[0] * scale))), min(limit[1], max(1, round(size[1] * scale)))


def _pasted(operation: Paste, ground: Image.Image, laid: Image.Image, mask: Image.Image | None) -> Image.Image:
    place = pixel_box(operation.box, ground.size)
    window = (0, 0, *laid.size)
    if operation.fit == "cover":
        window = _window(laid.size, extent(place)[0] / extent(place)[1])
    elif operation.fit == "inside":
        place = _centred(_inside(laid.size, extent(place)), place)
    size = extent(place)
    opacity = Image.new("L", ground.size, 0)
    opacity.paste(255, place)
    if mask is not None and operation.mask_of == "first":
        opacity = ImageChops.darker(opacity, mask)
    elif mask is not None:
        # Lanczos would ring: a trace of the second picture beyond the edges of its mask
        opacity.paste(mask.crop(window).resize(size, Image.Resampling.BILINEAR), place)
    if operation.feather:
        opacity = _faded(opacity, operation.feather)
    result = ground.copy()
    result.paste(resize_to(laid.crop(window), *size), place, opacity.crop(place))
    return result


def _centred(size: Size, place: PixelBox) -> PixelBox:
    left = place[0] + (place[2] - place[0] - size[0]) // 2
    top = place[1] + (place[3] - place[1] - size[1]) // 2
    return left, top, left + size[0], top + size[1]


def _faded(opacity: Image.Image, pixels: int) -> Image.Image:
    """`opacity` (L) rising linearly over `pixels` from where it becomes zero, and not from the picture's borders."""
    found = opacity.getbbox()
    if found is None:
        return opacity
    box = (
        max(0, found[0] - 1),
        max(0, found[1] - 1),
        min(opacity.width, found[2] + 1),
        min(opacity.height, found[3] + 1),
    )
    levels = np.asarray(opacity.crop(box))
    inside = levels > 0
    depth = inside.astype(np.uint16)
    for _ in range(pixels):
        inside = _eroded(inside)
        depth += inside
    result = opacity.copy()
    result.paste(Image.fromarray((levels * (depth / (pixels + 1))).round().astype(np.uint8)), box)
    return result


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) without the pixels beside False; what lies beyond the borders counts as what lies at them."""
    wide = np.pad(inside, ((0, 0), (1, 1)), "edge")
    across = wide[:, :-2] & wide[:, 1:-1] & wide[:, 2:]
    high = np.pad(across, ((1, 1), (0, 0)), "edge")
    return high[:-2] & high[1:-1] & high[2:]


def _band(height: int) -> int:
    return min(_BANDS[1], max(_BANDS[0], height // 12))


def _write(canvas: Image.Image, label: str, band: PixelBox, *, dark: bool) -> None:
    text, font = _line(label, band)
    middle = (band[0] + band[2]) / 2, (band[1] + band[3]) / 2
    ImageDraw.Draw(canvas).text(middle, text, fill="black" if dark else "white", font=font, anchor="mm")


def _line(label: str, band: PixelBox) -> tuple[str, ImageFont.FreeTypeFont]:
    """What can be written of `label` in `band`, and the font: smaller first, then cut."""
    text, (width, height) = _spelled(label), extent(band)
    for size in range(height * 2 // 3, _SMALLEST_TEXT - 1, -1):
        if _font(size).getlength(text) <= width:
            return text, _font(size)
    font = _font(_SMALLEST_TEXT)
    cuts = (text[:n].rstrip() + "..." for n in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if font.getlength(cut) <= width), ""), font


def _spelled(label: str) -> str:
    """`label` on one line, in letters that the font has."""
    return " ".join("".join(map(_letter, label)).split())


@cache
def _letter(letter: str) -> str:
    if letter.isspace():
        return " "
    plain = _SPELLINGS.get(letter) or unicodedata.normalize("NFKD", letter)
    return next((way for way in (letter, "".join(filter(_has, plain))) if way and all(map(_has, way))), "?")


def _has(letter: str) -> bool:
    def shape(one: str) -> bytes:
        drawn = Image.new("L", (2 * _BANDS[0], 2 * _BANDS[0]))
        ImageDraw.Draw(drawn).text((0, 0), one, fill=255, font=_font(_BANDS[0]))
        return drawn.tobytes()

    return shape(letter) != shape("\uffff")  # which no font has: it is drawn as the box for the unknown


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # it is, where a size is named
    return font


def extent(box: PixelBox) -> Size:
    """At least one pixel a side: what is smaller is refused before anything is made of it."""
    return max(1, box[2] - box[0]), max(1, box[3] - box[1])


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def _brightness(colour: tuple[int, int, int]) -> float:
    """0 to 255 (Rec. 601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
