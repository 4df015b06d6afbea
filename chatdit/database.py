"""The SQLite file of all sessions: its layout, its transactions, and its refusals in one line each."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatdit.no_clobber import disk_error
from chatdit.session_errors import StoreError

WAIT_SECONDS = 20
SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE session (
    id TEXT PRIMARY KEY, created REAL NOT NULL, updated REAL NOT NULL,
    head INTEGER REFERENCES turn(id), redo TEXT NOT NULL DEFAULT '[]', origin INTEGER REFERENCES turn(id));
CREATE TABLE turn (
    id INTEGER PRIMARY KEY, session TEXT NOT NULL REFERENCES session(id), number INTEGER NOT NULL,
    parent INTEGER REFERENCES turn(id), text TEXT NOT NULL, seed INTEGER NOT NULL, size TEXT,
    inputs TEXT NOT NULL, brain TEXT NOT NULL, painter TEXT NOT NULL, first_picture INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'running', instruction TEXT, plan TEXT, reply TEXT NOT NULL DEFAULT '',
    warnings TEXT NOT NULL DEFAULT '[]', seconds REAL NOT NULL DEFAULT 0, folder TEXT,
    UNIQUE (session, number));
CREATE TABLE picture (
    id INTEGER PRIMARY KEY, turn INTEGER NOT NULL REFERENCES turn(id), number INTEGER NOT NULL,
    node TEXT NOT NULL, position INTEGER NOT NULL, tool TEXT NOT NULL, seed INTEGER NOT NULL,
    sha256 TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, path TEXT NOT NULL,
    output TEXT NOT NULL, parents TEXT NOT NULL, steps INTEGER, seconds REAL NOT NULL, cached INTEGER NOT NULL,
    recipe TEXT NOT NULL, UNIQUE (turn, number, sha256));
CREATE INDEX picture_of ON picture (sha256);
"""
CHANGES = {1: "ALTER TABLE turn ADD COLUMN folder TEXT"}
"""What brings a file from each earlier layout to the next."""


class Database:
    """One connection in WAL mode, shared by threads; other processes have their own."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, made when missing. Raises StoreError when it cannot be used."""
        self.path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, path) from error
        with self._refusals():
            self._db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._prepare()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def rows(self, query: str, *values: str | int) -> list[sqlite3.Row]:
        """What a query finds. Raises StoreError."""
        with self._refusals(), self._lock:
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it happens, or nothing. Raises StoreError."""
        with self._refusals(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{str(self.path)!r} has layout {version}, this chatdit knows {SCHEMA_VERSION}: "
                "update chatdit, or set CHATDIT_HOME to another folder"
            )
        if version < SCHEMA_VERSION:
            with self.writing() as db:
                version = self._version()  # another process may have been faster
                changes = [CHANGES[v] for v in range(version, SCHEMA_VERSION)] if version else SCHEMA.split(";")
                for statement in changes:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_refusal(str(error), self.path)) from error


def _refusal(words: str, path: Path) -> str:
    if "full" in words:
        return f"the disk is full at {str(path.parent)!r}; free some space and go on, nothing finished is lost"
    if "locked" in words:
        return f"{str(path)!r} has been locked by another process for {WAIT_SECONDS} s: end that process, then go on"
    if "not a database" in words or "malformed" in words:
        return f"{str(path)!r} is damaged ({words}): restore it from a copy, or move it away to start afresh"
    return f"{str(path)!r} cannot be used ({words}): expected a readable, writable SQLite file; check its permissions"
