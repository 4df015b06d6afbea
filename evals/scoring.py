"""IDEA-Bench's score (arXiv 2412.11767): six answers in three gated tiers, and the three published ways to average.

The ways give different numbers for the same answers, so that each result names its own and they are never mixed.
Layout legend: N cases, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chatdit.evals.intervals import Estimate
from chatdit.evals.suites.case import CATEGORIES, QUESTIONS, Case, Category

Aggregation = Literal["group", "task", "mini"]
"""A category is the mean over groups of tasks (the human leaderboard's), over tasks, or over the mini script's 16."""
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
Answers = Sequence[bool | None]
RESAMPLES = 2000
MINI_CASES = 51
MINI_TASKS: Mapping[Category, tuple[str, ...]] = {
    "T2I": ("0024", "0026", "0028"),
    "I2I": ("0063", "0072"),
    "Is2I": ("0064", "0065", "0073"),
    "T2Is": ("0014", "0015", "0016", "0017"),
    "IS2Is": ("0044", "0045", "0046", "0049"),
}
"""The tasks that the published script averages, of the 18 that it speaks of."""
Floats = NDArray[np.float64]


class ScoringError(ValueError):
    """Answers that cannot be averaged in the way asked for."""


@dataclass(frozen=True)
class JudgeErrors:
    """How often a judge's yes and its no were wrong, counted where the truth was known."""

    yes_wrong: int
    yes_right: int
    no_wrong: int
    no_right: int


@dataclass(frozen=True)
class Scores:
    """All numbers of one system on one suite, in percent."""

    aggregation: Aggregation
    overall: Estimate
    categories: Mapping[Category, Estimate]
    standard_errors: Mapping[str, float]
    """Of `overall` and each category."""
    groups: Mapping[tuple[Category, str], float]
    tasks: Mapping[tuple[Category, str], float]
    cases: int
    missing: int
    """Cases without answers, scored 0."""
    unreadable: int
    """Questions that the judge did not answer, scored 0."""

    def told(self) -> dict[str, object]:
        """The same as plain data."""
        return {
            "aggregation": self.aggregation,
            "overall": self.overall.rounded(2),
            **{name: e.rounded(2) for name, e in self.categories.items()},
            "standard_errors": {name: round(v, 2) for name, v in self.standard_errors.items()},
            "groups": {f"{c}/{g}": round(v, 2) for (c, g), v in self.groups.items()},
            "tasks": {f"{c}/{t}": round(v, 2) for (c, t), v in self.tasks.items()},
            "counts": {"cases": self.cases, "missing": self.missing, "unreadable": self.unreadable},
        }


def gated(answers: Answers) -> tuple[bool, ...]:
    """For each of six answers whether it is left out, because a tier below it has a no.

    Raises ScoringError when there are not six.
    """
    if len(answers) != QUESTIONS:
        raise ScoringError(f"{len(answers)} answers: expected {QUESTIONS}")
    basic = bool(answers[0] and answers[1])
    middle = basic and bool(answers[2] and answers[3])
    return False, False, not basic, not basic, not middle, not middle


def case_score(answers: Answers | None) -> float:
    """A case's score in [0, 1]: its yes that count, over six; 0 without answers."""
    if answers is None:
        return 0.0
    return sum(bool(a) and not out for a, out in zip(answers, gated(answers), strict=True)) / QUESTIONS


def score(
    cases: Sequence[Case],
    answers: Mapping[str, Answers],
    aggregation: Aggregation = "group",
    errors: JudgeErrors | None = None,
    seed: int = 0,
) -> Scores:
    """The scores of a system whose answers are given by case id; a case without answers counts 0.

    Intervals are percentiles of a bootstrap over the cases of each category. `errors` widens them by what the judge's
    own mistakes may do.

    Raises:
        ScoringError: no case, answers that are not six, or other cases than the mini aggregation is defined for.
    """
    _check(cases, aggregation)
    matrix = np.array([_row(answers.get(case.id)) for case in cases])
    weights = case_weights(cases, aggregation)
    values = _gated_scores(matrix) * 100
    judged = np.array([case.id in answers for case in cases])
    noise = None if errors is None else _noise(matrix, judged, errors, np.random.default_rng(seed + 1)) * 100
    draws = resampled(cases, values, weights, seed, noise)
    found: dict[Category, Estimate] = {
        c: _within(estimate_of(_mean(values[rows], weights[rows]), draws[c], len(rows))) for c, rows in rows_of(cases)
    }
    overall = np.mean([draws[c] for c in draws], axis=0)
    return Scores(
        aggregation=aggregation,
        overall=_within(estimate_of(float(np.mean([e.value for e in found.values()])), overall, len(cases))),
        categories=found,
        standard_errors={"overall": float(overall.std()), **{c: float(d.std()) for c, d in draws.items()}},
        groups=_means(cases, values, lambda case: case.group),
        tasks=_means(cases, values, lambda case: case.task_name),
        cases=len(cases),
        missing=sum(case.id not in answers for case in cases),
        unreadable=sum(a is None for case in cases for a in answers.get(case.id, ())),
    )


def case_weights(cases: Sequence[Case], aggregation: Aggregation) -> Floats:
    """(N,): each case's share of its category's mean; those that the aggregation leaves out have 0.

    A group's score is the mean of its tasks', which is an inference: the published groups mostly hold one task.
    """
    weights = np.zeros(len(cases))
    for _, rows in rows_of(cases):
        units: dict[str, dict[str, list[int]]] = {}
        for i in rows:
            case = cases[i]
            if aggregation == "mini" and case.task not in MINI_TASKS[case.category]:
                continue
            unit = case.group if aggregation == "group" else case.task
            units.setdefault(unit, {}).setdefault(case.task, []).append(i)
        for tasks in units.values():
            for members in tasks.values():
                weights[members] = 1 / len(units) / len(tasks) / len(members)
    return weights


def rows_of(cases: Sequence[Case]) -> Iterable[tuple[Category, NDArray[np.int64]]]:
    """For each category that has cases, where they stand."""
    for category in CATEGORIES:
        rows = np.array([i for i, case in enumerate(cases) if case.category == category], dtype=np.int64)
        if len(rows):
            yield category, rows


def resampled(
    cases: Sequence[Case], values: Floats, weights: Floats, seed: int, noise: Floats | None = None
) -> dict[Category, Floats]:
    """For each category (R,) weighted means of cases drawn with replacement; `noise` (R, N) is added to the values."""
    rng, found = np.random.default_rng(seed), {}
    for category, rows in rows_of(cases):
        picked = rows[rng.integers(0, len(rows), (RESAMPLES, len(rows)))]
        drawn = values[picked]
        if noise is not None:
            drawn = drawn + np.take_along_axis(noise, picked, axis=1)
        # a resample may hold no case that counts: then it says nothing, and the whole mean stands in
        total = weights[picked].sum(axis=1)
        mean = (drawn * weights[picked]).sum(axis=1) / np.where(total > 0, total, 1)
        found[category] = np.where(total > 0, mean, _mean(values[rows], weights[rows]))
    return found


def _check(cases: Sequence[Case], aggregation: Aggregation) -> None:
    if not cases:
        raise ScoringError("no case to score: expected at least one")
    if aggregation == "mini" and len(cases) != MINI_CASES:
        raise ScoringError(
            f"{len(cases)} cases: the mini script averages exactly {MINI_CASES}; score with group or task instead"
        )


def _row(answers: Answers | None) -> list[bool]:
    if answers is None:
        return [False] * QUESTIONS
    gated(answers)
    return [bool(a) for a in answers]


def _gated_scores(answers: NDArray[np.bool_]) -> Floats:
    """(...,) scores in [0, 1] of answers (..., 6)."""
    basic = answers[..., 0] & answers[..., 1]
    middle = basic & answers[..., 2] & answers[..., 3]
    counted = answers[..., :2].sum(axis=-1) + basic * answers[..., 2:4].sum(axis=-1)
    found: Floats = (counted + middle * answers[..., 4:].sum(axis=-1)) / QUESTIONS
    return found


def _noise(
    answers: NDArray[np.bool_], judged: NDArray[np.bool_], errors: JudgeErrors, rng: np.random.Generator
) -> Floats:
    """(R, N): what the scores would differ from their mean if the judge's answers flipped as often as it was wrong.

    Each resample draws the two shares from their posterior under Jeffreys' prior. The shares are of what it answered,
    at the mixture of right and wrong pictures on which it was checked; at another mixture they differ somewhat.
    """
    yes, no = (
        rng.beta(wrong + 0.5, right + 0.5, (RESAMPLES, 1, 1))
        for wrong, right in ((errors.yes_wrong, errors.yes_right), (errors.no_wrong, errors.no_right))
    )
    flips = rng.random((RESAMPLES, *answers.shape)) < np.where(answers, yes, no)
    flipped = _gated_scores(answers ^ flips)
    noise: Floats = (flipped - flipped.mean(axis=0)) * judged
    return noise


def _mean(values: Floats, weights: Floats) -> float:
    return float((values * weights).sum() / weights.sum()) if weights.sum() else 0.0


def estimate_of(value: float, draws: Floats, n: int) -> Estimate:
    """A value with the 95 % interval of its resamples (R,)."""
    low, high = np.percentile(draws, (2.5, 97.5))
    return Estimate(value, float(low), float(high), n)


def _within(estimate: Estimate) -> Estimate:
    """The estimate with its interval cut to what a score can be."""
    return replace(estimate, ci_low=max(0.0, estimate.ci_low), ci_high=min(100.0, estimate.ci_high))


def _means(cases: Sequence[Case], values: Floats, unit: Callable[[Case], str]) -> dict[tuple[Category, str], float]:
    """Mean over the tasks of each unit."""
    tasks: dict[tuple[Category, str], dict[str, list[float]]] = {}
    for case, value in zip(cases, values, strict=True):
        tasks.setdefault((case.category, unit(case)), {}).setdefault(case.task, []).append(float(value))
    return {key: float(np.mean([np.mean(v) for v in members.values()])) for key, members in tasks.items()}
