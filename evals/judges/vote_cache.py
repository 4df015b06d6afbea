"""Votes that were paid for, one small JSON file each under the hash of all that was sent.

A file appears whole or not at all, so that a run which is killed goes on where it was.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError

from chatdit.tools.types import Data


class Vote(Data):
    """One reading of one question."""

    score: bool | None
    """None when no score could be read, even after a repair."""
    reason: str = ""
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class VoteCache:
    """Votes under one folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> Vote | None:
        """The vote stored under `key`; None when there is none, or only a damaged one."""
        try:
            return Vote.model_validate_json(self._place(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def put(self, key: str, vote: Vote) -> None:
        """Keep `vote`. Raises OSError when the folder cannot be written."""
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", dir=place.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(vote.model_dump_json() + "\n")
            part.replace(place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _place(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"
