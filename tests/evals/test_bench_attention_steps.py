"""The step benchmark on a tiny model: the same code that runs at full size, every number a measured one."""

from __future__ import annotations

import pytest
import torch

from chatdit.evals import bench_attention_steps

POLICIES = ("llsa", "draft", "clear")


def test_a_tiny_step_is_timed_dense_and_with_policies() -> None:
    record = bench_attention_steps.run(sides=(512,), policies=POLICIES, tiny=True)
    rows = {row["policy"]: row for row in record["rows"]}  # type: ignore[attr-defined]
    assert list(rows) == ["dense", *POLICIES]
    assert {row["tokens"] for row in rows.values()} == {1024 + 16}
    for name in POLICIES:
        row = rows[name]
        assert (row["sparse_calls"], row["dense_calls"]) == (2, 0), row
        assert row["ms"] > 0 and row["ratio"] == pytest.approx(row["ms_dense"] / row["ms"], abs=1e-3)
        assert 0 < row["density"] <= 1
    assert rows["llsa"]["density"] < 0.5
    assert 0 < rows["dense"]["attention_share_of_dense"] < 1.5
    assert {"benchmark", "command", "commit", "device", "versions", "model"} < set(record)
    assert record["command"] == "chatdit bench attention-steps --sides 512 --policies llsa,draft,clear --tiny --json"


def test_a_policy_that_cannot_work_is_a_row_that_says_so() -> None:
    record = bench_attention_steps.run(sides=(64,), policies=("vsa",), tiny=True)
    row = record["rows"][1]  # type: ignore[index]
    assert (row["sparse_calls"], row["dense_calls"]) == (0, 2)
    assert row["reasons"] == ["vsa cannot plan this: k is 32; it must be from 1 to the number of key blocks, 1"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_full_size_needs_a_device() -> None:
    with pytest.raises(RuntimeError, match="needs a CUDA device: run it on one, or add --tiny"):
        bench_attention_steps.run()


@pytest.mark.gpu
def test_full_size_dense_is_timed_on_a_device() -> None:
    record = bench_attention_steps.run(sides=(512,), policies=())
    assert record["rows"][0]["ms"] > 1  # type: ignore[index]
