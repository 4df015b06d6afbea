"""How long commands tell how far they are: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Notify = Callable[[str, int, int], None]
SECONDS_BETWEEN_LINES = 30.0
SECONDS_OF_SPEED = 1800.0
"""What the time left is estimated from: a case may take minutes."""


@contextmanager
def progress() -> Iterator[Notify]:
    """What to call with what is counted, how many are done, and of how many; everything goes to stderr."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=SECONDS_OF_SPEED) as bar:
        tasks: dict[str, int] = {}

        def notify(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(bar.add_task(what, total=total))
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield notify


def _lines() -> Notify:
    """A line now and then; the time left goes by what was done since this count began, not by what was there before."""
    told = time.monotonic()
    began: dict[str, tuple[float, int]] = {}

    def notify(what: str, done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        start, before = began.setdefault(what, (now, done))
        if now - told >= SECONDS_BETWEEN_LINES and before < done < total:
            told = now
            left = (now - start) / (done - before) * (total - done)
            print(f"{what} {done}/{total}, about {left / 60:.0f} min left", file=sys.stderr, flush=True)

    return notify
