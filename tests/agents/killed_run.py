"""Run by test_executor.py and test_graph.py in a process of its own, which it kills: `killed_run.py MODE FOLDER`.

MODE `executor` runs three nodes and dies after the second is reported; `turn` runs a turn of three
pictures and dies inside the third.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tests.agents import conftest as doubles
else:
    _spec = importlib.util.spec_from_file_location("doubles", Path(__file__).with_name("conftest.py"))
    doubles = importlib.util.module_from_spec(_spec)
    sys.modules["doubles"] = doubles
    _spec.loader.exec_module(doubles)

from chatdit.agents.brain import Request
from chatdit.agents.events import Event, NodeFinished, NodeProgress
from chatdit.agents.executor import execute
from chatdit.agents.graph import Conversation, Deps


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


def executor(folder: Path) -> None:
    bench = doubles.Bench(folder)

    def after_two(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.id == "draw_b":
            die()

    execute(doubles.three_nodes(), bench.tools, bench.context, bench.cache, after_two)


def turn(folder: Path) -> None:
    bench = doubles.Bench(folder)
    brain = doubles.ScriptedBrain(doubles.asking("a", "b", "c"))
    deps = Deps(brain=brain, tools=bench.tools, context=bench.context, cache=bench.cache)
    with Conversation(deps, folder / "turns.sqlite", "session") as conversation:
        for event in conversation.start(Request("three pictures"), auto_approve=True):
            if isinstance(event, NodeProgress) and event.id == "draw_3":
                die()


if __name__ == "__main__":
    {"executor": executor, "turn": turn}[sys.argv[1]](Path(sys.argv[2]))
