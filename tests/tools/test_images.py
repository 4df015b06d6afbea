"""load_picture: every kind of bad or odd picture, each with pixels checked or one clear line."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chatdit.tools import images
from chatdit.tools.images import load_picture
from chatdit.tools.types import ToolError


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 32, height: int = 24) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 7 % 256, y * 9 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8))


def refused(source: str | Path | bytes) -> str:
    with pytest.raises(ToolError) as caught:
        load_picture(source)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    assert "expected" in text and ";" in text, "a message holds the expectation and the remedy"
    return text


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = png_chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + rows + png_chunk(b"IEND", b"")


def test_a_plain_picture_comes_through_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "a b.png"
    gradient().save(path)
    for source in (path, str(path), path.read_bytes()):
        picture, warnings = load_picture(source)
        assert picture.mode == "RGB" and picture.info == {} and warnings == ()
        assert picture.tobytes() == gradient().tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "AVIF"])
def test_common_formats_are_read(kind: str) -> None:
    picture, warnings = load_picture(encoded(Image.new("RGB", (40, 30), (200, 40, 90)), kind))
    assert picture.size == (40, 30) and warnings == ()
    assert np.abs(np.asarray(picture, dtype=int) - (200, 40, 90)).max() <= 12


def test_missing_folder_empty_and_odd_paths(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "no such\nfile.png")
    assert "is a folder" in refused(tmp_path)
    assert "cannot read" in refused("nul\0byte.png")
    (tmp_path / "empty.png").touch()
    assert "is empty (0 bytes)" in refused(tmp_path / "empty.png")
    assert "is empty (0 bytes)" in refused(b"")
    assert "cannot read" in refused(tmp_path / ("long" * 200))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "device or pipe" in refused(tmp_path / "pipe.png")


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is text",
        b"%PDF-1.7 ...",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        pickle.dumps([1]),
        b"\0" * 64,
    ],
)
def test_what_is_not_a_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.png").write_bytes(data)
    assert "is not a picture" in refused(tmp_path / "x.png")


def test_eps_never_reaches_ghostscript() -> None:
    assert "is not a picture" in refused(encoded(gradient(), "EPS"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_pictures(kind: str, share: float) -> None:
    data = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    text = refused(data[: int(len(data) * share)])
    assert "damaged or cut short" in text or "is not a picture" in text


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_give_a_picture_or_one_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = ("PNG", "JPEG", "GIF", "TIFF", "WEBP")[seed % 5]
    data = bytearray(encoded(gradient(), kind))
    for at in rng.integers(8, len(data), 6):
        data[at] = rng.integers(0, 256)
    try:
        picture, _ = load_picture(bytes(data))
    except ToolError as error:
        assert "\n" not in str(error)
    else:
        assert picture.mode == "RGB" and picture.width * picture.height <= images.MAX_PIXELS


@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 10_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_decompression_bomb_is_refused_before_decoding(size: tuple[int, int]) -> None:
    assert "at most 64 million" in refused(png_of_size(*size))


def test_zero_pixels_are_refused() -> None:
    text = refused(png_of_size(0, 10))
    assert "0x10" in text or "damaged" in text or "is not a picture" in text


def test_a_file_too_heavy_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 50)
    (tmp_path / "a.png").write_bytes(encoded(gradient(), "PNG"))
    assert "at most 50" in refused(tmp_path / "a.png")
    assert "at most 50" in refused(b"x" * 51)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_used_with_a_warning(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    picture, warnings = load_picture(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert len(warnings) == 1 and "3 frames: the first one is used" in warnings[0]
    red, green, blue = np.asarray(picture).reshape(-1, 3).mean(axis=0)
    assert red > 240 and green < 15 and blue < 15


def test_the_second_picture_of_a_phone_jpeg_is_no_animation() -> None:
    data = encoded(Image.new("RGB", (20, 20), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    picture, warnings = load_picture(data)
    assert picture.size == (20, 20) and warnings == ()


def test_cmyk_becomes_rgb() -> None:
    picture, warnings = load_picture(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert "CMYK" in warnings[0]
    assert np.abs(np.asarray(picture, dtype=int) - (255, 0, 0)).max() <= 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_range(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    picture, warnings = load_picture(encoded(Image.fromarray(ramp), kind))
    assert "16 bits" in warnings[0] and len(warnings) == 1
    levels = np.asarray(picture)[..., 0].ravel().astype(int)
    assert np.abs(levels - np.arange(256)).max() <= 1


def test_sixteen_bit_rgb_png_is_reduced_with_a_warning() -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    pixels = struct.pack(">6H", 65535, 0, 32896, 257 * 10, 257 * 20, 257 * 30)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" + pixels)) + png_chunk(b"IEND", b"")
    picture, warnings = load_picture(b"\x89PNG\r\n\x1a\n" + body)
    assert "16 bits" in warnings[0]
    assert np.asarray(picture).tolist() == [[[255, 0, 128], [10, 20, 30]]]


def test_float_pixels_are_refused() -> None:
    assert "expected 8 or 16 bits" in refused(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    picture, warnings = load_picture(encoded(image, "PNG"))
    assert "laid on white" in warnings[0]
    assert [picture.getpixel((x, 0)) for x in range(3)] == [(255, 255, 255), (127, 127, 127), (255, 0, 0)]


def test_an_opaque_alpha_channel_is_dropped_in_silence() -> None:
    assert load_picture(encoded(gradient().convert("RGBA"), "PNG")).warnings == ()


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "PA"])
def test_other_modes(mode: str) -> None:
    image = Image.new("L", (8, 8), 255).convert("LA").convert(mode) if mode != "PA" else gradient().convert("PA")
    kind = "TIFF" if mode == "PA" else "PNG"
    assert load_picture(encoded(image, kind)).image.mode == "RGB"


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.putpixel((0, 0), 0)
    picture, warnings = load_picture(encoded(image, "PNG", transparency=0))
    assert picture.getpixel((0, 0)) == (255, 255, 255) and picture.getpixel((3, 3)) == (10, 200, 30)
    assert "transparent" in warnings[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    image = Image.new("RGB", (64, 32), "white")
    image.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture, _ = load_picture(encoded(image, "PNG", exif=exif))
    corner = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    assert picture.size == ((64, 32) if orientation <= 4 else (32, 64))
    at = (corner[0] * (picture.width - 1), corner[1] * (picture.height - 1))
    assert picture.getpixel(at) == (255, 0, 0)
