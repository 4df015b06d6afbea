"""Runs a suite over a system, has it judged, and adds the scores up. Each part goes on where it was left."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from chatdit.evals.judges.judge import Answer, Judge, Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.running.pool import Finished, draw_all
from chatdit.evals.running.run_folder import Notify, Result, RunFolder, unfinished
from chatdit.evals.running.worker import Answered, Assignment, Worker
from chatdit.evals.scoring import Aggregation, JudgeErrors, Scores, score
from chatdit.evals.suites.case import QUESTIONS, Case, Suite
from chatdit.tools.types import ToolError

Draw = Callable[[Sequence[Assignment]], Generator[Finished, None, None]]
"""Gives each assignment's answer as it comes: `local_pool`, or Ray's; closing it ends the workers."""
TIMEOUT = 600.0


def local_pool(
    folder: RunFolder, command: Sequence[str], workers: int, timeout: float = TIMEOUT, gpus: Sequence[str] = ()
) -> Draw:
    """Workers on this machine, which share its cores and, of several GPUs, take turns to be given one each.

    GPUs are named as CUDA_VISIBLE_DEVICES names them.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)

    def make(number: int) -> Worker:
        alone = {"CUDA_VISIBLE_DEVICES": gpus[(number - 1) % len(gpus)]} if len(gpus) > 1 else {}
        return Worker(command, folder.log(number), threads, alone)

    return lambda assignments: draw_all(assignments, make, workers, timeout)


def run_suite(
    suite: Suite,
    folder: RunFolder,
    system: str,
    draw: Draw,
    seed: int,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, Result]:
    """Draw every case that has no result yet; gives all results. What is finished stays, whatever ends this early."""
    todo = unfinished(suite.cases, folder.results())
    cases = {case.id: case for case in todo}
    done = len(suite.cases) - len(todo)
    notify("cases", done, len(suite.cases))
    with (
        folder.scratch() as scratch,
        closing(draw([_assignment(case, seed, scratch) for case in todo])) as finished,
    ):
        for assignment, answered, lost in finished:
            folder.add(_kept(folder, system, cases[assignment.case], assignment, answered, lost))
            shutil.rmtree(assignment.folder, ignore_errors=True)
            done += 1
            notify("cases", done, len(suite.cases))
    return folder.results()


def judge_run(
    suite: Suite, folder: RunFolder, judge: Judge, notify: Notify = lambda what, done, total: None
) -> dict[str, Verdict]:
    """The judge's verdict on every case that has a picture; those it gave on the same pictures before are kept."""
    known = folder.verdicts(judge.name)
    found: dict[str, Verdict] = {}
    for i, case in enumerate(suite.cases):
        notify("judged", i, len(suite.cases))
        pictures = folder.pictures(case.id)
        if not pictures:
            continue
        verdict = known.get(case.id)
        if verdict is None or not _holds(verdict, case, pictures, judge):
            verdict = _verdict(case, pictures, judge)
            folder.add_verdict(verdict)
        found[case.id] = verdict
    notify("judged", len(suite.cases), len(suite.cases))
    return found


def score_run(
    suite: Suite,
    verdicts: Mapping[str, Verdict],
    aggregation: Aggregation = "group",
    errors: JudgeErrors | None = None,
) -> Scores:
    """The scores of a judged run; cases without a picture count 0 and are counted."""
    return score(suite.cases, answers_of(verdicts), aggregation, errors)


def answers_of(verdicts: Mapping[str, Verdict]) -> dict[str, tuple[bool | None, ...]]:
    """Each case's six answers."""
    return {case: tuple(a.score for a in verdict.answers) for case, verdict in verdicts.items()}


def case_seed(seed: int, case: str) -> int:
    """The seed of one case: the same for every system, so that systems are compared in pairs."""
    return int.from_bytes(hashlib.sha256(f"{seed}-{case}".encode()).digest()[:4], "big") >> 1


def no_answers() -> tuple[Answer, ...]:
    """What a case without pictures is worth."""
    return (Answer(score=False, reason="there is no picture"),) * QUESTIONS


def _assignment(case: Case, seed: int, scratch: Path) -> Assignment:
    folder = (scratch / case.id).absolute()  # a command may change the folder that it stands in
    folder.mkdir()
    return Assignment(
        case=case.id,
        instruction=case.instruction,
        inputs=tuple(str(p.absolute()) for p in case.pictures),
        seed=case_seed(seed, case.id),
        folder=str(folder),
    )


def _kept(folder: RunFolder, system: str, case: Case, assignment: Assignment, answered: Answered, lost: int) -> Result:
    """The case's line, its pictures taken over; a system that hands over none, or what is no picture, has failed."""
    told = answered.model_dump(include={"status", "reply", "plan", "seconds", "error"})
    try:
        pictures = folder.keep(system, case.id, [Path(p) for p in answered.pictures])
    except ToolError as error:
        pictures = folder.keep(system, case.id, ())
        told |= {"status": "failed", "error": str(error)}
    if answered.status == "done" and not answered.pictures:
        told |= {"status": "failed", "error": "the system says that it is done, and made no picture"}
    return Result(case=case.id, case_sha256=case.sha256, pictures=pictures, seed=assignment.seed, retries=lost, **told)


def _verdict(case: Case, pictures: Sequence[Path], judge: Judge) -> Verdict:
    """The judge's; where a file is no picture, which another system may have left, one without any answer."""
    try:
        return judge.verdict(case, pictures)
    except ToolError as error:
        return Verdict(
            case=case.id,
            case_sha256=case.sha256,
            outputs_sha256=outputs_sha256(pictures),
            judge=judge.name,
            fingerprint=judge.fingerprint,
            answers=(Answer(score=None, reason=str(error)),) * QUESTIONS,
        )


def _holds(verdict: Verdict, case: Case, pictures: Sequence[Path], judge: Judge) -> bool:
    mine = verdict.case_sha256, verdict.fingerprint, verdict.outputs_sha256
    return mine == (case.sha256, judge.fingerprint, outputs_sha256(pictures))
