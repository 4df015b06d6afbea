"""Slow calls side by side, on threads that keep no process alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


def side_by_side(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """What `calls` return, in their order, at most `threads` at a time.

    The first error stops the calls that have not begun, and is raised when those under way are done, so that
    what they pay for is kept. Ctrl-C waits for nobody.
    """
    return _Crew(calls).results(min(threads, len(calls)))


class _Crew(Generic[T]):
    def __init__(self, calls: Sequence[Callable[[], T]]) -> None:
        self._calls, self._waiting = calls, iter(range(len(calls)))
        self._results: dict[int, T] = {}
        self._errors: list[BaseException] = []
        self._lock, self._done = threading.Lock(), SimpleQueue[None]()

    def results(self, threads: int) -> list[T]:
        try:
            for _ in range(threads):
                threading.Thread(target=self._work, daemon=True).start()
            for _ in range(threads):
                self._done.get()
        except BaseException as stop:
            self._errors.append(stop)  # so that nothing more begins behind
            raise
        if self._errors:
            raise self._errors[0]
        return [self._results[at] for at in range(len(self._calls))]

    def _work(self) -> None:
        try:
            while (at := self._next()) is not None:
                self._results[at] = self._calls[at]()
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._done.put(None)

    def _next(self) -> int | None:
        with self._lock:
            return None if self._errors else next(self._waiting, None)
