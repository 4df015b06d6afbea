"""A run over many machines: one Ray actor for each GPU, or for each CPU slot where there is none.

Pictures travel as bytes and the driver writes all results, so that machines need not share a disk. A lost actor's case
is given to another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from chatdit.evals.running.pool import TRIES, Finished
from chatdit.evals.running.runner import Draw
from chatdit.evals.running.worker import Answered, Assignment, Worker, WorkerLost

File = tuple[str, bytes]


class Seat:
    """What an actor does: holds a worker on its machine, and hands pictures over as bytes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chatdit-seat-")
        self._worker = Worker(command, Path(self._folder.name) / "worker.log", threads=1)

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


def _draw_all(assignments: list[Assignment], command: list[str], timeout: float) -> Iterator[Finished]:
    todo = [(assignment, 0) for assignment in reversed(assignments)]
    seats = [_seat(command) for _ in range(min(_slots(), len(assignments)))]
    running: dict[Any, tuple[Any, Assignment, int]] = {}
    try:
        while todo or running:
            while seats and todo:
                assignment, lost = todo.pop()
                seat = seats.pop()
                future = seat.draw.remote(assignment.model_dump_json(), _inputs(assignment), timeout)
                running[future] = seat, assignment, lost
            (future,), _ = ray.wait(list(running), num_returns=1)
            seat, assignment, lost = running.pop(future)
            try:
                answered = _received(assignment, *ray.get(future))
            except RayError as error:
                seats.append(_seat(command))
                if lost + 1 < TRIES:
                    todo.append((assignment, lost + 1))
                    continue
                answered = Answered(status="failed", error=f"the actor was lost: {str(error).splitlines()[0][:200]}")
            else:
                seats.append(seat)
            yield assignment, answered, lost
    finally:
        for seat in [*seats, *(seat for seat, _, _ in running.values())]:
            ray.kill(seat)


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
