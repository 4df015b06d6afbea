"""What a method is worth: the row of a claim, and the two claims of `generate` on a small model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatdit.evals.effect_claims import CLAIMS, tools_with_claims
from chatdit.evals.effects import Bench, Claim, Measured, Trial, effect_row, run

WORKS = Measured(tuple(Trial(0.1 * (i % 3), 0.8, 0.1 * (i % 3)) for i in range(30)), 0.0, 1.5)


def _row(measured: Measured) -> dict[str, object]:
    return effect_row(Claim("t", "it helps", "share", "paper", lambda bench, cases, seed: measured), measured)


def test_a_row_tells_the_paired_difference_and_what_the_control_leaves() -> None:
    row = _row(WORKS)
    assert row["n"] == 30 and row["base"] == 0.1 and row["effect"] == 0.7
    assert 0.6 < float(str(row["ci_low"])) < 0.7 < float(str(row["ci_high"])) < 0.8
    assert row["control_effect"] == 0 and row["cost_ratio"] == 1.5 and row["holds"] is True


def test_a_claim_without_effect_does_not_hold() -> None:
    nothing = replace(WORKS, trials=tuple(Trial(t.base, t.base, t.base) for t in WORKS.trials))
    assert _row(nothing)["holds"] is False and _row(nothing)["effect"] == 0


def test_a_claim_whose_control_does_as_well_does_not_hold() -> None:
    as_well = replace(WORKS, trials=tuple(replace(t, control=t.treated) for t in WORKS.trials))
    assert _row(as_well)["holds"] is False


def test_a_method_that_changes_something_when_neutral_does_not_hold() -> None:
    assert _row(replace(WORKS, identity_max_abs=1e-3))["holds"] is False


def test_a_tool_without_claims_is_named() -> None:
    bench = Bench(None, None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no claim of a tool 'paint': expected one of edit, generate, ic_lora"):
        run(bench, CLAIMS, tool="paint")
    assert tools_with_claims() == ["edit", "generate", "ic_lora", "layout", "segment", "story", "subject"]
