"""Sets of pictures to train an In-Context LoRA on: a folder of samples and its card.

    card.json             how many panels, what they are called, which may be given (`tools/lora/card.py`)
    0001/1.png 0001/2.png 0001/caption.txt     a sample as separate pictures, or
    0002.png 0002.txt                          as one sheet, cut by the card's rows and columns

A caption file has a line for each panel, or one for all; in a line, `[TAG]` in front is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.shelf import CARD, read_card
from chatdit.tools.panels import cells
from chatdit.tools.types import ToolError

CAPTION = "caption.txt"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FEWEST = 4
MOST_PIXELS = 64 * 2**20


@dataclass(frozen=True)
class LoraSample:
    """One set: a picture and a caption for each panel."""

    name: str
    pictures: tuple[Image.Image, ...]
    captions: tuple[str, ...]


def read_samples(folder: Path) -> tuple[LoraCard, list[LoraSample]]:
    """The card and all samples of a folder.

    Raises:
        ToolError: there is no card, fewer than FEWEST samples, or one of them is faulty; all faults are named.
    """
    if not folder.is_dir():
        raise ToolError(f"{folder} is no folder: expected one with {CARD} and samples")
    card = read_card(folder / CARD)
    samples, faults = [], []
    for entry in _entries(folder):
        try:
            samples.append(_sample(entry, card))
        except ToolError as error:
            faults.append(str(error))
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ToolError("; ".join(faults[:5]) + more)
    if len(samples) < FEWEST:
        raise ToolError(f"{folder} holds {len(samples)} samples, expected at least {FEWEST}; 20 to 100 are usual")
    return card, samples


def write_samples(folder: Path, card: LoraCard, samples: Sequence[LoraSample]) -> None:
    """A folder that `read_samples` reads; each sample as separate pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).write_text(card.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
    for sample in samples:
        place = folder / sample.name
        place.mkdir(exist_ok=True)
        for i, picture in enumerate(sample.pictures, start=1):
            picture.save(place / f"{i}.png")
        (place / CAPTION).write_text("\n".join(sample.captions) + "\n", encoding="utf-8")


def _entries(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.suffix.lower() in _SUFFIXES:
            yield path


def _sample(entry: Path, card: LoraCard) -> LoraSample:
    if entry.is_dir():
        pictures = _separate(entry, card)
        captions = _captions(entry / CAPTION, card)
    else:
        pictures = _cut(entry, card)
        captions = _captions(entry.with_suffix(".txt"), card)
    return LoraSample(entry.stem if entry.is_file() else entry.name, pictures, captions)


def _separate(folder: Path, card: LoraCard) -> tuple[Image.Image, ...]:
    found = {path.stem: path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES}
    wanted = [str(i) for i in range(1, card.panels + 1)]
    if sorted(found) != sorted(wanted):
        got = ", ".join(sorted(found)) or "none"
        raise ToolError(f"sample {folder.name}: expected pictures 1 to {card.panels}, got {got}")
    pictures = tuple(_opened(found[name]) for name in wanted)
    if len({picture.size for picture in pictures}) > 1:
        sizes = ", ".join(f"{p.width}x{p.height}" for p in pictures)
        raise ToolError(f"sample {folder.name}: expected pictures of one size, got {sizes}")
    return pictures


def _cut(path: Path, card: LoraCard) -> tuple[Image.Image, ...]:
    sheet = _opened(path)
    if sheet.width % card.columns or sheet.height % card.rows:
        raise ToolError(
            f"sample {path.name}: {sheet.width}x{sheet.height} pixels do not divide into {card.rows} rows of "
            f"{card.columns}; crop it, or give separate pictures"
        )
    width, height = sheet.width // card.columns, sheet.height // card.rows
    return tuple(sheet.crop((x, y, x + width, y + height)) for x, y in cells(card.layout, width, height))


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ToolError(f"sample {path.name}: {picture.width}x{picture.height} pixels are too many; scale it")
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ToolError(f"sample {path.parent.name}/{path.name}: no picture that can be read; replace it") from error


def _captions(path: Path, card: LoraCard) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(
            f"sample {path.parent.name}: no caption at {path.name}; write one line for each panel"
        ) from error
    lines = [re.sub(r"^(?:\[[A-Z0-9-]+\]\s*)+", "", line) for line in lines if line]
    if len(lines) not in (1, card.panels) or not all(lines):
        raise ToolError(f"sample {path.parent.name}/{path.name}: {len(lines)} captions, expected 1 or {card.panels}")
    return tuple(lines) if len(lines) == card.panels else tuple(lines * card.panels)
