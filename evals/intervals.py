"""Numbers with their uncertainty."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

_Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` cases with the bounds of its 95 % interval."""

    value: float
    ci_low: float
    ci_high: float
    n: int

    def rounded(self, digits: int = 4) -> dict[str, float]:
        """The same as plain data."""
        return {k: round(v, digits) if isinstance(v, float) else v for k, v in asdict(self).items()}


def proportion(hits: Sequence[bool]) -> Estimate:
    """Share of true values with Wilson's score interval (Wilson 1927). Raises ValueError when empty."""
    n = len(hits)
    if n == 0:
        raise ValueError("a proportion of no cases: expected at least one")
    p = sum(hits) / n
    spread = _Z95 * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n**2))
    centre = p + _Z95**2 / (2 * n)
    scale = 1 + _Z95**2 / n
    return Estimate(p, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale), n)


def bootstrap_mean(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Estimate:
    """Mean with the percentile bootstrap interval. Raises ValueError when empty."""
    return _bootstrap(statistics.fmean, values, seed, resamples)


def bootstrap_median(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Estimate:
    """Median with the percentile bootstrap interval. Raises ValueError when empty."""
    return _bootstrap(statistics.median, values, seed, resamples)


def _bootstrap(of: Callable[[Sequence[float]], float], values: Sequence[float], seed: int, resamples: int) -> Estimate:
    if not values:
        raise ValueError("a bootstrap of no cases: expected at least one")
    rng = random.Random(seed)
    found = sorted(of(rng.choices(values, k=len(values))) for _ in range(resamples))
    low, high = found[int(0.025 * resamples)], found[int(0.975 * resamples) - 1]
    return Estimate(of(values), low, high, len(values))


def bootstrap_ratio(values: Sequence[float], most: Sequence[float], seed: int = 0, resamples: int = 2000) -> Estimate:
    """Mean of `values` as a share of the mean of `most`, with the percentile bootstrap interval of both together.

    n is the number of `values`. Raises ValueError when either is empty.
    """
    if not values or not most:
        raise ValueError("a ratio of no cases: expected at least one of each")
    rng = random.Random(seed)
    ratios = sorted(
        statistics.fmean(rng.choices(values, k=len(values))) / statistics.fmean(rng.choices(most, k=len(most)))
        for _ in range(resamples)
    )
    low, high = ratios[int(0.025 * resamples)], ratios[int(0.975 * resamples) - 1]
    return Estimate(statistics.fmean(values) / statistics.fmean(most), low, high, len(values))


def paired_median_ratio(
    values: Sequence[float], most: Sequence[float], seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Median of `values` over that of `most`, with the percentile bootstrap interval over pairs of the two.

    Raises ValueError when there are none, or not as many of each.
    """
    if not values or len(values) != len(most):
        raise ValueError(f"{len(values)} and {len(most)} cases make no pairs: expected as many of each")
    rng = random.Random(seed)
    pairs = list(zip(values, most, strict=True))

    def ratio(chosen: Sequence[tuple[float, float]]) -> float:
        return statistics.median(a for a, _ in chosen) / statistics.median(b for _, b in chosen)

    ratios = sorted(ratio(rng.choices(pairs, k=len(pairs))) for _ in range(resamples))
    low, high = ratios[int(0.025 * resamples)], ratios[int(0.975 * resamples) - 1]
    return Estimate(ratio(pairs), low, high, len(pairs))
