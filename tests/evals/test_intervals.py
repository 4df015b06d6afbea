"""Intervals against values worked out elsewhere."""

from __future__ import annotations

import pytest

from chatdit.evals.intervals import bootstrap_mean, paired_median_ratio, proportion


def test_wilson_interval() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662
    estimate = proportion([True] * 81 + [False] * 182)
    assert estimate.ci_low == pytest.approx(0.2553, abs=1e-4)
    assert estimate.ci_high == pytest.approx(0.3662, abs=1e-4)
    assert proportion([True] * 10).ci_low > 0.7 and proportion([True] * 10).ci_high == pytest.approx(1.0)


def test_bootstrap_covers_the_mean_and_narrows_with_n() -> None:
    few, many = bootstrap_mean([0.0, 1.0] * 5), bootstrap_mean([0.0, 1.0] * 200)
    assert few.ci_low < 0.5 < few.ci_high
    assert many.ci_high - many.ci_low < few.ci_high - few.ci_low


def test_no_cases_is_an_error() -> None:
    with pytest.raises(ValueError, match="no cases"):
        proportion([])
    with pytest.raises(ValueError, match="no cases"):
        bootstrap_mean([])


def test_a_ratio_of_medians_is_over_pairs() -> None:
    plain = [1.0, 1.2, 3.0, 1.1, 5.0, 1.3, 1.2]
    exact = paired_median_ratio([2 * t for t in plain], plain)
    assert (exact.value, exact.ci_low, exact.ci_high, exact.n) == (2.0, 2.0, 2.0, 7), "a slow machine slows down both"
    apart = paired_median_ratio([2.0, 2.2, 2.4, 2.1, 2.6, 2.5], [1.0, 1.1, 1.0, 1.2, 1.0, 1.1])
    assert apart.ci_low < apart.value < apart.ci_high
    with pytest.raises(ValueError, match="2 and 1 cases make no pairs"):
        paired_median_ratio([1.0, 2.0], [1.0])
