"""The suites as an inspect_ai task, for people who live there: `inspect eval` runs the same worker and the same judge.

inspect eval evals/running/inspect_task.py -T suite=pocket -T planner=table --model none
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
from pathlib import Path

from inspect_ai import Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import MemoryDataset, Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr  # pyright: ignore[reportMissingImports]
from inspect_ai.solver import Generate, Solver, TaskState, solver  # pyright: ignore[reportMissingImports]

from chatdit.evals.judges.pocket_judge import PocketJudge
from chatdit.evals.running.pool import patiently
from chatdit.evals.running.runner import TIMEOUT, case_seed
from chatdit.evals.running.worker import Assignment, Worker
from chatdit.evals.scoring import case_score
from chatdit.evals.suites.case import Case, Suite
from chatdit.evals.suites.idea_bench import select
from chatdit.evals.suites.named_suite import open_suite


@task
def idea_bench(
    suite: str = "pocket", planner: str = "offline", model: str = "pocket", limit: int | None = None, seed: int = 0
) -> Task:
    """A suite by name or folder over one of this project's planners; scores are of gated cases, in [0, 1]."""
    folder = Path(tempfile.mkdtemp(prefix="chatdit-inspect-"))
    chosen = select(open_suite(suite, folder / "suite"), limit=limit)
    command = [sys.executable, "-P", "-m", "chatdit.eval_worker", f"planner={planner}", f"model={model}"]
    return Task(
        dataset=MemoryDataset([_sample(case) for case in chosen.cases], name=chosen.name),
        solver=draw(command, chosen, folder, seed),
        scorer=gated_score(chosen),
    )


@solver
def draw(command: list[str], suite: Suite, folder: Path, seed: int) -> Solver:
    """Draws a case with a worker that all cases share; the output is a list of the pictures' paths."""
    worker, cases = Worker(command, folder / "worker.log", threads=1), {c.id: c for c in suite.cases}
    one = asyncio.Lock()

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        case = cases[str(state.sample_id)]
        out = folder / case.id
        assignment = Assignment(
            case=case.id,
            instruction=case.instruction,
            inputs=tuple(str(p) for p in case.pictures),
            seed=case_seed(seed, case.id),
            folder=str(out),
        )
        async with one:
            answered, _ = await asyncio.to_thread(patiently, worker, assignment, TIMEOUT, threading.Event())
        state.output.completion = json.dumps(answered.pictures)
        return state

    return solve


@scorer(metrics=[mean(), stderr()])
def gated_score(suite: Suite) -> Scorer:
    """The pocket judge's six answers, gated."""
    judge, cases = PocketJudge(), {c.id: c for c in suite.cases}

    async def grade(state: TaskState, target: Target) -> Score:
        pictures = [Path(p) for p in json.loads(state.output.completion or "[]")]
        if not pictures:
            return Score(value=0.0, explanation="there is no picture")
        answers = judge.verdict(cases[str(state.sample_id)], pictures).answers
        reasons = [a.reason for a in answers if a.reason]
        return Score(value=case_score([a.score for a in answers]), explanation="; ".join(reasons))

    return grade


def _sample(case: Case) -> Sample:
    return Sample(input=case.instruction, id=case.id, metadata={"category": case.category, "group": case.group})
