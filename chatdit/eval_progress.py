"""How long commands tell how far they are: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Notify = Callable[[str, int, int], None]
SECONDS_BETWEEN_LINES = 30.0


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
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, int] = {}

        def notify(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(bar.add_task(what, total=total))
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield notify


def _lines() -> Notify:
    began = last = time.monotonic()

    def notify(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and 0 < done < total:
            last = now
            left = (now - began) / done * (total - done)
            print(f"{what} {done}/{total}, about {left / 60:.0f} min left", file=sys.stderr, flush=True)

    return notify
