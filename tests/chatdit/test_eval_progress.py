"""How far a command is, and how long it will take by what was done since it began."""

from __future__ import annotations

import time

import pytest

from chatdit.eval_progress import progress


def test_lines_come_now_and_then_and_do_not_count_what_was_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress() as notify:
        notify("cases", 100, 120)
        for done in range(101, 121):
            now += 20.0
            notify("cases", done, 120)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cases 102/120, about 6 min left", "18 cases of 20 seconds"
    assert len(lines) == 9 and all(line.startswith("cases ") for line in lines)


def test_a_count_that_follows_another_begins_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress() as notify:
        notify("cases", 0, 1)
        now = 6000.0
        notify("judged", 0, 4)
        now = 6060.0
        notify("judged", 1, 4)
    assert capsys.readouterr().err == "judged 1/4, about 3 min left\n"
