"""Training time as a budget: learning rate by the share of it that has passed, and a log of the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


class Clock:
    """Minutes given to a stage; the share of them that has passed drives its schedule.

    `used` seconds of an earlier, interrupted run count as passed. With `steps` the share is counted
    in steps instead, so that a run does not depend on how fast the machine is. `sitting` minutes
    end this run early, to be gone on with later. `agree` makes processes that train together read
    one clock.
    """

    def __init__(
        self,
        minutes: float,
        used: float = 0.0,
        *,
        steps: int | None = None,
        sitting: float | None = None,
        agree: Callable[[float], float] = lambda value: value,
    ) -> None:
        self._budget = minutes * 60
        self._steps, self._agree = steps, agree
        self._end = float("inf") if sitting is None else used + sitting * 60
        self._start = time.monotonic() - used

    @property
    def seconds(self) -> float:
        """Seconds passed, earlier runs included."""
        return time.monotonic() - self._start

    def ticks(self, first: int = 0) -> Iterator[tuple[int, float]]:
        """(step, share passed before it) from step `first` until the budget or the sitting is over."""
        step = first
        while True:
            share = step / self._steps if self._steps else self.seconds / self._budget
            share = self._agree(2.0 if self.seconds > self._end else min(1.0, share))
            if share >= 1:
                return
            yield step, share
            step += 1


def rate(share: float, taken: int, warmup: int, flat: float) -> float:
    """Factor on the learning rate: linear warm-up over the steps `taken`, 1 until `share` is `flat`, linear to 0."""
    return min(1.0, (taken + 1) / warmup) * min(1.0, (1 - share) / (1 - flat))


class RunLog:
    """One JSON object a line, on disk at once and, when `spoken`, in short on stderr; nothing at all when `quiet`."""

    def __init__(self, path: Path, *, quiet: bool = False, spoken: bool = True) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._quiet, self._spoken = path, quiet, spoken

    def write(self, **values: float | int | str) -> None:
        """Append `values`."""
        if self._quiet:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        if not self._spoken:
            return
        print(" ".join(f"{k}={_short(v)}" for k, v in values.items()), file=sys.stderr, flush=True)


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
