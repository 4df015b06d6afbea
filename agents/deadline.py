"""A call that is given up after so many seconds of wall clock, whatever it waits for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, from a thread of its own.

    A client's timeouts count from byte to byte and again for each retry, so that an endpoint which
    drips holds it for ever; this does not. A call that is given up goes on behind and keeps nothing alive.

    Raises:
        TimeoutError: `call` is not done after `seconds`.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
