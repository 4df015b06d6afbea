"""The startup benchmark: what it measures is what a person waits for, and a broken command is no number."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from chatdit.evals import bench_startup
from chatdit.evals.records import write_record


def _stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(bench_startup, "COMMAND", (sys.executable, "-S", "-c", code))


def test_the_summary_is_median_extremes_and_count() -> None:
    assert bench_startup.summary([3.0, 1.0, 2.0, 9.0]) == {"median": 2.5, "min": 1.0, "max": 9.0, "n": 4}


def test_the_real_help_is_quick() -> None:
    assert 0.02 < bench_startup.seconds_to_help() < 20


def test_a_run_takes_as_long_as_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, "import time; time.sleep(0.5)")
    assert 0.5 <= bench_startup.seconds_to_picture("a cat") < 10


def test_the_prompt_is_waited_for_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, "import sys, time; assert sys.stdin.isatty(); time.sleep(0.5); print('›'); time.sleep(60)")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    assert 0.5 <= bench_startup.seconds_to_prompt() < 20


def test_each_process_has_a_home_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; sys.exit(os.environ['HOME'] in os.environ['CHATDIT_HOME'] and 'CHATDIT_SEED' in os.environ)"
    _stand_in(monkeypatch, code)
    monkeypatch.setenv("CHATDIT_SEED", "4")
    assert bench_startup.seconds_to_help() > 0


@pytest.mark.parametrize("measure", [bench_startup.seconds_to_help, bench_startup.seconds_to_prompt])
def test_a_command_that_fails_is_no_measurement(monkeypatch: pytest.MonkeyPatch, measure: object) -> None:
    _stand_in(monkeypatch, "raise SystemExit('broken')")
    with pytest.raises(RuntimeError, match="ended"):
        measure()  # type: ignore[operator]


def test_the_record_says_what_was_measured_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _stand_in(monkeypatch, "print('\\u203a')")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    record = bench_startup.run(repeats=2)
    assert {record[name]["n"] for name in ("help_seconds", "prompt_seconds", "first_picture_seconds")} == {2}  # type: ignore[index]
    assert {"device", "versions", "commit", "date", "command"} < set(record)
    written = write_record(record, tmp_path / "records")
    assert written.name == "startup.json" and json.loads(written.read_text()) == record


def test_no_repeats_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bench_startup.run(repeats=0)
