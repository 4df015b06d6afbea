"""Contact sheets show every picture whole, in reading order, on white."""

from __future__ import annotations

import pytest
from PIL import Image

from chatdit.tools.contact_sheet import contact_sheet
from chatdit.tools.panels import MAX_PANELS


def plain(index: int, size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (index * 20, 255 - index * 20, index))


def areas(sheet: Image.Image) -> dict[object, int]:
    return {colour: count for count, colour in sheet.getcolors(1000) or []}


@pytest.mark.parametrize("count", range(1, MAX_PANELS + 1))
def test_every_picture_is_there_whole(count: int) -> None:
    sizes = [(40, 40), (40, 20), (10, 40)]
    pictures = [plain(i, sizes[i % 3]) for i in range(count)]
    found = areas(contact_sheet(pictures))
    assert [found[p.getpixel((0, 0))] for p in pictures] == [p.width * p.height for p in pictures]
    assert len(found) == count + 1


def test_pictures_stand_in_reading_order_with_a_white_frame() -> None:
    sheet = contact_sheet([plain(i, (30, 30)) for i in range(4)])
    row = [sheet.getpixel((x, 20)) for x in range(sheet.width)]
    assert [c for c in dict.fromkeys(row) if c != (255, 255, 255)] == [(0, 255, 0), (20, 235, 1)]
    assert {sheet.getpixel((x, 0)) for x in range(sheet.width)} == {(255, 255, 255)}
