"""A worker: a program of its own that draws one case after the other, told and answering in JSON lines.

One line in, `Assignment`; one line out, `Answered`. What else it says goes to its log. A program that dies, hangs or
answers something else can be ended without harm to the run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from chatdit.tools.types import Data

GRACE = 5.0
"""Seconds that a process has to end by itself."""


class Assignment(Data):
    """One case as a system is told of it."""

    case: str
    instruction: str
    inputs: tuple[str, ...]
    """Paths of the reference pictures, in order."""
    seed: int
    folder: str
    """An empty folder for the finished pictures."""


class Answered(Data):
    """What became of an assignment."""

    status: Literal["done", "asked", "failed"]
    pictures: tuple[str, ...] = ()
    """Paths, in order."""
    reply: str = ""
    plan: JsonValue = None
    seconds: float = 0.0
    error: str = ""


class WorkerLost(RuntimeError):
    """A worker that ended, hung or answered something else; the message says which."""


class Worker:
    """Holds one worker's process; starts it when it is first needed, and again after it was lost.

    One thread may draw while another closes.
    """

    def __init__(self, command: Sequence[str], log: Path, threads: int, environment: Mapping[str, str] | None = None):
        self._command, self._log = list(command), log
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._drawing, self._starting, self._closed = threading.Lock(), threading.Lock(), False

    def draw(self, assignment: Assignment, timeout: float) -> Answered:
        """The answer to one assignment, waited for at most `timeout` seconds.

        Raises:
            WorkerLost: there is none. The process is ended; the next call starts another.
        """
        with self._drawing:
            process, line = self._running(), b""
            try:
                line = _exchange(process, assignment, time.monotonic() + timeout)
                return Answered.model_validate_json(line)
            except (BrokenPipeError, EOFError):
                raise WorkerLost(f"the worker ended with code {self._end(GRACE)}; see {self._log}") from None
            except TimeoutError:
                self._end()
                raise WorkerLost(f"no answer within {timeout:g} seconds") from None
            except ValidationError:
                self._end()
                raise WorkerLost(f"the worker did not answer in JSON as agreed: {_short(line)}") from None

    def close(self) -> None:
        """End the process for good, with all that it started, also while another thread waits for its answer."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                _kill(self._process)
        with self._drawing:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        with self._starting:
            if self._closed:
                raise WorkerLost("the worker was closed")
            try:
                self._process = self._process or self._start()
            except OSError as error:
                told = f"{error.strerror}: {error.filename}"
                raise WorkerLost(f"the worker cannot be started: {told}") from error
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for whoever asked, who then ends the workers
            )

    def _end(self, patience: float = 0.0) -> int | None:
        """End the process, if there is one, after it had a while to do so itself; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, which may outlive it."""
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter is what macOS says of a group of the dead
        os.killpg(process.pid, sign)


def _exchange(process: subprocess.Popen[bytes], assignment: Assignment, deadline: float) -> bytes:
    """The line that answers an assignment. Raises TimeoutError, BrokenPipeError or EOFError."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(assignment.model_dump_json().encode() + b"\n")
    held = bytearray()
    while not held.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise TimeoutError
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            raise EOFError
        held += part
    return bytes(held)


def _short(line: bytes) -> str:
    return json.dumps(line.decode("utf-8", "replace").strip()[:120])
