"""Pictures to one canvas and back, and the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from chatdit.tools.panels import Layout, cells, layout_for

_GAP = 8


def compose(pictures: Sequence[Image.Image | None], layout: Layout, width: int, height: int) -> Image.Image:
    """A canvas of `layout` with each picture in its cell; None and empty cells stay mid-grey.

    Every picture must already be (width, height); raises ValueError otherwise.
    """
    if len(pictures) != layout.count:
        raise ValueError(f"{len(pictures)} pictures for {layout.count} panels: expected one each")
    canvas = Image.new("RGB", (layout.columns * width, layout.rows * height), (127, 127, 127))
    for picture, place in zip(pictures, cells(layout, width, height), strict=True):
        if picture is None:
            continue
        if picture.size != (width, height):
            raise ValueError(f"a picture of {picture.size}: expected {width, height}; fit it to its panel first")
        canvas.paste(picture, place)
    return canvas


def split(canvas: Image.Image, layout: Layout) -> list[Image.Image]:
    """The panels of a canvas in reading order, empty cells dropped."""
    width, height = canvas.width // layout.columns, canvas.height // layout.rows
    return [canvas.crop((x, y, x + width, y + height)) for x, y in cells(layout, width, height)]


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures on one white sheet, unscaled, in reading order, each centred in its cell."""
    width, height = max(p.width for p in pictures) + _GAP, max(p.height for p in pictures) + _GAP
    layout = layout_for(len(pictures), width / height)
    sheet = Image.new("RGB", (layout.columns * width + _GAP, layout.rows * height + _GAP), "white")
    for picture, (x, y) in zip(pictures, cells(layout, width, height), strict=True):
        sheet.paste(picture, (x + (width + _GAP - picture.width) // 2, y + (height + _GAP - picture.height) // 2))
    return sheet
