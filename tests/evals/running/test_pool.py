"""What a lost try leaves is not taken for the next one's, and no error leaves a run waiting."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from chatdit.evals.running.pool import TRIES, draw_all, patiently
from chatdit.evals.running.worker import Answered, Assignment, Worker

LEAVES = """
import os, pathlib, sys, json
for line in sys.stdin:
    out = pathlib.Path(json.loads(line)["folder"])
    before = sorted(p.name for p in out.iterdir())
    (out / "left.png").touch()
    died = pathlib.Path(sys.argv[1])
    if not died.exists():
        died.touch()
        os._exit(3)
    print(json.dumps({"status": "done", "reply": str(before)}), flush=True)
"""


def _assignment(folder: Path, case: str = "c") -> Assignment:
    return Assignment(case=case, instruction="one", inputs=(), seed=1, folder=str(folder))


class _Odd(Worker):
    """Fails as no worker should."""

    def draw(self, assignment: Assignment, timeout: float) -> Answered:
        raise ZeroDivisionError("odd")


def test_a_lost_try_leaves_no_picture_behind(tmp_path: Path) -> None:
    worker = Worker([sys.executable, "-c", LEAVES, str(tmp_path / "died")], tmp_path / "log", threads=1)
    answered, lost = patiently(worker, _assignment(tmp_path / "out"), 20, threading.Event())
    worker.close()
    assert (answered.status, answered.reply, lost) == ("done", "[]", 1)


def test_an_unforeseen_error_fails_its_case_alone(tmp_path: Path) -> None:
    given = [_assignment(tmp_path / case, case) for case in "ab"]
    ended = list(draw_all(given, lambda n: _Odd([], tmp_path / "log", 1), 2, 5))
    assert sorted(a.case for a, _, _ in ended) == ["a", "b"]
    assert {(answered.status, answered.error, lost) for _, answered, lost in ended} == {
        ("failed", "ZeroDivisionError: odd", TRIES)
    }


def test_nothing_to_draw_starts_nothing() -> None:
    assert list(draw_all([], lambda n: Worker([], Path(), 1), 2, 5)) == []
