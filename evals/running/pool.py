"""Several workers, each with a model of its own, that share the cases of a run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

from chatdit.evals.running.worker import Answered, Assignment, Worker, WorkerLost

TRIES = 2
"""How often a case is given to a worker before it counts as failed."""
Finished = tuple[Assignment, Answered, int]
"""An assignment, its answer, and how many tries before were lost."""


def draw_all(
    assignments: Sequence[Assignment], make: Callable[[int], Worker], workers: int, timeout: float
) -> Iterator[Finished]:
    """Each assignment's answer as it comes; closing the iterator ends all workers.

    `make` is given a number from 1. A worker that is lost is started anew and its case tried once more.
    """
    todo: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Finished] = queue.SimpleQueue()
    for assignment in assignments:
        todo.put(assignment)
    with ExitStack() as stack:
        held = [stack.enter_context(closing(make(i + 1))) for i in range(min(workers, len(assignments)))]
        stopped = threading.Event()
        stack.callback(stopped.set)
        for worker in held:
            todo.put(None)
            threading.Thread(target=_serve, args=(worker, todo, done, timeout, stopped), daemon=True).start()
        for _ in assignments:
            yield done.get()


def _serve(
    worker: Worker,
    todo: queue.SimpleQueue[Assignment | None],
    done: queue.SimpleQueue[Finished],
    timeout: float,
    stopped: threading.Event,
) -> None:
    while (assignment := todo.get()) is not None and not stopped.is_set():
        answered, lost = _patiently(worker, assignment, timeout, stopped)
        done.put((assignment, answered, lost))


def _patiently(
    worker: Worker, assignment: Assignment, timeout: float, stopped: threading.Event
) -> tuple[Answered, int]:
    reason = ""
    for tries in range(TRIES):
        if stopped.is_set():
            break
        try:
            return worker.draw(assignment, timeout), tries
        except WorkerLost as error:
            reason = str(error)
        except OSError as error:
            reason = f"the worker cannot be started: {error.strerror}: {error.filename}"
    return Answered(status="failed", error=reason), TRIES
