"""The comparison of trainings: its sums, and that what is done is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.evals import bench_llsa_training
from chatdit.tools.training.pixel import PixelResult

CPU = torch.device("cpu")


def test_trainings_are_compared_seed_by_seed_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[object, int]] = []

    def train(pictures: object, recipe: object, policy: object, seed: int, **others: Any) -> PixelResult:
        trained.append((policy, seed))
        base = 0.5 + 0.01 * seed
        return PixelResult(base, base, 10.0, None) if policy is None else PixelResult(base + 0.002, base, 4.0, 0.1)

    monkeypatch.setattr(bench_llsa_training, "train_pixel", train)
    record = bench_llsa_training.run(tmp_path, device=CPU, seeds=(0, 1), steps=4, side=16)
    assert [(p is None, seed) for p, seed in trained] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert record["difference"] == 0.002 and record["difference_range"] == [0.002, 0.002]
    assert record["seed_spread"] == pytest.approx(0.00707) and record["speed"] == 2.5
    assert json.dumps(record)
    again = bench_llsa_training.run(tmp_path, device=CPU, seeds=(0, 1), steps=4, side=16)
    assert len(trained) == 4 and again["rows"] == record["rows"]
    bench_llsa_training.run(tmp_path, device=CPU, seeds=(0,), steps=5, side=16)
    assert len(trained) == 6, "another recipe is another training"


def test_a_small_trial_runs_through(tmp_path: Path) -> None:
    record = bench_llsa_training.run(tmp_path, device=CPU, seeds=(0,), steps=4, side=16)
    rows = record["rows"]
    assert isinstance(rows, list) and [row["attention"] for row in rows] == ["dense", "llsa"]
    assert rows[0]["density"] is None and 0 < rows[1]["density"] <= 1
    assert record["seed_spread"] is None
