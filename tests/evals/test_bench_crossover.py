"""The crossover bench, and that the cost model's table is what its record says."""

from __future__ import annotations

import json

import pytest

from chatdit.evals import bench_crossover
from chatdit.evals.records import RECORDS
from chatdit.tools.runtime.cost_model import crossover
from chatdit.tools.runtime.named_policy import named_policy


@pytest.mark.parametrize(("device", "file"), [("cpu", "crossover.json"), ("cuda", "crossover_cuda.json")])
def test_the_cost_model_holds_what_was_measured(device: str, file: str) -> None:
    record = json.loads((RECORDS / file).read_text())
    for name, tokens in record["crossover_tokens"].items():
        assert crossover(name, device).tokens == tokens, name
        assert f"evals/records/{file}" in crossover(name, device).origin


def test_on_a_gpu_wide_calls_pay_where_they_do() -> None:
    """Whole steps of FLUX, whose calls are eight times as wide as pocket's, say which policies pay at their lengths."""
    width = 24 * 128
    steps = json.loads((RECORDS / "attention_steps.json").read_text())["rows"]
    told = {row["policy"]: row["ratio"] > 1 for row in steps if row["side"] == 2048 and row["policy"] != "dense"}
    # NABLA keeps nine tenths of the blocks of random weights, whatever the length
    for name in set(told) - {"nabla"}:
        assert (named_policy(name, "cuda").too_short(16_896, width) is None) == told[name], name
        assert named_policy(name, "cuda").too_short(4_608, width) is not None, "a picture of 1024 pixels"
    assert named_policy("llsa", "cuda").too_short(16_896, 6 * 64) is not None


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({288: 0.5, 1056: 1.5, 4128: 3.0}, 1056),
        ({288: 2.0, 1056: 0.9, 4128: 1.1}, 4128),
        ({288: 0.5, 1056: 0.9}, None),
        ({288: None, 1056: 1.2}, 1056),
    ],
)
def test_a_crossover_holds_for_every_larger_size(ratios: dict[int, float | None], expected: int | None) -> None:
    rows: list[dict[str, object]] = []
    for tokens, ratio in ratios.items():
        found: dict[str, object] = {"refused": "k"} if ratio is None else {"ratio": ratio}
        rows.append({"tokens": tokens, "threads": 1} | found)
    assert bench_crossover._crossover(rows) == expected
    slow: dict[str, object] = {"tokens": max(ratios), "threads": 2, "ratio": 0.8}
    assert bench_crossover._crossover([*rows, slow]) is None


def test_two_sizes_are_timed() -> None:
    record = bench_crossover.run(sides=(128,), threads=(1,), repeats=1)
    rows = record["rows"]
    assert isinstance(rows, list) and {row["tokens"] for row in rows} == {64 + 32}
    timed = [row for row in rows if "refused" not in row]
    assert {"tesa", "efficient-vdit", "clear"} <= {row["policy"] for row in timed}
    assert all(row["ms"] > 0 and row["ratio"] == pytest.approx(row["ms_dense"] / row["ms"], rel=0.05) for row in timed)
    assert "k is 8" in next(row["refused"] for row in rows if row["policy"] == "llsa")


@pytest.mark.gpu
def test_on_a_gpu_policies_are_timed_in_bf16() -> None:
    record = bench_crossover.run(device="cuda", sides=(512,), repeats=2)
    assert record["benchmark"] == "crossover_cuda"
    rows = record["rows"]
    assert isinstance(rows, list) and all(row["ms"] > 0 for row in rows if "refused" not in row)
