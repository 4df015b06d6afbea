"""Two systems on the same cases: differences of their scores, each with the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chatdit.evals.intervals import Estimate
from chatdit.evals.scoring import (
    Aggregation,
    Answers,
    Floats,
    case_score,
    case_weights,
    estimate_of,
    resampled,
    rows_of,
)
from chatdit.evals.suites.case import Case


@dataclass(frozen=True)
class Difference:
    """The first system's score less the second's, in percent, and in how many cases it is better, the same, worse."""

    category: str
    estimate: Estimate
    better: int
    same: int
    worse: int

    def told(self) -> dict[str, object]:
        """The same as plain data."""
        return {
            "category": self.category,
            "difference": round(self.estimate.value, 2),
            "ci_low": round(self.estimate.ci_low, 2),
            "ci_high": round(self.estimate.ci_high, 2),
            "n": self.estimate.n,
            "better": self.better,
            "same": self.same,
            "worse": self.worse,
        }


def compare(
    cases: Sequence[Case],
    first: Mapping[str, Answers],
    second: Mapping[str, Answers],
    aggregation: Aggregation = "group",
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Overall and for each category, over `cases`, which both systems were given; one without answers counts 0."""
    a, b = (np.array([100 * case_score(answers.get(c.id)) for c in cases]) for answers in (first, second))
    weights, away = case_weights(cases, aggregation), a - b
    draws = resampled(cases, away, weights, seed)
    parts = [_difference(name, away[rows], weights[rows], draws[name]) for name, rows in rows_of(cases)]
    mean = float(np.mean([p.estimate.value for p in parts]))
    overall = estimate_of(mean, np.mean([draws[p.category] for p in parts], axis=0), len(cases))  # type: ignore[index]
    return (Difference("overall", overall, *_counts(away)), *parts)


def _difference(category: str, away: Floats, weights: Floats, draws: Floats) -> Difference:
    value = float((away * weights).sum() / weights.sum()) if weights.sum() else 0.0
    return Difference(category, estimate_of(value, draws, len(away)), *_counts(away))


def _counts(away: Floats) -> tuple[int, int, int]:
    return int((away > 1e-9).sum()), int((np.abs(away) <= 1e-9).sum()), int((away < -1e-9).sum())
