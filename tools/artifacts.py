"""Content-addressed blobs: every picture, mask and JSON value under the SHA-256 of its bytes.

Layout: `<root>/<first two digits>/<sha256>.<png|json>`. A blob appears whole or not at all, and a
sound blob is never written again.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import JsonValue

from chatdit.tools.types import ImageRef, MaskRef, ToolError

Kind = Literal["png", "json"]
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


class ArtifactStore:
    """Blobs under one folder. Several processes may share it: writes are atomic, reads verify."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_image(self, image: Image.Image) -> ImageRef:
        """Store an RGB picture as a PNG without metadata; equal pixels give the same ref.

        Raises ToolError when the picture is not RGB or the disk takes no more.
        """
        if image.mode != "RGB":
            raise ToolError(f"cannot store a picture of mode {image.mode}: expected RGB; read it with load_picture")
        return ImageRef(sha256=self._put(png_bytes(image), "png"), width=image.width, height=image.height)

    def open_image(self, ref: ImageRef) -> Image.Image:
        """The RGB pixels of `ref`, checked against its hash and size; raises ToolError otherwise."""
        with Image.open(io.BytesIO(self._get(ref.sha256, "png")), formats=("PNG",)) as image:
            picture = image.convert("RGB")
        if picture.size != (ref.width, ref.height):
            raise ToolError(
                f"picture {ref.sha256[:12]} is {picture.width}x{picture.height}: the plan or history says "
                f"{ref.width}x{ref.height}; correct the size there"
            )
        return picture

    def put_mask(self, mask: Image.Image) -> MaskRef:
        """Store a mask of one channel of 8 bits as a PNG; equal pixels give the same ref.

        Raises ToolError when the mask is not of mode L or the disk takes no more.
        """
        if mask.mode != "L":
            raise ToolError(f"cannot store a mask of mode {mask.mode}: expected L; convert it to one channel of 0..255")
        return MaskRef(sha256=self._put(png_bytes(mask), "png"), width=mask.width, height=mask.height)

    def open_mask(self, ref: MaskRef) -> Image.Image:
        """The levels of `ref`, mode L, checked against its hash, mode and size; raises ToolError otherwise."""
        with Image.open(io.BytesIO(self._get(ref.sha256, "png")), formats=("PNG",)) as image:
            image.load()
            mask = image.copy()
        if mask.mode != "L":
            raise ToolError(
                f"artifact {ref.sha256[:12]} has mode {mask.mode}: expected a mask, mode L; "
                "name a mask, or use the picture as a picture"
            )
        if mask.size != (ref.width, ref.height):
            raise ToolError(
                f"mask {ref.sha256[:12]} is {mask.width}x{mask.height}: the plan or history says "
                f"{ref.width}x{ref.height}; expected the same, correct the size there"
            )
        return mask

    def path(self, ref: ImageRef | MaskRef) -> Path:
        """Where the PNG of `ref` lies, whether or not it is there."""
        return self._place(ref.sha256, "png")

    def put_json(self, value: JsonValue) -> str:
        """Store `value` in canonical form (sorted keys, no spaces); returns its SHA-256."""
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return self._put(text.encode(), "json")

    def get_json(self, sha256: str) -> JsonValue:
        """The value stored under `sha256`; raises ToolError when it is missing or damaged."""
        value: JsonValue = json.loads(self._get(sha256, "json"))
        return value

    def has(self, sha256: str) -> bool:
        """Whether a blob of either kind is stored under `sha256`; does not read it."""
        return any(self._place(sha256, kind).is_file() for kind in ("png", "json"))

    def _place(self, sha256: str, kind: Kind) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise ToolError(
                f"bad artifact id {sha256[:80]!r}: expected 64 hexadecimal digits; copy it from the history"
            )
        return self.root / sha256[:2] / f"{sha256}.{kind}"

    def _get(self, sha256: str, kind: Kind) -> bytes:
        place = self._place(sha256, kind)
        try:
            data = place.read_bytes()
        except FileNotFoundError:
            raise ToolError(
                f"artifact {sha256[:12]} is not in {str(self.root)!r}: expected {place.name}; "
                "restore that folder or make the picture again"
            ) from None
        except OSError as error:
            raise ToolError(
                f"cannot read {str(place)!r} ({error.strerror}): expected a readable file; check its permissions"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ToolError(
                f"artifact {sha256[:12]} is damaged: expected {str(place)!r} to hash to its own name; "
                "make the picture again, which repairs it"
            )
        return data

    def _put(self, data: bytes, kind: Kind) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        place = self._place(sha256, kind)
        try:
            if not _holds(place, data):
                place.parent.mkdir(parents=True, exist_ok=True)
                _write_atomically(place, data)
        except OSError as error:
            raise _write_error(error, place, len(data)) from error
        return sha256


def png_bytes(image: Image.Image) -> bytes:
    """PNG file of the pixels alone (no profile, text or time); equal pixels give equal bytes."""
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _holds(place: Path, data: bytes) -> bool:
    try:
        return place.read_bytes() == data
    except FileNotFoundError:
        return False


def _write_atomically(place: Path, data: bytes) -> None:
    """Temporary file beside `place`, flushed to the disk, then moved over in one step."""
    handle, name = tempfile.mkstemp(prefix=".part-", dir=place.parent)
    part = Path(name)
    try:
        try:
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(place.parent)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(error: OSError, place: Path, size: int) -> ToolError:
    if error.errno in _FULL_DISK:
        return ToolError(
            f"the disk is full: {size} bytes did not fit under {str(place.parent)!r}; "
            "free some space and ask again, nothing finished is lost"
        )
    return ToolError(
        f"cannot write under {str(place.parent)!r} ({error.strerror or error}): expected a writable folder; "
        "check its permissions"
    )
