"""The prompt: what keys do, what Tab offers, what is remembered. Keys come from a pipe, not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from chatdit.commands import COMMANDS
from chatdit.lines import PromptLines
from chatdit.prompt_line import LineCompleter, prompt_line

ALT_ENTER = "\x1b\r"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


def _prompt(keys: PipeInput, history: Path | None = None) -> PromptSession[str]:
    return prompt_line(COMMANDS, history, lambda: "status", source=keys, sink=DummyOutput())


def _typed(keys: PipeInput, text: str, history: Path | None = None) -> str:
    keys.send_text(text)
    return _prompt(keys, history).prompt()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a cat\r", "a cat"),
        ("a cat\n", "a cat"),
        (f"a cat{ALT_ENTER}on the moon\r", "a cat\non the moon"),
        ("a cat\\\ron the moon\r", "a cat\non the moon"),
        ("\x1b[200~a cat\non the moon\x1b[201~\r", "a cat\non the moon"),
    ],
)
def test_enter_sends_and_new_lines_stay(keys: PipeInput, text: str, line: str) -> None:
    assert _typed(keys, text) == line


def test_ctrl_c_and_ctrl_d(keys: PipeInput) -> None:
    with pytest.raises(KeyboardInterrupt):
        _typed(keys, "a cat\x03")
    with pytest.raises(EOFError):
        _typed(keys, "\x04")


def test_history_is_kept_over_runs_and_private(keys: PipeInput, tmp_path: Path) -> None:
    file = tmp_path / "data" / "history"
    _typed(keys, f"a cat{ALT_ENTER}on the moon\r", file)
    assert _typed(keys, "\x1b[A\r", file) == "a cat\non the moon"
    assert file.stat().st_mode & 0o077 == 0


def test_a_history_that_cannot_be_written_does_not_matter(keys: PipeInput, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _typed(keys, "a cat\r", tmp_path / "file" / "history") == "a cat"


def test_what_goes_on_behind_starts_once_the_prompt_stands(keys: PipeInput) -> None:
    started: list[str] = []
    lines = PromptLines(_prompt(keys), behind=lambda: started.append("warm"))
    assert started == []
    keys.send_text("a cat\ra dog\r")
    assert [lines.read(), lines.read()] == ["a cat", "a dog"]
    assert started == ["warm"]


def _offered(before: str, *, tab: bool = True) -> list[str]:
    event = CompleteEvent(completion_requested=tab, text_inserted=not tab)
    return [c.text for c in LineCompleter(COMMANDS).get_completions(Document(before), event)]


def test_commands_are_offered_from_the_table() -> None:
    assert _offered("/") == [f"/{name}" for name in COMMANDS]
    assert _offered("/se") == ["/seed", "/set", "/settings"]
    assert _offered("/zzz") == []
    assert _offered("draw /se") == []


def test_arguments_are_offered() -> None:
    assert _offered("/set ste") == ["steps"]
    assert _offered("/plan ") == ["ask", "always"]
    assert _offered("/undo ") == []


def test_paths_are_offered_after_load_and_at(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"")
    assert _offered(f"/load {tmp_path}/c") == ["at.png"]
    assert _offered(f"put @{tmp_path}/c") == ["at.png"]
    assert _offered(f"put {tmp_path}/c") == []
