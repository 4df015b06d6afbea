"""What a person sees: the exact result line, plan rows, and a progress view that never lies."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from chatdit.agents.instruction import OutputSpec
from chatdit.agents.plan import Node, Plan, PlanOutput
from chatdit.records import Picture
from chatdit.render import DrawingView, notice, plan_table, questions, result_line
from chatdit.tools.types import ImageRef, Progress


def _console(terminal: bool = False, width: int = 120) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, color_system="truecolor" if terminal else None, width=width,
                   _environ={}), file  # fmt: skip


def _picture(steps: int | None, seconds: float, cached: bool = False) -> Picture:
    return Picture(
        number=7,
        path=Path("/x/a.png"),
        image=ImageRef(sha256="0" * 64, width=8, height=8),
        tool="generate",
        seed=41283,
        node="draw_1",
        index=0,
        output=OutputSpec(id="output_1", description="a cat"),
        steps=steps,
        seconds=seconds,
        cached=cached,
    )


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (_picture(8, 3.21), "#7 · generate · seed 41283 · 8 steps · 3.2 s · /x/a.png"),
        (_picture(1, 0.04), "#7 · generate · seed 41283 · 1 step · 0.0 s · /x/a.png"),
        (_picture(None, 3.21), "#7 · generate · 3.2 s · /x/a.png"),
        (_picture(8, 3.21, cached=True), "#7 · generate · seed 41283 · 8 steps · drawn before · /x/a.png"),
    ],
)
def test_the_result_line(picture: Picture, expected: str) -> None:
    assert result_line(picture).plain == expected


def test_a_person_is_told_what_was_drawn() -> None:
    assert result_line(_picture(8, 3.2), short=True).plain.endswith("· /x/a.png\n   a cat")


def test_the_plan_table_shows_captions_inputs_and_outputs() -> None:
    plan = Plan(
        nodes=(
            Node(id="draw_1", tool="generate", args={
                "panels": [{"caption": "a cat"}],
                "references": [{"image": {"$input": "input_1"}}],
            }),
            Node(id="draw_2", tool="generate", args={
                "panels": [{"caption": "a dog"}, {"caption": "a fox"}],
                "references": [{"image": {"$node": "draw_1"}}, {"image": {"$node": "draw_1", "index": 2}}],
            }),
            Node(id="other", tool="sharpen", args={"strength": 2}),
        ),
        outputs=(PlanOutput(id="output_1", node="draw_1"), PlanOutput(id="output_2", node="draw_2", index=1)),
    )  # fmt: skip
    console, file = _console()
    console.print(plan_table(plan))
    text = file.getvalue()
    first = next(line for line in text.splitlines() if line.startswith("draw_1"))
    assert first.split() == ["draw_1", "generate", "a", "cat", "input_1", "output_1"]
    assert "1. a dog" in text and "2. a fox" in text
    assert "draw_1[0], draw_1[2]" in text
    assert '{"strength": 2}' in text


def test_long_captions_fold_and_lose_nothing() -> None:
    caption = " ".join(f"word{i}" for i in range(60))
    console, file = _console(width=60)
    console.print(plan_table(Plan(nodes=(Node(id="a", tool="generate", args={"panels": [{"caption": caption}]}),))))
    assert all(f"word{i}" in file.getvalue() for i in range(60))


def test_questions_and_notices_are_plain_lines() -> None:
    assert questions(["Which cat?", "How many?"]).plain == "? Which cat?\n? How many?"
    assert notice("the painter cannot draw water").plain == "note: the painter cannot draw water"


def test_markup_in_what_people_write_is_shown_as_written() -> None:
    console, file = _console()
    console.print(questions(["[bold]really[/bold]?"]))
    assert "[bold]really[/bold]?" in file.getvalue()


def test_progress_shows_a_bar_and_the_preview_on_a_terminal() -> None:
    console, file = _console(terminal=True)
    red = np.full((8, 8, 3), (250, 1, 2), dtype=np.uint8)
    with DrawingView(console, "blocks") as view:
        view.step("draw_1", Progress("denoise", 3, 8, red))
        view._live.refresh()
    assert "draw_1 denoise" in file.getvalue()
    assert "3/8" in file.getvalue()
    assert "38;2;250;1;2" in file.getvalue()


def test_progress_is_silent_in_a_pipe() -> None:
    console, file = _console()
    with DrawingView(console, "off") as view:
        view.stage("loading")
        view.step("draw_1", Progress("denoise", 3, 8))
    assert file.getvalue() == ""
