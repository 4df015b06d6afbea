"""Fitting references: what a picture shows is never cut away."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from chatdit.tools.fitting import content_box, crop_box, fit_to, pad_to, resize_to

RED = (220, 20, 20)


def thing_on_plain(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", size, (240, 240, 235))
    ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=RED)
    return image


def red_box(image: Image.Image) -> tuple[int, int, int, int]:
    pixels = np.asarray(image, dtype=int)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 110)
    ys, xs = np.nonzero(red)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_content_box_of_a_thing_on_a_plain_ground() -> None:
    assert content_box(thing_on_plain((100, 60), (70, 10, 95, 50))) == (70, 10, 95, 50)


def test_a_photo_and_an_empty_picture_are_content_all_over() -> None:
    assert content_box(photo(50, 30)) == (0, 0, 50, 30)
    assert content_box(Image.new("RGB", (50, 30), "teal")) == (0, 0, 50, 30)


def test_noise_of_a_jpeg_does_not_count_as_content() -> None:
    pixels = np.asarray(thing_on_plain((100, 60), (40, 20, 60, 40)), dtype=int)
    noisy = (pixels + np.random.default_rng(1).integers(-8, 9, pixels.shape)).clip(0, 255).astype(np.uint8)
    assert content_box(Image.fromarray(noisy)) == (40, 20, 60, 40)


@pytest.mark.parametrize("content", [(0, 0, 20, 20), (80, 0, 100, 60), (40, 10, 60, 50), (5, 5, 64, 9)])
def test_a_crop_holds_all_of_the_content(content: tuple[int, int, int, int]) -> None:
    box = crop_box((100, 60), content, 1.0)
    assert box is not None
    left, top, right, bottom = box
    assert right - left == bottom - top == 60
    assert left >= 0 and top >= 0 and right <= 100 and bottom <= 60
    assert left <= content[0] and top <= content[1] and right >= content[2] and bottom >= content[3]


def test_no_crop_when_the_content_is_too_long_for_it() -> None:
    assert crop_box((100, 60), (10, 20, 80, 40), 1.0) is None
    assert crop_box((60, 100), (10, 5, 40, 95), 1.0) is None


@pytest.mark.parametrize("target", [(64, 64), (128, 64), (48, 96), (200, 40), (32, 160)])
@pytest.mark.parametrize("corner", [(0, 0), (130, 0), (65, 40), (130, 80)])
def test_a_thing_anywhere_survives_whole_at_any_shape(target: tuple[int, int], corner: tuple[int, int]) -> None:
    x, y = corner
    image = thing_on_plain((160, 120), (x, y, x + 30, y + 40))
    fitted = fit_to(image, *target)
    assert fitted.size == target
    left, top, right, bottom = red_box(fitted)
    assert (right - left) / (bottom - top) == pytest.approx(30 / 40, rel=0.25), "neither cut nor stretched"


@pytest.mark.parametrize("padding", ["edge", "blur"])
@pytest.mark.parametrize("target", [(90, 30), (30, 90), (64, 64)])
def test_padding_keeps_every_pixel_of_the_picture(padding: str, target: tuple[int, int]) -> None:
    image = photo(60, 60)
    padded = pad_to(image, *target, "edge" if padding == "edge" else "blur")
    side = min(target)
    left, top = (target[0] - side) // 2, (target[1] - side) // 2
    assert padded.size == target
    assert padded.crop((left, top, left + side, top + side)).tobytes() == resize_to(image, side, side).tobytes()


def test_edge_bars_have_the_median_colour_of_their_own_edge() -> None:
    image = Image.new("RGB", (20, 20), "blue")
    image.paste("lime", (10, 0, 20, 20))
    image.paste("red", (0, 0, 2, 8))
    wide = pad_to(image, 60, 20)
    assert wide.getpixel((0, 2)) == (0, 0, 255) and wide.getpixel((59, 15)) == (0, 255, 0)
    image = image.rotate(90)
    tall = pad_to(image, 20, 60)
    assert tall.getpixel((5, 0)) == (0, 255, 0) and tall.getpixel((5, 59)) == (0, 0, 255)


def test_blurred_bars_are_smoother_than_the_picture() -> None:
    padded = np.asarray(pad_to(photo(60, 60), 180, 60, "blur"), dtype=float)
    assert padded[:, :50].std() < 0.4 * padded[:, 65:115].std()


def test_extreme_shapes_and_a_single_pixel() -> None:
    assert fit_to(photo(1, 1), 64, 32).size == (64, 32)
    assert fit_to(photo(1000, 1), 32, 32).size == (32, 32)
    assert fit_to(photo(1, 1000), 64, 32).size == (64, 32)


def test_the_same_size_is_the_same_picture() -> None:
    assert fit_to(photo(40, 30), 40, 30).tobytes() == photo(40, 30).tobytes()
