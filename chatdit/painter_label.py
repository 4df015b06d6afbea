"""What the status line calls the painter: its name and its size, `pocket 20M`."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

MAX_HEADER_BYTES = 100_000_000


def painter_label(name: str, folder: Path) -> str:
    """`name` and the number of the transformer's parameters, read from the headers of its files."""
    count = sum(_parameters(file) for file in sorted((folder / "transformer").glob("*.safetensors")))
    if count == 0:
        return name
    size = f"{count / 1e9:.0f}B" if count >= 1e9 else f"{count / 1e6:.0f}M" if count >= 1e6 else f"{count / 1e3:.0f}k"
    return f"{name} {size}"


def _parameters(file: Path) -> int:
    """Weights of a safetensors file, scales of quantised ones not counted."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            return 0
        header = json.loads(stream.read(length))
    shapes = [entry["shape"] for key, entry in header.items() if key != "__metadata__" and not key.endswith("_scale")]
    return sum(prod(shape) for shape in shapes)
