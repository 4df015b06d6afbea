"""IDEA-Bench's score: gates, the three published averages, intervals, and what a judge's own mistakes do to them."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import fmean

import pytest

from chatdit.evals.scoring import MINI_TASKS, JudgeErrors, ScoringError, case_score, gated, score
from chatdit.evals.suites.case import CATEGORIES, Case, Category, Question

YES, NO = (True,) * 6, (False,) * 6


def _case(category: Category, task: str, number: int, group: str = "") -> Case:
    return Case(
        id=f"{category}-{task}_{number:04d}", task=task, task_name=task, group=group or task, category=category,
        instruction="Draw.", folder=Path(), output_count=1, questions=(Question(text="?"),) * 6, sha256="0" * 64,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "points"),
    [
        ((1, 1, 1, 1, 1, 1), 6),
        ((0, 0, 0, 0, 0, 0), 0),
        ((0, 1, 1, 1, 1, 1), 1),
        ((1, 0, 1, 1, 1, 1), 1),
        ((1, 1, 0, 1, 1, 1), 3),
        ((1, 1, 1, 0, 1, 1), 3),
        ((1, 1, 1, 1, 0, 1), 5),
        ((1, 1, 1, 1, None, 1), 5),
        ((None, 1, 1, 1, 1, 1), 1),
        ((0, 0, 1, 1, 1, 1), 0),
    ],
)
def test_a_no_in_a_tier_closes_those_above(answers: tuple[int | None, ...], points: int) -> None:
    given = [None if a is None else bool(a) for a in answers]
    assert case_score(given) == pytest.approx(points / 6)
    counted = sum(bool(a) and not out for a, out in zip(given, gated(given), strict=True))
    assert counted == points


def test_no_picture_is_no_point_and_other_numbers_of_answers_are_refused() -> None:
    assert case_score(None) == 0
    with pytest.raises(ScoringError, match="5 answers: expected 6"):
        gated([True] * 5)


def test_a_category_is_the_mean_over_groups_or_over_tasks() -> None:
    cases = [_case("T2I", "a", 1, "g"), _case("T2I", "a", 2, "g"), _case("T2I", "b", 1, "g"), _case("T2I", "c", 1)]
    answers = {cases[0].id: YES, cases[1].id: NO, cases[2].id: NO, cases[3].id: YES}
    by_group, by_task = (score(cases, answers, how) for how in ("group", "task"))
    assert by_group.categories["T2I"].value == pytest.approx(100 * (fmean((0.5, 0)) + 1) / 2)
    assert by_task.categories["T2I"].value == pytest.approx(100 * (0.5 + 0 + 1) / 3)
    assert by_group.groups == {("T2I", "g"): 25, ("T2I", "c"): 100}
    assert by_task.tasks == {("T2I", "a"): 50, ("T2I", "b"): 0, ("T2I", "c"): 100}
    assert by_group.aggregation == "group" and by_task.told()["aggregation"] == "task"


def test_the_overall_score_is_the_mean_of_the_categories() -> None:
    published = {"T2I": 46.06, "I2I": 12.13, "Is2I": 4.89, "T2Is": 20.15, "IS2Is": 29.17}
    cases = [_case(c, "t", n) for c in CATEGORIES for n in range(1, 601)]
    answers = {}
    for case in cases:
        answers[case.id] = YES if int(case.id[-4:]) <= round(6 * published[case.category]) else NO
    found = score(cases, answers)
    for category, value in published.items():
        assert found.categories[category].value == pytest.approx(value, abs=0.1)  # type: ignore[index]
    assert found.overall.value == pytest.approx(22.48, abs=0.05), "the leaderboard's row of FLUX"


def test_published_averages_are_means_of_five_and_one_of_them_is_wrong() -> None:
    rows = {22.48: (46.06, 12.13, 4.89, 20.15, 29.17), 14.83: (24.04, 10.79, 4.69, 21.59, 13.06),
            13.07: (24.34, 6.95, 5.27, 14.36, 14.44), 6.81: (17.98, 7.05, 8.98, 0, 0), 6.47: (21.41, 8.17, 2.77, 0, 0),
            3.81: (0, 19.07, 0, 0, 0), 37.34: (83.33, 28.71, 4.86, 32.29, 37.50)}  # fmt: skip
    for overall, categories in rows.items():
        assert fmean(categories) == pytest.approx(overall, abs=0.01)
    assert fmean(rows[37.34]) != pytest.approx(37.48, abs=0.1), "as the project's own picture has it"


def test_a_point_of_a_task_of_three_cases_is_the_published_grain() -> None:
    cases = [_case("I2I", "t", n) for n in (1, 2, 3)]
    one = {c.id: NO for c in cases} | {cases[0].id: (True, False, True, True, True, True)}
    assert score(cases, one).categories["I2I"].value == pytest.approx(5.56, abs=0.01)


def test_the_mini_average_knows_its_tasks_and_its_number() -> None:
    cases = [_case(c, t, n) for c in CATEGORIES for t in MINI_TASKS[c] for n in (1, 2, 3)]
    cases += [_case("T2I", "9999", n) for n in (1, 2, 3)]
    answers = {c.id: NO if c.task == "9999" else YES for c in cases}
    found = score(cases, answers, "mini")
    assert len(cases) == 51 and found.overall.value == 100, "other tasks are told and not averaged"
    assert found.tasks["T2I", "9999"] == 0
    with pytest.raises(ScoringError, match="exactly 51"):
        score(cases[:50], answers, "mini")


def test_what_is_missing_or_unread_counts_nothing_and_is_counted() -> None:
    cases = [_case("T2I", "a", n) for n in (1, 2, 3, 4)]
    found = score(cases, {cases[0].id: YES, cases[1].id: (True, True, None, True, True, True)})
    assert found.categories["T2I"].value == pytest.approx(100 * (1 + 3 / 6) / 4)
    assert (found.cases, found.missing, found.unreadable) == (4, 2, 1)
    with pytest.raises(ScoringError, match="no case"):
        score([], {})


def _many(seed: int, share: float) -> tuple[list[Case], dict[str, tuple[bool, ...]]]:
    rng = random.Random(seed)
    cases = [_case("T2I", f"{n % 20:02d}", n) for n in range(100)]
    return cases, {c.id: tuple(rng.random() < share for _ in range(6)) for c in cases}


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    truth = fmean(case_score(a) for seed in range(200, 260) for a in _many(seed, 0.8)[1].values()) * 100
    held = 0
    for seed in range(60):
        cases, answers = _many(seed, 0.8)
        found = score(cases, answers, "task").categories["T2I"]
        held += found.ci_low <= truth <= found.ci_high
    assert held >= 51


def test_a_judge_that_errs_widens_the_interval_and_moves_no_value() -> None:
    cases, answers = _many(1, 0.8)
    sure, unsure = score(cases, answers), score(cases, answers, errors=JudgeErrors(20, 80, 20, 80))
    good = score(cases, answers, errors=JudgeErrors(0, 10_000, 0, 10_000))
    widths = [s.overall.ci_high - s.overall.ci_low for s in (sure, good, unsure)]
    assert sure.overall.value == unsure.overall.value
    assert widths[1] == pytest.approx(widths[0], rel=0.05) and widths[2] > 1.15 * widths[0]


def test_a_judge_cannot_err_about_pictures_that_are_not_there() -> None:
    cases, _ = _many(1, 0.8)
    found = score(cases, {}, errors=JudgeErrors(20, 80, 20, 80)).overall
    assert (found.value, found.ci_low, found.ci_high) == (0, 0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    cases, answers = _many(1, 0.8)
    assert score(cases, answers) == score(cases, answers) != score(cases, answers, seed=1)
