"""The comparison of arms: its sums, what it keeps, and a small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.evals import bench_trials
from chatdit.tools.training.trials.arms import ARMS, Arm
from chatdit.tools.training.trials.trial import CurvePoint, TrialRecipe, TrialResult

CPU = torch.device("cpu")
GAINS = {"plain": 0.0, "repa": -0.03, "repa-shuffled": -0.02, "muon-6e-3": float("nan")}


def _result(loss: float, pace: float) -> TrialResult:
    curve = tuple(CurvePoint(10 * i, 10 * i * pace, loss + 0.1 * (5 - i)) for i in range(1, 6))
    return TrialResult(loss, (loss,) * 5, curve, 50, 1000 * pace, (1000 * pace,), 50 * pace, 7, True, 0, ())


def _trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    done: list[tuple[str, int, int]] = []

    def train(pictures: Any, arm: Arm, recipe: TrialRecipe, seed: int, **others: Any) -> TrialResult:
        done.append((arm.name, seed, recipe.steps))
        return _result(0.5 + 0.01 * seed + GAINS[arm.name] * (1 + seed), 2.0 if arm.alignment else 1.0)

    class Pictures:
        device = CPU

    monkeypatch.setattr(bench_trials, "train_trial", train)
    monkeypatch.setattr(bench_trials, "_pictures", lambda recipe, arms, device: Pictures())
    return done


def test_arms_are_compared_seed_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = _trained(monkeypatch)
    record = bench_trials.run(tmp_path, device=CPU, arms=list(GAINS), seeds=(0, 1), steps=50)
    assert done == [(name, seed, 50) for seed in (0, 1) for name in GAINS]
    plain, repa, shuffled, lost = _arms(record)
    assert plain["loss"] == 0.505 and plain["spread"] == 0.00707 and "difference" not in plain
    assert repa["difference"] == -0.045 and repa["difference_range"] == [-0.06, -0.03]
    assert repa["baseline_spread"] == 0.00707 and repa["step_ms"] == 2000 and repa["parameters"] == 7
    # plain ends after 50 s, when repa is half way, between its second and its third point
    assert repa["difference_at_equal_time"] == pytest.approx(-0.045 + 0.25)
    assert repa["control_difference"] == -0.015 and repa["control_difference_range"] == [-0.02, -0.01]
    assert "control" not in shuffled
    assert lost["diverged"] == 2 and lost["loss"] is None and lost["difference"] is None
    assert json.loads(json.dumps(record, allow_nan=False))["benchmark"] == "trials"


def test_what_is_done_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = _trained(monkeypatch)
    record = bench_trials.run(tmp_path, device=CPU, arms=["plain", "repa"], seeds=(0, 1), steps=50)
    again = bench_trials.run(tmp_path, device=CPU, arms=["plain", "repa"], seeds=(0, 1), steps=50)
    assert len(done) == 4 and again["rows"] == record["rows"] and again["arms"] == record["arms"]
    bench_trials.run(tmp_path, device=CPU, arms=["plain", "repa-shuffled"], seeds=(0, 1, 2), steps=50)
    assert done[4:] == [("repa-shuffled", 0, 50), ("repa-shuffled", 1, 50), ("plain", 2, 50), ("repa-shuffled", 2, 50)]
    bench_trials.run(tmp_path, device=CPU, arms=["plain"], seeds=(0,), steps=60)
    assert done[-1] == ("plain", 0, 60), "another recipe is another training"
    path = tmp_path / "plain-1.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"arm": kept["arm"] | {"matrix_rate": 1.0}}))
    bench_trials.run(tmp_path, device=CPU, arms=["plain"], seeds=(1,), steps=50)
    assert done[-1] == ("plain", 1, 50), "another arm of that name is another training"


def test_only_the_sizes_that_are_trained_on_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[list[int]] = []
    monkeypatch.setattr(bench_trials, "draw_trial_pictures", lambda options, sides, *rest: sizes.append(sides))
    bench_trials._pictures(TrialRecipe(), [ARMS["plain"], ARMS["repa"]], CPU)
    bench_trials._pictures(TrialRecipe(), [ARMS["plain"], ARMS["128-then-256"]], CPU)
    assert sizes == [[128], [128, 256]]


def test_an_unknown_arm_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no arm is called 'magic': expected some of plain, muon-3e-3"):
        bench_trials.run(tmp_path, device=CPU, arms=["magic"])


def test_a_loss_is_read_off_a_curve() -> None:
    curve = [(1.0, 0.9), (3.0, 0.5), (4.0, 0.4)]
    assert [bench_trials.loss_at(curve, t) for t in (0, 1, 2, 3, 3.5, 9)] == pytest.approx(
        [0.9, 0.9, 0.7, 0.5, 0.45, 0.4]
    )


def test_a_small_run_goes_through(tmp_path: Path) -> None:
    names = ["plain", "haste-steps", "sra"]
    record = bench_trials.run(tmp_path, device=CPU, arms=names, seeds=(0,), steps=5)
    rows = record["rows"]
    assert isinstance(rows, list) and [row["arm"] for row in rows] == names
    assert [row["aligned_steps"] for row in rows] == [0, 2, 5]
    assert all(0 < row["loss"] < 3 and len(row["bins"]) == len(row["curve"]) == 5 for row in rows)
    plain, haste, _ = _arms(record)
    assert plain["spread"] is None and haste["difference"] == pytest.approx(rows[1]["loss"] - rows[0]["loss"], abs=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["haste-steps-0.json", "plain-0.json", "sra-0.json"]


def _arms(record: dict[str, object]) -> list[dict[str, Any]]:
    arms = record["arms"]
    assert isinstance(arms, list)
    return arms
