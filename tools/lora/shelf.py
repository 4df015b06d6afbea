"""Where LoRAs lie: those that ship with the package, and the person's own under the data folder.

A LoRA is a folder NAME with `lora.safetensors` and its card `card.json`, or, for the ten released ones, a bare file
`NAME.safetensors`, whose card is known.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chatdit.tools import pocket
from chatdit.tools.home import data_dir
from chatdit.tools.lora.card import RELEASED, LoraCard
from chatdit.tools.types import ToolError

WEIGHTS, CARD = "lora.safetensors", "card.json"


@dataclass(frozen=True)
class ShelvedLora:
    """A LoRA that is there."""

    card: LoraCard
    file: Path

    def stamp(self) -> str:
        """What changes when card or file do, without reading the file."""
        told = self.file.stat()
        return hashlib.sha256(f"{self.card.model_dump_json()}{told.st_size}{told.st_mtime_ns}".encode()).hexdigest()

    def digest(self) -> str:
        """SHA-256 of card and weights."""
        return hashlib.sha256(self.card.model_dump_json().encode() + self.file.read_bytes()).hexdigest()


def own_folder() -> Path:
    """Where `chatdit train ic-lora` leaves what it trains, and where downloaded ones belong."""
    return data_dir() / "loras"


def shelf() -> dict[str, ShelvedLora]:
    """Every LoRA by name; the person's own goes before one that ships. Damaged cards are passed over."""
    found: dict[str, ShelvedLora] = {}
    for folder in (Path(str(pocket.__file__)).parent / "loras", own_folder()):
        found |= {entry.card.name: entry for entry in _entries(folder)}
    return found


def find_lora(name: str) -> ShelvedLora:
    """The LoRA of that name.

    Raises:
        ToolError: there is none, or its card is damaged.
    """
    there = shelf()
    if name in there:
        return there[name]
    if (own_folder() / name / CARD).is_file():
        read_card(own_folder() / name / CARD)
    if name in RELEASED:
        raise ToolError(f"the LoRA {name!r} is not here: download {name}.safetensors into {own_folder()}")
    near = difflib.get_close_matches(name, list(there), n=1, cutoff=0.6)
    known = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(there)) or 'none yet'}"
    raise ToolError(f"no LoRA called {name[:60]!r}; {known} (`chatdit train ic-lora` makes new ones)")


def read_card(path: Path) -> LoraCard:
    """The card in a file. Raises ToolError, which names the file and what is wrong."""
    try:
        return LoraCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise ToolError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise ToolError(f"{path} is not JSON: {error}") from error


def _entries(folder: Path) -> Iterator[ShelvedLora]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" and path.stem in RELEASED:
            yield ShelvedLora(RELEASED[path.stem], path)
        elif (path / WEIGHTS).is_file() and (path / CARD).is_file():
            # one damaged card must not take the others away; who asks for it is told what is wrong
            with suppress(ToolError):
                yield ShelvedLora(read_card(path / CARD), path / WEIGHTS)
