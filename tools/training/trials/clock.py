"""Times the steps of a trial in laps, so that a device is waited for only now and then."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Lap:
    """Some steps in a row; the first lap of a phase holds what its first step costs once."""

    phase: int
    steps: int
    seconds: float
    first: bool


class TrialClock:
    """Seconds of training at the steady pace of each phase, the median of its laps but the first."""

    def __init__(self, device: torch.device, lap: int = 20) -> None:
        self._device, self._lap = device, lap
        self._laps: list[Lap] = []
        self._phase, self._steps = -1, 0
        self._started = 0.0

    def new_phase(self) -> None:
        """What follows may have another pace."""
        self._end_lap()
        self._phase += 1

    def tick(self) -> None:
        """A step is done; the first of a phase is a lap of its own."""
        self._steps += 1
        if self._steps == self._lap or self._is_first():
            self._end_lap()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside does not count."""
        self._end_lap()
        yield
        self._started = self._now()

    def seconds_at(self, step: int) -> float:
        """Seconds of the first `step` steps; laps end wherever the clock was stopped."""
        pace, seconds, passed = self._paces(), 0.0, 0
        for lap in self._laps:
            steps = min(lap.steps, step - passed)
            seconds += steps * pace[lap.phase]
            passed += steps
        return seconds

    def median_ms(self) -> float:
        """Of all steady laps."""
        return 1000 * statistics.median(lap.seconds / lap.steps for lap in self._steady())

    def phase_ms(self) -> tuple[float, ...]:
        """The pace of each phase."""
        return tuple(1000 * pace for pace in self._paces().values())

    def _paces(self) -> dict[int, float]:
        laps = self._steady()
        return {
            phase: statistics.median(lap.seconds / lap.steps for lap in laps if lap.phase == phase)
            for phase in sorted({lap.phase for lap in laps})
        }

    def _steady(self) -> list[Lap]:
        """Laps without the first of each phase, unless it is the only one."""
        later = {lap.phase for lap in self._laps if not lap.first}
        return [lap for lap in self._laps if not lap.first or lap.phase not in later]

    def _is_first(self) -> bool:
        return not any(lap.phase == self._phase for lap in self._laps)

    def _end_lap(self) -> None:
        now = self._now()
        if self._steps:
            self._laps.append(Lap(self._phase, self._steps, now - self._started, self._is_first()))
        self._started, self._steps = now, 0

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
