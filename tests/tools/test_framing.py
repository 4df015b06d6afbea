"""Pictures on a painter's frame, and where they stand there."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from chatdit.tools.framing import framed, outside, window


@pytest.mark.parametrize(
    ("inner", "frame", "place"),
    [
        ((256, 256), (256, 256), (0, 0, 256, 256)),
        ((640, 400), (256, 256), (0, 48, 256, 208)),
        ((100, 400), (256, 256), (96, 0, 160, 256)),
        ((260, 256), (256, 256), (0, 0, 256, 256)),
        ((1, 1000), (64, 64), (31, 0, 32, 64)),
    ],
)
def test_a_picture_stands_whole_in_the_middle(
    inner: tuple[int, int], frame: tuple[int, int], place: tuple[int, int, int, int]
) -> None:
    assert window(inner, frame) == place
    picture = Image.new("RGB", inner, "red")
    on = framed(picture, *frame)
    assert on.size == frame and on.crop(place).getcolors() == [
        ((place[2] - place[0]) * (place[3] - place[1]), (255, 0, 0))
    ]


def test_what_is_black_and_the_bars_are_outside() -> None:
    region = Image.new("L", (640, 400))
    region.paste(3, (320, 0, 640, 400))
    kept = outside(region, (256, 256))
    expected = torch.ones(256, 256, dtype=torch.bool)
    expected[48:208, 128:] = False
    assert torch.equal(kept, expected)
