"""Checkpoints of a turn in SQLite, read by a serializer that builds nothing but plain data."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from chatdit.agents.langgraph_untraced import JsonPlusSerializer, SqliteSaver

_PLAIN = ("null", "bytes", "msgpack")


class CheckpointError(RuntimeError):
    """The checkpoint file cannot be used; pictures and history are kept elsewhere and are not touched."""


class LockedSerializer(JsonPlusSerializer):
    """langgraph's own serializer runs code that a crafted row names; this one refuses such rows.

    Msgpack rows may build only langgraph's list of harmless types: anything else stays raw data. Pickle
    and the older JSON constructor rows raise CheckpointError.
    """

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The plain value of a row; raises CheckpointError for every other kind of row."""
        if data[0] not in _PLAIN:
            raise CheckpointError(
                f"a checkpoint row of type {data[0]!r}: expected one of {', '.join(_PLAIN)}; the file was not "
                "written by this program, remove it to start the turn again"
            )
        try:
            return super().loads_typed(data)
        except ValueError as error:
            raise CheckpointError(
                f"a checkpoint row is damaged ({error}): expected what this program wrote; remove the file, "
                "finished pictures are kept"
            ) from error


def open_saver(path: Path) -> SqliteSaver:
    """A saver over the file at `path`, made when missing. Raises CheckpointError when it is no database."""
    try:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30.0)
        saver = SqliteSaver(connection, serde=LockedSerializer())
        saver.setup()
    except sqlite3.Error as error:
        if "full" in str(error):
            where = str(path.parent)
            raise CheckpointError(f"the disk is full at {where!r}; free some space and go on") from error
        raise CheckpointError(
            f"cannot open the checkpoints {str(path)!r} ({error}): expected a SQLite file in a folder this user "
            "may write; remove the file, finished pictures are kept"
        ) from error
    return saver
