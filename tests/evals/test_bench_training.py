"""The benchmark of a training step: its parts, and what they add up to."""

from __future__ import annotations

import pytest
import torch

from chatdit.evals import bench_training
from chatdit.tools.training.base import BaseRecipe


def test_every_part_is_timed_and_a_step_is_their_sum() -> None:
    record = bench_training.run(device=torch.device("cpu"), repeats=1, small=True)
    parts = record["parts"]
    assert isinstance(parts, dict) and record["benchmark"] == "training"
    assert {f"{what}_{n}" for what in ("draw", "encode", "eager") for n in (1, 2, 4)} < set(parts)
    assert {"optimiser", "average"} < set(parts) and not any(name.startswith("compiled") for name in parts)
    assert all(0 < part["ms_host"] <= part["ms"] for part in parts.values())
    assert isinstance(record["step_ms"], float) and record["step_ms"] > parts["optimiser"]["ms"]


def test_a_mean_step_takes_a_quarter_of_a_batch_of_new_pictures() -> None:
    recipe = BaseRecipe(batches={1: 8, 2: 4}, shares={1: 0.75, 2: 0.25}, chunk=16, reuse=4)
    ms = {"draw_1": 16, "encode_1": 16, "draw_2": 8, "encode_2": 0, "eager_1": 99, "eager_2": 40, "compiled_1": 10}
    parts = {name: {"ms": float(value)} for name, value in (ms | {"optimiser": 2, "average": 1}).items()}
    # of sets of one 2 of 16 are new, of sets of two 1 of 8
    assert bench_training._mean_step(recipe, parts) == pytest.approx(3 + 0.75 * (10 + 4) + 0.25 * (40 + 1))
