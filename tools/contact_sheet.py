"""The contact sheet: a whole set on one picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from chatdit.tools.panels import cells, layout_for

_GAP = 8


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures (1 to 12, RGB) on white, unscaled, in reading order, each centred in its cell."""
    width, height = max(p.width for p in pictures) + _GAP, max(p.height for p in pictures) + _GAP
    layout = layout_for(len(pictures), width / height)
    sheet = Image.new("RGB", (layout.columns * width + _GAP, layout.rows * height + _GAP), "white")
    for picture, (x, y) in zip(pictures, cells(layout, width, height), strict=True):
        sheet.paste(picture, (x + (width + _GAP - picture.width) // 2, y + (height + _GAP - picture.height) // 2))
    return sheet
