"""The conversation as a person has it: a real process on a real pseudo-terminal, keys in, screen out."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pyte
import pytest

from chatdit.session import Session

COMMAND = ("-P", "-c", "from chatdit.cli import main; main()")
SECONDS = 180
COLUMNS, ROWS = 140, 45
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\\\)|[=>])")
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """`chatdit` on a pseudo-terminal; `screen` is what the person sees now."""

    def __init__(self, *arguments: str, environ: dict[str, str]) -> None:
        self.display = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self.display)
        self._raw = ""
        self._seen = 0
        self.process = pexpect.spawn(
            sys.executable, [*COMMAND, *arguments], env=environ, dimensions=(ROWS, COLUMNS), encoding="utf-8"
        )
        self.display.write_process_input = self.process.send  # type: ignore[method-assign]

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.display.display]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines)

    def type(self, keys: str, *expected: str) -> None:
        """Send keys, then wait until each of `expected` (regular expressions) has come, in this order."""
        self.process.send(keys)
        for pattern in expected:
            self._seen = self._wait(pattern, self._text, self._seen)

    def shows(self, pattern: str) -> None:
        """Wait until the screen as it stands has a match."""
        self._wait(pattern, lambda: self.screen, 0)

    def _wait(self, pattern: str, text: Callable[[], str], start: int) -> int:
        """Where the match ends that comes within SECONDS."""
        deadline = time.monotonic() + SECONDS
        while (match := re.compile(pattern).search(text(), start)) is None:
            assert time.monotonic() < deadline, f"no {pattern!r} on the terminal:\n{self.screen}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.screen}"
        return match.end()

    def leave(self) -> int | None:
        """Wait for the end; the exit code."""
        while self._read():
            pass
        self.process.wait()
        code: int | None = self.process.exitstatus
        return code

    def kill(self) -> None:
        if self.process.isalive():
            self.process.kill(signal.SIGKILL)
            self.process.wait()
        self.process.close()

    def _read(self) -> bool:
        try:
            text = self.process.read_nonblocking(size=65536, timeout=1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self._raw += text
        self._stream.feed(text)  # which answers where the cursor is, as a terminal does
        return True

    def _text(self) -> str:
        """Everything that came, without escape sequences."""
        return ESCAPES.sub("", self._raw)


Start = Callable[..., Terminal]


@pytest.fixture
def start(painter_folder: Path, tmp_path: Path) -> Iterator[Start]:
    running: list[Terminal] = []
    environ = dict(os.environ) | {
        "CHATDIT_MODEL": str(painter_folder), "CHATDIT_DEVICE": "cpu", "CHATDIT_SEED": "5", "TERM": "xterm-256color",
        "OMP_NUM_THREADS": "1", "HOME": str(tmp_path),
    }  # fmt: skip
    for name in ("NO_COLOR", "TMUX", "STY", "TERM_PROGRAM", "KITTY_WINDOW_ID"):
        environ.pop(name, None)

    def begin(*arguments: str, **more: str) -> Terminal:
        running.append(Terminal(*arguments, environ=environ | more))
        return running[-1]

    yield begin
    for terminal in running:
        terminal.kill()


def test_four_turns_with_an_undo_and_a_branch_then_resumed(start: Start) -> None:
    terminal = start()
    terminal.type("", "ChatDiT", "› ")
    terminal.type("a cat on the beach\r", "#1 ")
    terminal.shows(r"offline parser · tiny \d+k · session \S+ · seed 5")
    _shows_one_finished_picture(terminal)
    terminal.type("the same cat on the moon\r", "#2 ", "›")
    terminal.type("/undo\r", r"undone: turn 2 \(the same cat on the moon\)", "›")
    terminal.type("a dog on the beach, then a fox on the moon\r", "draw_2", r"\[y\]es, \[e\]dit, \[n\]o:")
    terminal.type("maybe\r", "'maybe' is no answer here", r"\[n\]o:")
    terminal.type("n\r", "not drawn; /approve runs the plan after all", "›")
    terminal.type("/approve\r", "#3 ", "#4 ", "›")
    terminal.type("/branch 1\r", r"session (\S+), branched from (\S+) after turn 1", "›")
    terminal.type("a fox on the moon\r", "#2 ", "›")
    terminal.type(CTRL_D, "session .* is kept: `chatdit -c` goes on with it")
    assert terminal.leave() == 0

    branch, first = Session.list()
    with Session.resume(first.id) as session:
        assert [turn.text for turn in session.turns()][1] == "the same cat on the moon"
        assert [turn.text for turn in session.history() if turn.images] == [
            "a cat on the beach",
            "a dog on the beach, then a fox on the moon",
        ]
    with Session.resume(branch.id) as session:
        assert [turn.text for turn in session.history()] == ["a cat on the beach", "a fox on the moon"]
        assert all(picture.path.is_file() for turn in session.history() for picture in turn.images)

    again = start("-c")
    again.type("", f"session {branch.id}: 2 turns, 2 pictures, last said: 'a fox on the moon'", "›")
    again.type("/quit\r", "is kept")
    assert again.leave() == 0


def _shows_one_finished_picture(terminal: Terminal) -> None:
    rows = [i for i, line in enumerate(terminal.lines) if line.startswith("▀" * 40)]
    assert len(rows) == 20
    assert terminal.lines[rows[-1] + 1].startswith("#1 · generate · seed 5 · 2 steps · ")
    assert "sample" not in terminal.screen and "reading" not in terminal.screen
    assert terminal.lines[-1].startswith("offline parser")
    colours = {terminal.display.buffer[rows[0]][x].fg for x in range(40)}
    assert all(len(colour) == 6 for colour in colours), colours


def test_ctrl_c_cancels_the_picture_and_not_the_session(start: Start) -> None:
    terminal = start(CHATDIT_STEPS="100", CHATDIT_SIZE="1024x1024")
    terminal.type("", "› ")
    terminal.type("a cat on the beach\r", "draw_1 sample", "[2-9]/100")
    terminal.type(CTRL_C, "cancelled; what was finished is kept", "›")
    terminal.type("/set steps 1\r", "steps = 1", "›")
    terminal.type("/set size 64x64\r", "size = 64x64", "›")
    terminal.type("a dog on the moon\r", r"generate .* 1 step ", "›")
    terminal.type(CTRL_C, "Ctrl-C again, or Ctrl-D, leaves", "›")
    terminal.type(CTRL_C, "is kept")
    assert terminal.leave() == 0
    with Session.latest() as session:
        assert [turn.status for turn in session.turns()] == ["cancelled", "done"]


def test_run_asks_on_a_terminal_and_no_color_shows_no_picture(start: Start) -> None:
    terminal = start("run", "a cat on the beach, then a dog on the moon", NO_COLOR="1")
    terminal.type("", "draw_2", r"\[y\]es, \[e\]dit, \[n\]o:")
    terminal.type("y\r", "#1 ", "#2 ")
    assert terminal.leave() == 0
    assert "▀" not in terminal.screen


def test_ctrl_c_in_run_is_130(start: Start) -> None:
    terminal = start("run", "a cat on the beach", CHATDIT_STEPS="100", CHATDIT_SIZE="1024x1024")
    terminal.type("", "draw_1 sample", "[2-9]/100")
    terminal.type(CTRL_C)
    assert terminal.leave() == 130


def test_after_kill_9_resume_on_a_terminal_finishes_and_goes_on(start: Start) -> None:
    terminal = start(CHATDIT_STEPS="50", CHATDIT_SIZE="384x384")
    terminal.type("", "› ")
    terminal.type("/plan always\r", "›")
    terminal.type("a cat on the beach, then a dog on the moon\r", "draw_2 sample")
    terminal.kill()
    (info,) = Session.list()
    with Session.resume(info.id) as session:
        (first,) = session.turns()[0].images
    drawn = first.path.stat().st_mtime_ns
    again = start("resume", info.id, CHATDIT_STEPS="50", CHATDIT_SIZE="384x384")
    again.type("", "turn 1 was interrupted", "#1 .* 50 steps", "#2 .* 50 steps", "›")
    again.type(CTRL_D, "is kept")
    assert again.leave() == 0
    assert first.path.stat().st_mtime_ns == drawn
