"""A worker's process is ended with all that it started, whoever ends it and whenever."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from chatdit.evals.running.worker import Assignment, Worker, WorkerLost

STARTER = """
import pathlib, subprocess, sys, time
for line in sys.stdin:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    time.sleep(120)
"""
SLOW_WRITER = """
import sys, time
for line in sys.stdin:
    told = '{"status": "done", "reply": "' + "x" * 200_000 + '"}'
    for part in (told[:70_000], told[70_000:], chr(10)):
        sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)
"""


def _assignment(folder: Path, instruction: str = "one") -> Assignment:
    return Assignment(case="c", instruction=instruction, inputs=(), seed=1, folder=str(folder))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def _told(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def test_what_a_worker_started_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    worker = Worker([sys.executable, "-c", STARTER, str(pid)], tmp_path / "log", threads=1)
    with pytest.raises(WorkerLost, match="no answer within 2 seconds"):
        worker.draw(_assignment(tmp_path), 2)
    assert _gone(_told(pid))


def test_closing_ends_a_drawing_at_once_and_for_good(tmp_path: Path) -> None:
    pid, lost = tmp_path / "pid", []
    worker = Worker([sys.executable, "-c", STARTER, str(pid)], tmp_path / "log", threads=1)

    def draw() -> None:
        with pytest.raises(WorkerLost) as error:
            worker.draw(_assignment(tmp_path), 100)
        lost.append(str(error.value))

    drawing = threading.Thread(target=draw)
    drawing.start()
    child, started = _told(pid), time.monotonic()
    worker.close()
    drawing.join(10)
    assert time.monotonic() - started < 10 and "ended with code -15" in lost[0] and _gone(child)
    pid.unlink()
    with pytest.raises(WorkerLost, match="was closed"):
        worker.draw(_assignment(tmp_path), 5)
    assert not pid.exists(), "it was not started again"


def test_an_answer_may_come_in_parts(tmp_path: Path) -> None:
    worker = Worker([sys.executable, "-c", SLOW_WRITER], tmp_path / "log", threads=1)
    assert len(worker.draw(_assignment(tmp_path), 20).reply) == 200_000
    worker.close()


def test_a_worker_that_cannot_be_started_is_lost(tmp_path: Path) -> None:
    worker = Worker([str(tmp_path / "absent")], tmp_path / "log", threads=1)
    with pytest.raises(WorkerLost, match=r"cannot be started: No such file or directory: .*absent"):
        worker.draw(_assignment(tmp_path), 5)
    worker.close()
