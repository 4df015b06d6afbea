"""A small suite of one's own, and a system that draws it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.suites.case import Case, Question, Suite
from chatdit.evals.suites.idea_bench import load_suite, sealed, write_case

MakeSuite = Callable[..., Suite]
SYSTEM = Path(__file__).with_name("fake_system.py")


@pytest.fixture
def make_suite(tmp_path: Path) -> MakeSuite:
    """A suite on disk with a case for each instruction; odd ones have a reference picture."""

    def make(*instructions: str) -> Suite:
        root = tmp_path / "suite"
        for i, instruction in enumerate(instructions):
            pictures = [Image.new("RGB", (16, 16), "blue")] * (i % 2)
            case = Case(
                id=f"task_{i:04d}", task="0001", task_name="task", group="task", category="I2I" if i % 2 else "T2I",
                instruction=instruction, folder=root / f"task_{i:04d}", inputs=("0001.png",) * (i % 2), output_count=1,
                questions=tuple(Question(text=f"Q{q}", check=[{"kind": "count", "outputs": 1}]) for q in range(6)),
                sha256="0" * 64,
            )  # fmt: skip
            write_case(root, sealed(case, pictures), pictures)
        return load_suite(root, "small")

    return make


@pytest.fixture
def system(tmp_path: Path) -> list[str]:
    """The command line of the fake system's worker; its notes go to `tmp_path`."""
    return [sys.executable, "-P", str(SYSTEM), str(tmp_path)]
