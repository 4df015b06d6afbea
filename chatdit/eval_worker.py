"""The worker of this project's own systems: a session for each case, over one painter and one brain.

    python -m chatdit.eval_worker PLANNER MODEL

It reads assignments from stdin and answers on stdout, both in JSON lines (`chatdit.evals.running.worker`).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from chatdit.agents.brain import EndpointError, InstructionError, ModelReplyError
from chatdit.agents.plan import PlanError
from chatdit.config import load_settings
from chatdit.evals.running.worker import Answered, Assignment
from chatdit.exit_codes import one_line
from chatdit.session import Session
from chatdit.tools.types import ToolError
from chatdit.workshop import Workshop

MEANT_FOR_PEOPLE = (EndpointError, InstructionError, ModelReplyError, PlanError, ToolError, OSError)


def answer(assignment: Assignment, workshop: Workshop) -> Answered:
    """What a new conversation makes of one case."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="chatdit-case-") as home:
        settings = workshop.settings.model_copy(update={"out": Path(assignment.folder)})
        with Session(settings, home=home, workshop=workshop) as session:
            try:
                turn = session.send(assignment.instruction, assignment.inputs, seed=assignment.seed)
            except MEANT_FOR_PEOPLE as error:
                return Answered(status="failed", error=one_line(error), seconds=time.perf_counter() - started)
            return Answered(
                status="done" if turn.images else "asked",
                pictures=tuple(str(picture.path) for picture in turn.images),
                reply=turn.reply,
                plan=None if turn.plan is None else turn.plan.model_dump(mode="json", by_alias=True),
                seconds=time.perf_counter() - started,
            )


def main() -> None:
    """Answer assignments until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else prints must not stand between the answers
    planner, model = sys.argv[1:3]
    workshop = Workshop(load_settings({"planner": planner, "model": model}))
    for line in sys.stdin:
        answers.write(answer(Assignment.model_validate_json(line), workshop).model_dump_json() + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
