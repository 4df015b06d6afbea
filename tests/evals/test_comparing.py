"""Two systems on the same cases."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chatdit.evals.comparing import compare
from chatdit.evals.scoring import score
from chatdit.evals.suites.case import Case, Question

CASES = [
    Case(
        id=f"c_{n:04d}", task=f"{n % 9}", task_name="t", group=f"{n % 9}", category="T2I" if n % 2 else "I2I",
        instruction="Draw.", folder=Path(), output_count=1, questions=(Question(text="?"),) * 6, sha256="0" * 64,
    )
    for n in range(80)
]  # fmt: skip
Answers = dict[str, tuple[bool, ...]]


def _answers(seed: int, share: float) -> Answers:
    rng = random.Random(seed)
    return {c.id: tuple(rng.random() < share for _ in range(6)) for c in CASES}


def test_a_difference_is_that_of_the_scores() -> None:
    a, b = _answers(1, 0.9), _answers(2, 0.5)
    found = {d.category: d for d in compare(CASES, a, b)}
    one, other = score(CASES, a), score(CASES, b)
    assert found["overall"].estimate.value == pytest.approx(one.overall.value - other.overall.value)
    for category in ("T2I", "I2I"):
        away = one.categories[category].value - other.categories[category].value
        assert found[category].estimate.value == pytest.approx(away)
    assert found["overall"].estimate.ci_low > 0 and found["overall"].better > 3 * found["overall"].worse


def test_the_same_answers_do_not_differ() -> None:
    a = _answers(1, 0.7)
    for d in compare(CASES, a, dict(a)):
        assert (d.estimate.value, d.estimate.ci_low, d.estimate.ci_high) == (0, 0, 0)
        assert (d.better, d.worse) == (0, 0) and d.same == d.estimate.n


def test_pairs_tell_more_than_two_intervals() -> None:
    a = _answers(1, 0.7)
    b = {case: (answers if i % 8 else (False,) * 6) for i, (case, answers) in enumerate(a.items())}
    paired = compare(CASES, a, b)[0].estimate
    alone = score(CASES, a).overall
    assert paired.ci_low > 0 and paired.ci_high - paired.ci_low < 0.8 * (alone.ci_high - alone.ci_low)


def test_a_case_without_an_answer_counts_nothing() -> None:
    a = _answers(1, 1.0)
    found = compare(CASES, a, {})[0]
    assert found.estimate.value == 100 and (found.better, found.same, found.worse) == (80, 0, 0)
    assert found.told()["difference"] == 100
