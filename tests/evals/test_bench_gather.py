"""The gather bench on a short sequence, and what its committed record promises."""

from __future__ import annotations

import json

import pytest

from chatdit.evals import bench_gather
from chatdit.evals.records import RECORDS
from chatdit.kernels.sparse_attention import sparse_attention


def test_every_block_size_is_timed_with_its_density_and_error() -> None:
    record = bench_gather.run(tokens=1280, heads=2, threads=(1,), repeats=2)
    rows = record["rows"]
    assert isinstance(rows, list) and [(row["block"], row["threads"]) for row in rows] == [(64, 1), (128, 1)]
    for row in rows:
        assert row["density"] == pytest.approx(0.1, abs=0.001)
        assert row["ms"] > 0 and row["error"] < bench_gather.MAX_ERROR
        low, high = row["ratio_quartiles"]
        assert low <= row["ratio"] <= high


def test_nothing_is_timed_when_the_output_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: object, impl: str, **others: object) -> object:
        out = sparse_attention(*args, impl=impl, **others)  # type: ignore[call-overload]
        return out + 1 if impl == "gather" else out

    monkeypatch.setattr(bench_gather, "sparse_attention", wrong)
    with pytest.raises(RuntimeError, match="nothing was timed"):
        bench_gather.run(tokens=256, heads=1, threads=(1,), repeats=2)


def test_the_record_shows_what_was_asked() -> None:
    rows = json.loads((RECORDS / "gather.json").read_text())["rows"]
    assert {(row["block"], row["threads"]) for row in rows} == {(b, t) for b in (64, 128) for t in (1, 2)}
    assert all(row["density"] <= 0.1 for row in rows)
    assert min(row["ratio"] for row in rows if row["block"] == 128 and row["threads"] == 2) >= 3
