"""Files that appear whole or not at all, and never replace another."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from chatdit.session_errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_new(path: Path, data: bytes) -> Path:
    """Write `data` to `path`, or to `name-2`, `name-3`, ... when that exists; returns the path written.

    A file with these very bytes counts as written. Raises StoreError when the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for candidate in _numbered(path):
            if _place(candidate, data):
                return candidate
    except OSError as error:
        raise disk_error(error, path) from error
    raise AssertionError("unreachable: the numbering has no end")


def make_folder(path: Path) -> None:
    """Make sure that the folder `path` exists. Raises StoreError when the disk refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error


def new_folder(path: Path) -> Path:
    """Create the folder `path`, or `path-2`, ... when it exists; returns the one created. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for candidate in _numbered(path):
            try:
                candidate.mkdir()
                return candidate
            except FileExistsError:
                continue
    except OSError as error:
        raise disk_error(error, path) from error
    raise AssertionError("unreachable: the numbering has no end")


def disk_error(error: OSError, path: Path) -> StoreError:
    """`error` in one line that says what to do about it."""
    if error.errno in _FULL:
        return StoreError(
            f"the disk is full at {str(path.parent)!r}; free some space and go on, nothing finished is lost"
        )
    reason = error.strerror or str(error)
    return StoreError(f"cannot write {str(path)!r} ({reason}): expected a writable folder; choose another or change it")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1


def _place(path: Path, data: bytes) -> bool:
    """False when another file stands at `path`. A temporary file is linked there in one step."""
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return True
    part = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return _link(part, path)
    finally:
        part.unlink(missing_ok=True)


def _link(part: Path, path: Path) -> bool:
    try:
        os.link(part, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOSYS):
            raise
    if path.exists():  # a file system without hard links: a narrow race is left
        return False
    part.rename(path)
    return True
