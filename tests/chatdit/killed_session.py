"""Run by test_resume.py in a process of its own, which it kills: `killed_session.py HOME PAINTER STEP`.

Says something that needs three pictures, prints the session's id, and dies while STEP is drawing.
"""

from __future__ import annotations

import os
import signal
import sys

from chatdit.agents.events import NodeProgress
from chatdit.config import Settings
from chatdit.session import Session

home, painter, step = sys.argv[1:4]
session = Session(Settings(model=painter, device="cpu", seed=11), home=home)
print(session.id, flush=True)
for event in session.stream("a cat on the beach, then a dog on the moon, then a fox in the forest"):
    if isinstance(event, NodeProgress) and event.id == step and event.progress.stage == "sample":
        os.kill(os.getpid(), signal.SIGKILL)
raise SystemExit("was not killed")
