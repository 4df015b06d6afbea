"""The worker of this project's own systems, as a process."""

from __future__ import annotations

from pathlib import Path

from chatdit.eval_systems import named_system
from chatdit.evals.running.worker import Assignment, Worker


def test_our_worker_answers_on_a_stream_of_its_own(painter_folder: Path, tmp_path: Path) -> None:
    found = named_system("table", None, str(painter_folder))
    assert len(found.weights()) == 64
    out = tmp_path / "scratch" / "c"
    out.mkdir(parents=True)
    worker = Worker(found.worker, tmp_path / "log", threads=1)
    drawn = worker.draw(
        Assignment(case="c", instruction="Draw a cat on the beach.", inputs=(), seed=3, folder=str(out)), 120
    )
    failed = worker.draw(Assignment(case="c", instruction=" ", inputs=("absent.png",), seed=3, folder=str(out)), 60)
    worker.close()
    assert drawn.status == "done" and Path(drawn.pictures[0]).parent == out
    assert failed.status == "failed" and failed.error
    assert [p.name for p in out.parent.iterdir()] == ["c"], "its home is gone"
