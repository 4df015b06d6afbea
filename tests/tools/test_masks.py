"""Which pictures are masks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from chatdit.tools.masks import looks_like_mask


def _disc(background: str = "black", fill: str = "white") -> Image.Image:
    picture = Image.new("RGB", (96, 64), background)
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill=fill)
    return picture


def _as_jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=85)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize(
    "picture", [_disc(), _disc("white", "black"), _as_jpeg(_disc().resize((384, 256))), _disc().convert("L")]
)
def test_black_and_white_is_a_mask(picture: Image.Image) -> None:
    assert looks_like_mask(picture)


@pytest.mark.parametrize(
    "picture",
    [
        _disc("black", "black"),
        _disc("white", "white"),
        _disc("black", "red"),
        _disc("grey", "white"),
        Image.fromarray(np.linspace(0, 255, 96 * 64).reshape(64, 96).astype(np.uint8)),
    ],
)
def test_anything_else_is_not(picture: Image.Image) -> None:
    assert not looks_like_mask(picture)
