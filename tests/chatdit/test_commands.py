"""Slash commands: the frozen table, and what each does to a real session with a tiny painter."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from chatdit.commands import COMMANDS
from chatdit.lines import PlainLines
from chatdit.provenance import read_recipe
from chatdit.repl import Repl
from chatdit.session import Session

FROZEN = {
    "help": "", "plan": "[ask|always]", "approve": "", "seed": "[N|random]", "set": "NAME VALUE", "undo": "",
    "redo": "", "history": "", "show": "[N]", "use": "[N]", "branch": "[TURN]", "load": "PATH", "save": "[N] PATH",
    "export": "[md|html] [FOLDER]", "model": "[NAME|FOLDER]", "settings": "", "quit": "",
}  # fmt: skip

MakeSession = Callable[..., Session]


class Terminal:
    """A conversation that is typed into; `screen` is what was shown since it was last asked for."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._file = io.StringIO()
        self.repl = Repl(session, Console(file=self._file, width=200, _environ={}))
        self.repl.folder = folder

    @property
    def session(self) -> Session:
        return self.repl.session

    def type(self, *lines: str) -> str:
        for line in lines:
            self.repl.handle(line)
        text = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return text


@pytest.fixture
def terminal(new_session: MakeSession, tmp_path: Path) -> Terminal:
    return Terminal(new_session(seed=7), tmp_path)


def test_the_table_is_frozen() -> None:
    assert {command.name: command.argument for command in COMMANDS.values()} == FROZEN
    assert list(COMMANDS) == list(FROZEN)
    assert all(command.help for command in COMMANDS.values())


