"""Several workers, each with a model of its own, that share the cases of a run."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from chatdit.evals.running.worker import Answered, Assignment, Worker, WorkerLost

TRIES = 2
"""How often a case is given to a worker before it counts as failed."""
Finished = tuple[Assignment, Answered, int]
"""An assignment, its answer, and how many tries before were lost."""


def draw_all(
    assignments: Sequence[Assignment], make: Callable[[int], Worker], workers: int, timeout: float
) -> Generator[Finished, None, None]:
    """Each assignment's answer as it comes; closing the iterator ends all workers.

    `make` is given a number from 1. A worker that is lost is started anew and its case tried once more.
    """
    todo: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
    done: queue.SimpleQueue[Finished] = queue.SimpleQueue()
    for assignment in assignments:
        todo.put(assignment)
    stopped = threading.Event()
    held = [make(i + 1) for i in range(min(workers, len(assignments)))]
    threads = [threading.Thread(target=_serve, args=(w, todo, done, timeout, stopped), daemon=True) for w in held]
    try:
        for thread in threads:
            thread.start()
        for _ in assignments:
            yield done.get()
    finally:
        stopped.set()
        for worker in held:
            worker.close()


def patiently(worker: Worker, assignment: Assignment, timeout: float, stopped: threading.Event) -> tuple[Answered, int]:
    """The answer to an assignment, tried once more if the worker is lost, and how many tries were lost.

    It does not raise: what goes wrong fails this case and no other.
    """
    reason = "stopped"
    for tries in range(TRIES):
        if stopped.is_set():
            break
        try:
            _empty(Path(assignment.folder))
            return worker.draw(assignment, timeout), tries
        except WorkerLost as error:
            reason = str(error)
        except Exception as error:  # such as a full disk; a thread that ends would leave the run waiting for its case
            reason = f"{type(error).__name__}: {error}"
    return Answered(status="failed", error=reason), TRIES


def _serve(
    worker: Worker,
    todo: queue.SimpleQueue[Assignment],
    done: queue.SimpleQueue[Finished],
    timeout: float,
    stopped: threading.Event,
) -> None:
    while not stopped.is_set():
        try:
            assignment = todo.get_nowait()
        except queue.Empty:
            return
        answered, lost = patiently(worker, assignment, timeout, stopped)
        done.put((assignment, answered, lost))


def _empty(folder: Path) -> None:
    """Without what a lost try may have left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
