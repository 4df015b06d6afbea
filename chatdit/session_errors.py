"""What can go wrong with a session itself; each message is one line: value, expectation, remedy."""

from __future__ import annotations


class SessionError(Exception):
    """A session cannot do what was asked."""


class UnknownSession(SessionError):
    """No session has this id."""


class SessionBusy(SessionError):
    """Another process, or a turn that is still running, holds the session."""


class StoreError(SessionError):
    """The disk or the database refuses: full, read-only, damaged, or written by a newer chatdit."""
