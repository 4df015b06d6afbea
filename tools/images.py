"""Pictures from outside: read whatever a person hands over, or say in one line why not."""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chatdit.tools.types import ToolError

MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 256 * 2**20
# Named one by one: Pillow would also hand EPS to Ghostscript and open dozens of formats nobody sends.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
_FORMAT_WORDS = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or PPM"


class LoadedPicture(NamedTuple):
    """RGB pixels, upright, and what had to be changed to get them, in words."""

    image: Image.Image
    warnings: tuple[str, ...]


def load_picture(source: str | Path | bytes) -> LoadedPicture:
    """Read a picture file, or its bytes, as upright 8-bit RGB without metadata.

    Of an animation or a multi-page file the first frame is taken, with a warning. Transparency is
    laid on white; CMYK and 16-bit pixels are converted, with a warning. Raises ToolError, one line,
    for anything that is missing, empty, truncated, not a picture, or larger than MAX_PIXELS.
    """
    name, data = _read(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata; the limits here are our own
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise _too_large(name, f"more than {MAX_PIXELS // 10**6} million") from None
        except UnidentifiedImageError:
            raise ToolError(f"{name} is not a picture: expected {_FORMAT_WORDS}; convert it and attach that") from None
        except Exception as error:  # decoders raise anything on hostile bytes
            raise _damaged(name, error) from error
        with image:
            _check_size(name, image)
            return _decoded(name, image, [*_frames_note(name, image), *_depth_note(name, image)])


def _read(source: str | Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "the attached picture", source
        if len(data) > MAX_FILE_BYTES:
            raise _too_heavy(name, len(data))
    else:
        name = _shown(str(source))
        data = _read_file(name, Path(source))
    if not data:
        raise ToolError(f"{name} is empty (0 bytes): expected {_FORMAT_WORDS}; save the picture again")
    return name, data


def _shown(path: str) -> str:
    # quoted, so that a newline in a file name stays on the line; the end of a path says most
    return repr(path if len(path) <= 160 else "..." + path[-157:])


def _read_file(name: str, path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ToolError(f"{name} is a folder: expected a picture file; name one of the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"{name} is a device or pipe: expected a picture file; save it to a file first")
        if status.st_size > MAX_FILE_BYTES:
            raise _too_heavy(name, status.st_size)
        return path.read_bytes()
    except FileNotFoundError:
        raise ToolError(f"{name} does not exist: expected a picture file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ToolError(f"cannot read {name} ({reason}): expected a readable picture file; check it") from error


def _check_size(name: str, image: Image.Image) -> None:
    if image.width < 1 or image.height < 1:
        raise ToolError(f"{name} is {image.width}x{image.height} pixels: expected at least 1x1; save the picture again")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f"{image.width}x{image.height}")


def _frames_note(name: str, image: Image.Image) -> list[str]:
    try:
        frames = getattr(image, "n_frames", 1)
        image.seek(0)
    except Exception as error:
        raise _damaged(name, error) from error
    # a phone's JPEG may carry a second, small picture (MPO): that is not an animation
    if frames > 1 and image.format != "MPO":
        return [f"{name} has {frames} frames: the first one is used"]
    return []


def _depth_note(name: str, image: Image.Image) -> list[str]:
    # Pillow reduces 16-bit RGB on its own and says so only in the decoder's arguments
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.mode == "I" or ";16" in image.mode + raw:
        return [f"{name} has 16 bits a channel: reduced to 8"]
    return []


def _decoded(name: str, image: Image.Image, notes: list[str]) -> LoadedPicture:
    try:
        image.load()
        image = _upright(name, image, notes)
        picture = _to_rgb(name, image, notes)
    except (ToolError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    return LoadedPicture(Image.frombytes("RGB", picture.size, picture.tobytes()), tuple(notes))


def _upright(name: str, image: Image.Image, notes: list[str]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not make the pixels unusable
        notes.append(f"{name} has damaged EXIF data: its orientation is ignored")
        return image


def _to_rgb(name: str, image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode == "CMYK":
        notes.append(f"{name} is CMYK: converted to RGB, colours may shift")
    elif image.mode[0] in "IF":
        image = _eight_bit(name, image)
    if image.has_transparency_data:
        return _on_white(name, image.convert("RGBA"), notes)
    return image.convert("RGB")


def _eight_bit(name: str, image: Image.Image) -> Image.Image:
    levels = np.asarray(image, dtype=np.float64)
    if not (np.isfinite(levels).all() and levels.min() >= 0 and levels.max() <= 65535) or image.mode == "F":
        raise ToolError(f"{name} has {image.mode} pixels: expected 8 or 16 bits a channel; convert it to 8-bit PNG")
    return Image.fromarray((levels / 257).round().astype(np.uint8))


def _on_white(name: str, image: Image.Image, notes: list[str]) -> Image.Image:
    lowest, _ = image.getchannel("A").getextrema()
    if lowest != 255:
        notes.append(f"{name} has transparent parts: laid on white")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _damaged(name: str, error: Exception) -> ToolError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ToolError(f"{name} is damaged or cut short ({reason}): expected a whole picture; save or download it again")


def _too_large(name: str, size: str) -> ToolError:
    return ToolError(f"{name} has {size} pixels: expected at most {MAX_PIXELS // 10**6} million; scale it down first")


def _too_heavy(name: str, size: int) -> ToolError:
    return ToolError(f"{name} is {size} bytes: expected at most {MAX_FILE_BYTES}; scale the picture down first")
