"""One process a session: an advisory lock on a file that names its holder.

The kernel lets go of the lock when the process ends, however it ends, so a killed process leaves
nothing to clean up.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from chatdit.no_clobber import disk_error
from chatdit.session_errors import SessionBusy


class SessionLock:
    """Held from construction to `release()`. Raises SessionBusy, naming the process that holds it."""

    def __init__(self, path: Path, session: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk_error(error, path) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = _holder(self._handle)
            os.close(self._handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise SessionBusy(
                    f"session {session} is in use by process {holder}: close it there, or start a new session"
                ) from None
            raise disk_error(error, path) from error

    def release(self) -> None:
        """Let go; doing so twice is harmless."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def _holder(handle: int) -> str:
    words = os.pread(handle, 32, 0).decode("ascii", "replace").split()
    number = words[0] if words and words[0].isdigit() else "unknown"
    return f"{number} (this one)" if number == str(os.getpid()) else number
