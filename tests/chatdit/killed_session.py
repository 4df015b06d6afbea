"""Run by test_resume.py in a process of its own, which it kills: `killed_session.py HOME PAINTER`.

Says something that needs three pictures, prints the session's id, and dies while the second is drawn: in the thread
that draws, because whoever hears of its events may hear of them late; and not before the first picture is kept.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from chatdit.agents.events import NodeFinished
from chatdit.config import Settings
from chatdit.session import Session
from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.model import DiT, Row, SampledRow, SamplingOptions
from chatdit.tools.dit.sampler import Report

home, painter = sys.argv[1:3]
kept = threading.Event()
draw = DiT.sample


def draw_one(
    self: DiT,
    rows: Sequence[Row],
    plan: AttentionPlan | None = None,
    sampling: SamplingOptions | None = None,
    progress: Report | None = None,
) -> list[SampledRow]:
    """The first call draws; the second ends the process."""
    if not drawn:
        drawn.append(rows)
        return draw(self, rows, plan, sampling or SamplingOptions(), progress)
    if not kept.wait(60):
        raise SystemExit("the first picture was not kept")
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit("was not killed")


drawn: list[Sequence[Row]] = []
DiT.sample = draw_one  # type: ignore[method-assign]
session = Session(Settings(model=painter, device="cpu", seed=11), home=home)
print(session.id, flush=True)
for event in session.stream("a cat on the beach, then a dog on the moon, then a fox in the forest"):
    if isinstance(event, NodeFinished):
        kept.set()
raise SystemExit("was not killed")
