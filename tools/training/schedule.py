"""Training time as a budget: learning rate by the share of it that has passed, and a log of the run."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Clock:
    """Minutes given to a stage; the share of them that has passed drives its schedule.

    `used` seconds of an earlier, interrupted run count as passed. With `steps` the share is counted
    in steps instead, so that a run does not depend on how fast the machine is.
    """

    def __init__(self, minutes: float, used: float = 0.0, steps: int | None = None) -> None:
        self._budget = minutes * 60
        self._steps = steps
        self._start = time.monotonic() - used

    @property
    def seconds(self) -> float:
        """Seconds passed, earlier runs included."""
        return time.monotonic() - self._start

    def share(self, step: int) -> float:
        """Share of the budget that has passed before `step`, from 0 to 1."""
        return min(1.0, step / self._steps if self._steps else self.seconds / self._budget)

    def rate(self, step: int, warmup: int, flat: float, started: int = 0) -> float:
        """Factor on the learning rate: linear warm-up from step `started`, 1 until share `flat`, linear to 0."""
        return min(1.0, (step - started + 1) / warmup) * min(1.0, (1 - self.share(step)) / (1 - flat))


class RunLog:
    """One JSON object a line, on disk at once and in short on stderr."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, **values: float | int | str) -> None:
        """Append `values`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        print(" ".join(f"{k}={_short(v)}" for k, v in values.items()), file=sys.stderr, flush=True)


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
