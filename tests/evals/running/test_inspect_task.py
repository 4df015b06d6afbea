"""The suites as a task of inspect_ai, with the fake system in the worker's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chatdit.evals.suites.case import Suite

inspect_ai = pytest.importorskip("inspect_ai", reason="needs the extra: pip install 'chatdit[inspect]'")
MakeSuite = Callable[..., Suite]


def test_a_suite_is_run_and_scored(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    from chatdit.evals.running.inspect_task import draw, gated_score, idea_bench

    suite = make_suite("one", "two", "ask", "one", "die")
    task = idea_bench(str(suite.root), seed=1)
    task.solver, task.scorer = draw(system, suite, tmp_path, 1), [gated_score(suite)]
    (log,) = inspect_ai.eval(task, model="mockllm/model", log_dir=str(tmp_path / "logs"), display="none")
    assert log.status == "success", log.error
    values = {s.id: next(iter(s.scores.values())).value for s in log.samples}
    assert values == {"task_0000": 1.0, "task_0001": 0.0, "task_0002": 0.0, "task_0003": 1.0, "task_0004": 0.0}
