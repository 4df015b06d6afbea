"""Steps that two processes share are timed, and compared with those of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatdit.evals import bench_shared_steps


def test_two_processes_share_the_steps_of_a_small_model(pair: Any) -> None:
    record, nothing = pair(Path(__file__).with_name("shared_steps_member.py"))
    assert nothing is None, "the first process speaks for both"
    assert record["device"]["count"] == 2
    rows = {row["policy"]: row for row in record["rows"]}
    assert list(rows) == ["dense", "draft"]
    for row in rows.values():
        assert row["error"] < 1e-5 and row["ms"] > 0 and row["ms_one"] > 0
        assert row["speed"] == pytest.approx(row["ms_one"] / row["ms"], rel=0.01)
    assert rows["dense"]["effect"] == 0 and rows["draft"]["effect"] > 1e-4


def test_one_process_is_too_few() -> None:
    with pytest.raises(ValueError, match="needs two processes"):
        bench_shared_steps.run(tiny=True)
