"""A worker: a program of its own that draws one case after the other, told and answering in JSON lines.

One line in, `Assignment`; one line out, `Answered`. What else it says goes to its log. A program that dies, hangs or
answers something else can be ended without harm to the run.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

from pydantic import JsonValue, ValidationError

from chatdit.tools.types import Data


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
    """Holds one worker's process; starts it when it is first needed, and again after it was lost."""

    def __init__(self, command: Sequence[str], log: Path, threads: int, environment: Mapping[str, str] | None = None):
        self._command, self._log = list(command), log
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def draw(self, assignment: Assignment, timeout: float) -> Answered:
        """The answer to one assignment, waited for at most `timeout` seconds.

        Raises:
            WorkerLost: there is none. The process is ended; the next call starts another.
        """
        process, line = self._running(), b""
        started = time.monotonic()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(assignment.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            line = _line(process.stdout, started + timeout)
            return Answered.model_validate_json(line)
        except (BrokenPipeError, EOFError):
            code = self._code()
            raise WorkerLost(f"the worker ended with code {code}; see {self._log}") from None
        except TimeoutError:
            self.close()
            raise WorkerLost(f"no answer within {timeout:g} seconds") from None
        except ValidationError:
            self.close()
            raise WorkerLost(f"the worker did not answer in JSON as agreed: {_short(line)}") from None

    def close(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self._environment,
                    bufsize=0,
                    start_new_session=True,  # Ctrl-C is for whoever asked, who then ends the workers
                )
        return self._process

    def _code(self) -> int | None:
        process = self._process
        if process is None:
            return None
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.close()


def _line(stream: IO[bytes], deadline: float) -> bytes:
    """The next line. Raises TimeoutError or EOFError."""
    held = bytearray()
    while not held.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise TimeoutError
        part = os.read(stream.fileno(), 65536)
        if not part:
            raise EOFError
        held += part
    return bytes(held)


def _short(line: bytes) -> str:
    return json.dumps(line.decode("utf-8", "replace").strip()[:120])