def test_help_shows_the_whole_table(terminal: Terminal) -> None:
    shown = terminal.type("/help")
    for command in COMMANDS.values():
        assert f"/{command.name} {command.argument}".rstrip() in shown
        assert command.help in shown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/undoo", "there is no command /undoo: did you mean /undo?"),
        ("/xyzzy", "/help lists them all"),
        ("/undo", "nothing to undo"),
        ("/undo 3", "/undo takes no argument, got '3'"),
        ("/redo", "nothing to redo"),
        ("/show", "there is no picture here yet"),
        ("/show cat", "/show 'cat': expected a number"),
        ("/show 9", "there is no picture #9: nothing has been drawn yet"),
        ("/history", "nothing has been said yet"),
        ("/plan", "there is no plan yet"),
        ("/plan sometimes", "expected ask, always"),
        ("/approve", "no plan waits for approval"),
        ("/seed many", "seed = 'many' (from /set) is not usable"),
        ("/set", "/set takes a name and a value"),
        ("/set stebs 3", "did you mean 'steps'?"),
        ("/load nowhere.png", "expected the path of a picture that exists"),
        ("/save", "/save takes a path"),
        ("/save 'x", "close the quotation marks"),
        ("/export pdf", "expected md or html"),
        ("@nowhere.png on the moon", "there is no picture at 'nowhere.png': check the path; nothing was sent"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_the_conversation_goes_on(
    terminal: Terminal, line: str, message: str
) -> None:
    shown = terminal.type(line)
    assert shown.startswith("error: ") and shown.count("\n") == 1
    assert message in shown
    assert not terminal.repl.leaving


def test_a_command_said_without_its_slash_is_carried_out(terminal: Terminal) -> None:
    terminal.type("a cat on the beach")

    assert "undone: turn 1" in terminal.type("Undo")
    assert "/history" in terminal.type("help")
    terminal.type("exit")
    assert terminal.repl.leaving


def test_undo_redo_and_history(terminal: Terminal) -> None:
    terminal.type("a cat on the beach", "a dog on the moon")
    assert "undone: turn 2 (a dog on the moon)" in terminal.type("/undo")
    rows = [" ".join(line.split()) for line in terminal.type("/history").splitlines()]
    assert rows == ["1 a cat on the beach #1", "2 a dog on the moon #2 undone"]
    assert "back: turn 2" in terminal.type("/redo")
    assert "undone" not in terminal.type("/history")


def test_branch_goes_on_in_a_session_of_its_own(terminal: Terminal) -> None:
    first = terminal.session.id
    terminal.type("a cat on the beach", "a dog on the moon")
    shown = terminal.type("/branch 1")
    assert terminal.session.id != first
    assert f"session {terminal.session.id}, branched from {first} after turn 1 (a cat on the beach)" in shown
    terminal.type("a fox on the beach")
    assert [turn.text for turn in terminal.session.history()] == ["a cat on the beach", "a fox on the beach"]


def test_seed_and_set_change_what_comes_next(terminal: Terminal) -> None:
    assert terminal.type("/seed 41283").strip() == "seed = 41283"
    assert terminal.type("/set size 64x96").strip() == "size = 64x96"
    assert terminal.type("/set steps=1").strip() == "steps = 1"
    line = terminal.type("a cat on the beach")
    assert line.startswith("#1 · generate · seed 41283 · 1 step · ")
    picture = terminal.session.picture(1)
    assert (picture.width, picture.height) == (64, 96)
    assert terminal.type("/seed random").strip() == "seed = not set"
    assert terminal.session.settings.seed is None


def test_settings_lists_every_setting(terminal: Terminal) -> None:
    shown = dict(line.split(maxsplit=1) for line in terminal.type("/settings").splitlines())
    assert shown["seed"].strip() == "7"
    assert shown["llm.timeout"].strip() == "60.0"
    assert shown["out"].strip() == "not set"


def test_show_and_use_speak_of_pictures_by_number(terminal: Terminal) -> None:
    terminal.type("a cat on the beach", "a dog on the moon")
    assert "a cat on the beach · 64x64" in terminal.type("/show #1")
    assert "a dog on the moon · 64x64" in terminal.type("/show")
    terminal.type("/use 1")
    assert "1 attached" in terminal.repl.status()
    terminal.type("the same cat on the moon")
    assert terminal.session.picture(3).parents == (1,)
    assert terminal.repl.attached == []


def test_load_attaches_a_file_to_the_next_message(terminal: Terminal, tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "my cat.png")
    terminal.type(f"/load '{tmp_path}/my cat.png'", "the same cat on the moon")
    (attached,) = terminal.session.history()[-1].inputs
    assert (attached.image.width, attached.image.height) == (80, 60)


def test_a_dragged_file_alone_waits_for_words(terminal: Terminal, tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "cat.png")
    assert "1 attached; now say what to do with it" in terminal.type(f"'{tmp_path}/cat.png' ")
    assert terminal.session.turns() == ()


def test_an_unreadable_file_is_refused_at_once_and_attaches_nothing(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    Image.new("RGB", (80, 60), "red").save(tmp_path / "good.png")
    assert terminal.type("@good.png and @bad.png on the moon").startswith("error: ")
    assert terminal.type("/load bad.png").startswith("error: ")
    assert terminal.repl.attached == []


def test_a_message_that_fails_keeps_its_pictures_for_the_next(terminal: Terminal, tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "cat.png")
    assert terminal.type("@cat.png " + "on the moon " * 2000).startswith("error: ")
    assert terminal.repl.attached == [tmp_path / "cat.png"]


def test_save_copies_and_never_overwrites(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("a cat on the beach", "a dog on the moon")
    terminal.type("/save 1 cat.png", "/save 'other dog'", "/save 2 cat.png")
    assert read_recipe(tmp_path / "cat.png").caption == "a cat on the beach"
    assert read_recipe(tmp_path / "other dog.png").caption == "a dog on the moon"
    assert read_recipe(tmp_path / "cat-2.png").caption == "a dog on the moon"


def test_export_writes_the_conversation(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("a cat on the beach")
    shown = terminal.type("/export html docs")
    (page,) = (tmp_path / "docs").glob("*.html")
    assert page.name in shown
    assert "a cat on the beach" in page.read_text()


def test_model_shows_the_painter_and_refuses_an_unknown_one(terminal: Terminal) -> None:
    assert terminal.type("/model").strip() == "offline · tiny"
    terminal.type("/model no-such-folder")
    assert "no-such-folder" in terminal.type("a cat on the beach")


def test_a_plan_of_several_steps_is_shown_and_asked_about(terminal: Terminal) -> None:
    terminal.repl._lines = PlainLines(io.StringIO("n\n"))
    shown = terminal.type("a cat on the beach, then a dog on the moon")
    assert "draw_1" in shown and "draw_2" in shown
    assert "not drawn; /approve runs the plan after all" in shown
    shown = terminal.type("/approve")
    assert shown.count("· generate · seed") == 2
    assert terminal.session.history()[-1].text == "a cat on the beach, then a dog on the moon"
    assert "no plan waits" in terminal.type("/approve")


def test_plan_always_shows_but_does_not_ask(terminal: Terminal) -> None:
    shown = terminal.type("/plan always", "a cat on the beach, then a dog on the moon")
    assert "draw_2" in shown and "· generate · seed" in shown
    assert "draw_2" in terminal.type("/plan")


def test_quit_leaves(terminal: Terminal) -> None:
    terminal.type("/quit")
    assert terminal.repl.leaving
