"""A run over many machines: one Ray actor for each GPU, or for each CPU slot where there is none.

Pictures travel as bytes and the driver writes all results, so that machines need not share a disk. A lost actor's case
is given to another.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from chatdit.evals.running.pool import TRIES, Finished, patiently
from chatdit.evals.running.runner import Draw
from chatdit.evals.running.worker import Answered, Assignment, Worker

File = tuple[str, bytes]
GRACE = 20.0
"""Seconds beyond a case's limit after which an actor that says nothing counts as lost."""
STARTS = 3
"""How many actors in a row may fail to start."""


class Seat:
    """What an actor does: holds a worker on its machine, and hands pictures over as bytes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chatdit-seat-")
        self._log = Path(self._folder.name) / "worker.log"
        self._worker, self._closed = Worker(command, self._log, threads=1), threading.Event()

    def ready(self) -> None:
        """Answered once the actor stands."""

    def draw(self, assignment: str, inputs: Sequence[File], timeout: float) -> tuple[str, int, list[File]]:
        """The answer to an assignment, both as JSON, how many tries were lost, and the files of its pictures."""
        given = Assignment.model_validate_json(assignment)
        with tempfile.TemporaryDirectory(dir=self._folder.name) as scratch:
            paths = tuple(str(_write(Path(scratch) / name, data)) for name, data in inputs)
            here = given.model_copy(update={"inputs": paths, "folder": str(Path(scratch) / "out")})
            answered, lost = patiently(self._worker, here, timeout, self._closed)
            try:
                files = _files(answered.pictures)
            except OSError as error:
                answered, files = Answered(status="failed", error=f"a picture cannot be read: {error}"), []
        # the log goes when the actor does, so that its end is told here
        said = f": {self._last_words()}" if answered.error and self._log.is_file() else ""
        told = answered.model_copy(update={"error": answered.error.replace(f"; see {self._log}", said)})
        return told.model_dump_json(), lost, files

    def close(self) -> None:
        """End the worker, also while it draws."""
        self._closed.set()
        self._worker.close()

    def _last_words(self) -> str:
        return " ".join(self._log.read_text(encoding="utf-8", errors="replace").split()[-40:])


def ray_pool(address: str, command: Sequence[str], timeout: float) -> Draw:
    """Actors on the cluster at `address` ("local" starts one here); every machine needs this package.

    Raises:
        ConnectionError: there is no cluster; or, when it is drawn, no actor can be started.
    """
    ray.init(address=None if address == "local" else address, log_to_driver=False, configure_logging=False)
    return lambda assignments: _draw_all(list(assignments), list(command), timeout)


@dataclass
class _Call:
    """What an actor does: it starts (no assignment), or draws until its deadline at the latest."""

    seat: Any
    assignment: Assignment | None = None
    lost: int = 0
    deadline: float = math.inf


def _draw_all(assignments: list[Assignment], command: list[str], timeout: float) -> Generator[Finished, None, None]:
    todo = [(assignment, 0) for assignment in reversed(assignments)]
    running: dict[Any, _Call] = {}
    failed_starts = 0
    try:
        while todo or any(call.assignment for call in running.values()):
            for _ in range(min(_slots(), len(todo)) - len(running)):
                seat = _seat(command)
                running[seat.ready.remote()] = _Call(seat)
            for future in _ended(running):
                call = running.pop(future)
                finished, reason = _outcome(future, call)
                if call.assignment is None:
                    failed_starts = _counted_start(failed_starts, reason)
                elif finished is None and call.lost + 1 < TRIES:
                    todo.append((call.assignment, call.lost + 1))
                else:
                    yield finished or (call.assignment, Answered(status="failed", error=reason), TRIES)
                if not reason and todo:
                    _give(running, call.seat, *todo.pop(), timeout)
                else:
                    ray.kill(call.seat)
    finally:
        _end(list(running.values()))


def _counted_start(failed: int, reason: str) -> int:
    """How many starts in a row have failed. Raises ConnectionError when they are too many."""
    if reason and failed + 1 >= STARTS:
        raise ConnectionError(f"no worker can be started in the cluster ({reason}): install chatdit on its machines")
    return failed + 1 if reason else 0


def _give(running: dict[Any, _Call], seat: Any, assignment: Assignment, lost: int, timeout: float) -> None:
    future = seat.draw.remote(assignment.model_dump_json(), _files(assignment.inputs), timeout)
    running[future] = _Call(seat, assignment, lost, time.monotonic() + TRIES * timeout + GRACE)


def _end(calls: Sequence[_Call]) -> None:
    """End all actors, and first the workers of those that draw, which would outlive them."""
    closing = [call.seat.close.remote() for call in calls if call.assignment]
    if closing:
        ray.wait(closing, num_returns=len(closing), timeout=GRACE)
    for call in calls:
        ray.kill(call.seat)


def _ended(running: Mapping[Any, _Call]) -> list[Any]:
    """Calls that have an answer or are lost, and those that are late: a machine's loss may go unnoticed for minutes."""
    ready, waiting = ray.wait(list(running), num_returns=1, timeout=1.0)
    now = time.monotonic()
    return [*ready, *(future for future in waiting if running[future].deadline < now)]


def _outcome(future: Any, call: _Call) -> tuple[Finished | None, str]:
    """The answer, if one was asked for; and why the actor is lost, if it is."""
    try:
        got = ray.get(future, timeout=1.0)
    except RayError as error:
        return None, f"the actor was lost: {str(error).splitlines()[0][:200]}"
    return (_received(call.assignment, call.lost, *got) if call.assignment else None), ""


def _slots() -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0) or resources.get("CPU", 1)))


def _seat(command: list[str]) -> Any:
    # two calls at a time, so that `close` is heard while `draw` runs
    gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
    return ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_concurrency=2)(Seat).remote(command)


def _files(paths: Iterable[str]) -> list[File]:
    return [(Path(p).name, Path(p).read_bytes()) for p in paths]


def _received(assignment: Assignment, before: int, told: str, lost: int, files: Iterable[File]) -> Finished:
    """The answer with its pictures on this machine."""
    folder = Path(assignment.folder)
    pictures = tuple(str(_write(folder / name, data)) for name, data in files)
    answered = Answered.model_validate_json(told).model_copy(update={"pictures": pictures})
    return assignment, answered, before + lost


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
