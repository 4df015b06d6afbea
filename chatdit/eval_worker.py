"""The worker of this project's own systems: a session for each case, over one painter and one brain.

    python -m chatdit.eval_worker planner=table model=pocket ...

Settings that stand there win over files and environment.
It reads assignments from stdin and answers on stdout, both in JSON lines (`chatdit.evals.running.worker`).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from chatdit.config import load_settings
from chatdit.evals.running.worker import Answered, Assignment
from chatdit.exit_codes import exit_code, one_line
from chatdit.session import Session
from chatdit.workshop import Workshop


def answer(assignment: Assignment, workshop: Workshop) -> Answered:
    """What a new conversation makes of one case."""
    started = time.perf_counter()
    out = Path(assignment.folder)
    with tempfile.TemporaryDirectory(prefix=f"{out.name}-", dir=out.parent) as home:
        settings = workshop.settings.model_copy(update={"out": out})
        with Session(settings, home=home, workshop=workshop) as session:
            try:
                turn = session.send(assignment.instruction, assignment.inputs, seed=assignment.seed)
            except Exception as error:
                if exit_code(error) is None:  # a fault of ours: this process ends, and its log says where
                    raise
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
    settings = load_settings(dict(word.split("=", 1) for word in sys.argv[1:]))
    workshop = Workshop(settings)
    for line in sys.stdin:
        answers.write(answer(Assignment.model_validate_json(line), workshop).model_dump_json() + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
