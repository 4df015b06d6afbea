"""Files of JSON lines that are appended to: a line counts once its newline is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Record = TypeVar("Record", bound=BaseModel)


class BrokenLineError(ValueError):
    """A line, and not the last one that a killed process may leave, that cannot be read."""


def read_lines(path: Path, model: type[Record]) -> Iterator[Record]:
    """Every whole line; none where there is no file.

    Raises:
        BrokenLineError: one is no record of this kind.
    """
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if not line.strip():
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise BrokenLineError(f"{path}, line {number} cannot be read ({told}): take the line out") from None


def append_line(path: Path, record: BaseModel) -> None:
    """Add a line, on the disk when this returns; a half-written one before it is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_half_line(path)
    with path.open("ab") as file:
        file.write(record.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def cut_half_line(path: Path) -> bool:
    """Cut off a last line that a killed process left without its newline; whether there was one."""
    held = path.read_bytes() if path.is_file() else b""
    whole = held.rfind(b"\n") + 1
    if whole < len(held):
        os.truncate(path, whole)
    return whole < len(held)
