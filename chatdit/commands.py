"""The slash commands: one table of name, argument, help and handler. Help and completion come from it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from chatdit.attachments import take_attachments
from chatdit.config import change_setting, setting_names
from chatdit.exit_codes import UsageError
from chatdit.render import DOT, plan_table
from chatdit.terminal_image import path_link
from chatdit.turn_view import show_pictures

if TYPE_CHECKING:
    from chatdit.records import Picture, Turn
    from chatdit.repl import Repl

Handler = Callable[["Repl", str], None]


def _nothing() -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Command:
    """One slash command; `run` gets the conversation and what was typed after the name."""

    name: str
    argument: str
    help: str
    run: Handler
    choices: Callable[[], Iterable[str]] = _nothing
    """Words that completion offers for the argument."""
    takes_path: bool = False


SPOKEN = {"help": "/help", "undo": "/undo", "quit": "/quit", "exit": "/quit"}
"""Words that are said alone where a command is meant; none of them is anything to draw."""


def run_command(repl: Repl, line: str) -> None:
    """Carry out a typed `/name argument`. Raises UsageError, with the nearest names, for an unknown one."""
    name, _, argument = line.strip().removeprefix("/").partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        near = difflib.get_close_matches(name.lower(), COMMANDS, n=2, cutoff=0.5)
        hint = f"did you mean /{' or /'.join(near)}?" if near else "/help lists them all"
        raise UsageError(f"there is no command /{name[:40]}: {hint}")
    command.run(repl, argument.strip())


def _help(repl: Repl, argument: str) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for command in COMMANDS.values():
        table.add_row(Text(f"/{command.name} {command.argument}".rstrip(), style="bold"), Text(command.help))
    repl.console.print(table)
    repl.console.print(
        "Anything else is an instruction: say what to draw. @path or a dragged file attaches a picture.\n"
        "Enter sends, Alt-Enter starts a new line, Ctrl-C stops a drawing, Ctrl-D leaves.",
        style="dim",
        markup=False,
    )


def _plan(repl: Repl, argument: str) -> None:
    if argument in ("ask", "always"):
        repl.approve_always = argument == "always"
        repl.say("plans run without asking" if repl.approve_always else "plans of several steps are shown first")
        return
    if argument:
        raise UsageError(f"/plan {argument[:40]!r} is not known: expected ask, always, or nothing to see the last plan")
    turn = next((turn for turn in reversed(repl.session.turns()) if turn.plan), None)
    if turn is None or turn.plan is None:
        raise UsageError("there is no plan yet: say what to draw")
    repl.console.print(plan_table(turn.plan))


def _approve(repl: Repl, argument: str) -> None:
    _no_argument("approve", argument)
    if repl.session.pending is not None:
        repl.finish(approve=True)
    elif repl.declined is not None:
        repl.send_declined(repl.declined)
    else:
        raise UsageError("no plan waits for approval: say what to draw")


def _seed(repl: Repl, argument: str) -> None:
    _change(repl, "seed", None if argument.lower() in ("", "random", "none") else argument)


def _set(repl: Repl, argument: str) -> None:
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    if not name or not value.strip():
        raise UsageError("/set takes a name and a value, such as /set size 512x256; /settings lists the names")
    _change(repl, name, None if value.strip().lower() == "none" else value.strip())


def _undo(repl: Repl, argument: str) -> None:
    _no_argument("undo", argument)
    turn = repl.session.undo()
    repl.say(f"undone: {_title(turn)}; its pictures stay, /redo brings it back")


def _redo(repl: Repl, argument: str) -> None:
    _no_argument("redo", argument)
    turn = repl.session.redo()
    repl.say(f"back: {_title(turn)}")


def _history(repl: Repl, argument: str) -> None:
    _no_argument("history", argument)
    line = {turn.id for turn in repl.session.history()}
    turns = {turn.id: turn for turn in (*repl.session.history(), *repl.session.turns())}
    if not turns:
        raise UsageError("nothing has been said yet: say what to draw")
    table = Table(box=None, show_header=False, pad_edge=False)
    for turn in sorted(turns.values(), key=lambda turn: turn.id):
        here = turn.id in line
        state = turn.status if turn.status != "done" else ("" if here else "undone")
        pictures = " ".join(f"#{picture.number}" for picture in turn.images)
        style = "" if here else "dim"
        table.add_row(*(Text(cell, style=style) for cell in (str(turn.number), _first_line(turn), pictures, state)))
    repl.console.print(table)


def _show(repl: Repl, argument: str) -> None:
    picture = _picture(repl, argument)
    show_pictures([picture], repl.console, repl.protocol)
    said = () if repl.console.is_terminal else (picture.output.description,)  # a terminal has it with the picture
    made_from = [f"from {' '.join(f'#{n}' for n in picture.parents)}"] if picture.parents else []
    repl.say(DOT.join((*said, f"{picture.width}x{picture.height}", *made_from)))


def _use(repl: Repl, argument: str) -> None:
    picture = _picture(repl, argument)
    repl.attach(picture)
    repl.say(f"#{picture.number}: attached to your next message")


def _branch(repl: Repl, argument: str) -> None:
    number = _number("branch", argument) if argument else None
    before = repl.session.id
    repl.switch(repl.session.branch(number))
    at = repl.session.history()
    repl.say(f"session {repl.session.id}, branched from {before}" + (f" after {_title(at[-1])}" if at else ""))


def _load(repl: Repl, argument: str) -> None:
    typed = take_attachments(argument, repl.folder)
    if typed.text or not typed.pictures:
        raise UsageError(f"/load {argument[:80]!r}: expected the path of a picture that exists")
    repl.attach(*typed.pictures)
    repl.say(f"{', '.join(path.name for path in typed.pictures)}: attached to your next message")


def _save(repl: Repl, argument: str) -> None:
    words = _words("save", argument)
    numbered = len(words) == 2
    if not 1 <= len(words) <= 2:
        raise UsageError("/save takes a path, or a picture's number and a path, such as /save 7 cat.png")
    picture = _picture(repl, words[0] if numbered else "")
    target = repl.folder / Path(words[-1]).expanduser()
    if target.is_dir() or words[-1].endswith("/"):
        target = target / picture.path.name
    written = picture.save(target if target.suffix else target.with_suffix(".png"))
    repl.console.print(Text.assemble(f"#{picture.number} saved as ", path_link(written)), soft_wrap=True)


def _export(repl: Repl, argument: str) -> None:
    from chatdit.export import export_session

    words = _words("export", argument) or ["md"]
    if words[0] not in ("md", "html") or len(words) > 2:
        raise UsageError(f"/export {argument[:40]!r}: expected md or html, and perhaps a folder")
    form: Literal["md", "html"] = "html" if words[0] == "html" else "md"
    written = export_session(repl.session, form, repl.folder / words[1] if len(words) == 2 else None)
    repl.console.print(Text.assemble("exported to ", path_link(written)), soft_wrap=True)


def _model(repl: Repl, argument: str) -> None:
    if argument:
        _change(repl, "model", argument)
        repl.warm()
    repl.say(repl.session.status)


def _settings(repl: Repl, argument: str) -> None:
    _no_argument("settings", argument)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in setting_names():
        table.add_row(name, Text(str(_value(repl, name))))
    repl.console.print(table)


def _quit(repl: Repl, argument: str) -> None:
    _no_argument("quit", argument)
    repl.leaving = True


def _change(repl: Repl, name: str, value: str | None) -> None:
    repl.session.settings = change_setting(repl.session.settings, name, value)
    repl.say(f"{name} = {_value(repl, name)}")


def _value(repl: Repl, name: str) -> object:
    value: object = repl.session.settings
    for part in name.split("."):
        value = getattr(value, part)
    if value is None:
        return "not set"
    return f"{value[0]}x{value[1]}" if name == "size" and isinstance(value, tuple) else value


def _picture(repl: Repl, argument: str) -> Picture:
    """The picture called `#3` or `3`, or the newest one of the conversation."""
    if argument:
        return repl.session.picture(_number("show", argument))
    newest = [picture for turn in repl.session.history() for picture in turn.images]
    if not newest:
        raise UsageError("there is no picture here yet: say what to draw")
    return newest[-1]


def _number(command: str, argument: str) -> int:
    digits = argument.removeprefix("#")
    if not digits.isdecimal() or len(digits) > 9:
        raise UsageError(f"/{command} {argument[:40]!r}: expected a number, such as 3")
    return int(digits)


def _words(command: str, argument: str) -> list[str]:
    try:
        return shlex.split(argument)
    except ValueError as error:
        raise UsageError(f"/{command}: {error}; close the quotation marks") from None


def _no_argument(command: str, argument: str) -> None:
    if argument:
        raise UsageError(f"/{command} takes no argument, got {argument[:40]!r}")


def _title(turn: Turn) -> str:
    return f"turn {turn.number} ({_first_line(turn)})"


def _first_line(turn: Turn) -> str:
    first = turn.text.splitlines()[0]
    return first if len(first) <= 60 else f"{first[:57]}..."


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", "", "this list", _help),
        Command("plan", "[ask|always]", "the last plan, or when to ask", _plan, lambda: ("ask", "always")),
        Command("approve", "", "run the plan that was declined or interrupted", _approve),
        Command("seed", "[N|random]", "the seed of what comes next", _seed, lambda: ("random",)),
        Command("set", "NAME VALUE", "change a setting for this run", _set, setting_names),
        Command("undo", "", "step back behind the last turn", _undo),
        Command("redo", "", "step forward again", _redo),
        Command("history", "", "everything said here, and its pictures", _history),
        Command("show", "[N]", "show picture #N, or the newest", _show),
        Command("use", "[N]", "work on picture #N in the next message", _use),
        Command("branch", "[TURN]", "go on from a turn in a new session", _branch),
        Command("load", "PATH", "attach a picture file to the next message", _load, takes_path=True),
        Command("save", "[N] PATH", "copy picture #N, or the newest, to a file", _save, takes_path=True),
        Command("export", "[md|html] [FOLDER]", "write the conversation down", _export, lambda: ("md", "html")),
        Command("model", "[NAME|FOLDER]", "the painter in use, or another one", _model, takes_path=True),
        Command("settings", "", "every setting and its value", _settings),
        Command("quit", "", "leave; the session stays and can be resumed", _quit),
    )
}
