"""A run over many machines: one Ray actor for each GPU, or for each CPU slot where there is none.

Pictures travel as bytes and the driver writes all results, so that machines need not share a disk. A lost actor's case
is given to another.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from chatdit.evals.running.pool import TRIES, Finished
from chatdit.evals.running.runner import Draw
from chatdit.evals.running.worker import Answered, Assignment, Worker, WorkerLost

File = tuple[str, bytes]
GRACE = 20.0
"""Seconds beyond a case's limit after which an actor that says nothing counts as lost."""


class Seat:
    """What an actor does: holds a worker on its machine, and hands pictures over as bytes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chatdit-seat-")
        self._worker = Worker(command, Path(self._folder.name) / "worker.log", threads=1)

    def ready(self) -> None:
        """Answered once the actor stands."""

    def draw(self, assignment: str, inputs: Sequence[File], timeout: float) -> tuple[str, list[File]]:
        """The answer to an assignment, both as JSON, and the files of its pictures."""
        given = Assignment.model_validate_json(assignment)
        with tempfile.TemporaryDirectory(dir=self._folder.name) as scratch:
            out = Path(scratch) / "out"
            out.mkdir()
            paths = tuple(str(_write(Path(scratch) / name, data)) for name, data in inputs)
            here = given.model_copy(update={"inputs": paths, "folder": str(out)})
            try:
                answered = self._worker.draw(here, timeout)
            except WorkerLost as error:
                answered = Answered(status="failed", error=str(error))
            files = [(Path(p).name, Path(p).read_bytes()) for p in answered.pictures]
            return answered.model_dump_json(), files


def ray_pool(address: str, command: Sequence[str], timeout: float) -> Draw:
    """Actors on the cluster at `address` ("local" starts one here); every machine needs this package.

    Raises ConnectionError when there is no cluster.
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


def _draw_all(assignments: list[Assignment], command: list[str], timeout: float) -> Iterator[Finished]:
    todo = [(assignment, 0) for assignment in reversed(assignments)]
    running: dict[Any, _Call] = {}
    try:
        while todo or any(call.assignment for call in running.values()):
            for _ in range(min(_slots(), len(todo)) - len(running)):
                seat = _seat(command)
                running[seat.ready.remote()] = _Call(seat)
            for future in _ended(running):
                call = running.pop(future)
                answered, reason = _outcome(future, call)
                if answered is None and call.assignment and call.lost + 1 < TRIES:
                    todo.append((call.assignment, call.lost + 1))
                elif call.assignment:
                    yield call.assignment, answered or Answered(status="failed", error=reason), call.lost
                if not reason and todo:
                    _give(running, call.seat, *todo.pop(), timeout)
                else:
                    ray.kill(call.seat)
    finally:
        for call in running.values():
            ray.kill(call.seat)


def _give(running: dict[Any, _Call], seat: Any, assignment: Assignment, lost: int, timeout: float) -> None:
    future = seat.draw.remote(assignment.model_dump_json(), _inputs(assignment), timeout)
    running[future] = _Call(seat, assignment, lost, time.monotonic() + timeout + GRACE)


def _ended(running: Mapping[Any, _Call]) -> list[Any]:
    """Calls that have an answer or are lost, and those that are late: a machine's loss may go unnoticed for minutes."""
    ready, waiting = ray.wait(list(running), num_returns=1, timeout=1.0)
    now = time.monotonic()
    return [*ready, *(future for future in waiting if running[future].deadline < now)]


def _outcome(future: Any, call: _Call) -> tuple[Answered | None, str]:
    """The answer, if one was asked for; and why the actor is lost, if it is."""
    try:
        got = ray.get(future, timeout=1.0)
    except RayError as error:
        return None, f"the actor was lost: {str(error).splitlines()[0][:200]}"
    return (_received(call.assignment, *got) if call.assignment else None), ""


def _slots() -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0) or resources.get("CPU", 1)))


def _seat(command: list[str]) -> Any:
    gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
    return ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(Seat).remote(command)


def _inputs(assignment: Assignment) -> list[File]:
    return [(Path(p).name, Path(p).read_bytes()) for p in assignment.inputs]


def _received(assignment: Assignment, told: str, files: Iterable[File]) -> Answered:
    """The answer with its pictures on this machine."""
    folder = Path(assignment.folder)
    pictures = tuple(str(_write(folder / name, data)) for name, data in files)
    return Answered.model_validate_json(told).model_copy(update={"pictures": pictures})


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
