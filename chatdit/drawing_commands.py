"""Commands that draw or plan: the conversation, `run`, `resume` and `plan`.

Lines of finished pictures, or JSON, go to stdout; everything else goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from chatdit.agents.brain import MAX_TEXT
from chatdit.approval import ask
from chatdit.commands import COMMANDS
from chatdit.config import Settings, data_dir, load_settings
from chatdit.exit_codes import FAILURE, OK, NotApproved, UsageError
from chatdit.lines import PlainLines, PromptLines
from chatdit.render import DrawingView, notice, plan_table, questions
from chatdit.repl import Repl
from chatdit.session import Approve, Session
from chatdit.terminal_image import choose_protocol
from chatdit.turn_view import report, watch

if TYPE_CHECKING:
    from chatdit.agents.plan import Plan
    from chatdit.records import Turn

Flags = Mapping[str, object]


def talk(flags: Flags, *, latest: bool, approve_always: bool) -> int:
    """`chatdit`: the conversation; the exit code."""
    settings = load_settings(flags)
    session = Session.latest(settings) if latest else Session(settings)
    return _converse(session, approve_always)


def draw(words: Sequence[str] | None, images: Sequence[Path], flags: Flags, *, as_json: bool, yes: bool) -> int:
    """`chatdit run`: one message in a new session; the exit code."""
    text = _text(words)
    settings = load_settings(flags)
    with Session(settings) as session:
        view, approve = _attended(session, as_json, yes)
        with _telling_how_to_go_on(session):
            turn = watch(session.stream(text, images, approve=approve), view)
        return _outcome(turn, settings, as_json)


def go_on_with(name: str | None, flags: Flags, *, as_json: bool, yes: bool) -> int:
    """`chatdit resume`: finish what was interrupted; on a terminal, go on talking; the exit code."""
    settings = load_settings(flags)
    session = Session.resume(name, settings) if name else Session.latest(settings)
    if _on_terminal() and not as_json:
        return _converse(session, yes, finish_first=session.pending is not None)
    with session:
        if session.pending is not None:
            view, approve = _attended(session, as_json, yes)
            with _telling_how_to_go_on(session):
                turn = watch(session.stream_finish(approve=approve), view)
            return _outcome(turn, settings, as_json)
        said = session.turns()
        if not said:
            raise UsageError(f"session {session.id} is empty: say something in it with `chatdit -c`")
        if as_json:
            _print_turn(said[-1])
        print(f"session {session.id} has nothing to finish", file=sys.stderr)
        return OK


def show_plan(words: Sequence[str] | None, images: Sequence[Path], flags: Flags, *, as_json: bool) -> int:
    """`chatdit plan`: what would be drawn, and how; the exit code."""
    from chatdit.plan_only import outline

    seen = outline(_text(words), images, load_settings(flags))
    for note in seen.notes:
        Console(stderr=True).print(notice(note), soft_wrap=True)
    if as_json:
        print(json.dumps(seen.as_json(), indent=2))
        return OK
    console = Console()
    for output in seen.instruction.outputs:
        console.print(f"{output.id}: {output.description}", markup=False, highlight=False, soft_wrap=True)
    if seen.plan.nodes:
        console.print(plan_table(seen.plan))
    if seen.instruction.questions:
        console.print(questions(seen.instruction.questions), soft_wrap=True)
    return OK


def turn_as_json(turn: Turn) -> dict[str, object]:
    """The shape of `chatdit run --json`; `size` is width and height in pixels."""
    return {
        "session": turn.session,
        "turn": turn.number,
        "text": turn.reply,
        "images": [
            {
                "path": str(picture.path),
                "sha256": picture.sha256,
                "tool": picture.tool,
                "seed": picture.seed,
                "size": [picture.width, picture.height],
            }
            for picture in turn.images
        ],
        "seconds": round(turn.seconds, 3),
        "warnings": list(turn.warnings),
    }


def _converse(session: Session, approve_always: bool, *, finish_first: bool = False) -> int:
    repl = Repl(session, Console(), approve_always=approve_always)
    if not _on_terminal():
        return repl.run(PlainLines(sys.stdin))
    from chatdit.prompt_line import prompt_line

    prompt = prompt_line(COMMANDS, data_dir() / "history", repl.status)
    return repl.run(PromptLines(prompt, behind=repl.warm), finish_first=finish_first)


@contextmanager
def _telling_how_to_go_on(session: Session) -> Iterator[None]:
    """When a plan breaks off, by Ctrl-C or by a full disk, say on stderr what finishes it."""
    try:
        yield
    except (KeyboardInterrupt, Exception):
        with suppress(Exception):  # what broke it off is told in any case
            left = session.pending
            if left is not None and left.plan is not None:
                kept = f"{len(left.images)} of {len(left.plan.outputs)} pictures are finished and kept"
                print(f"{kept}; `chatdit resume {session.id}` draws the rest", file=sys.stderr)
        raise


def _attended(session: Session, as_json: bool, yes: bool) -> tuple[DrawingView, Approve]:
    """A view on stderr, and who answers for a plan of several steps; nobody does without a terminal."""
    notes = Console(stderr=True)
    protocol = choose_protocol(os.environ, notes.is_terminal, session.settings.images)
    session.preview = protocol != "off"
    view = DrawingView(notes, protocol)

    def answer(plan: Plan) -> bool | Plan:
        view.pause()
        if yes and not as_json:
            notes.print(plan_table(plan))
        approved = yes or (_on_terminal(sys.stderr) and _ask(plan, notes))
        view.resume()
        return approved

    return view, answer


def _ask(plan: Plan, notes: Console) -> bool | Plan:
    from prompt_toolkit.output import create_output

    from chatdit.prompt_line import prompt_line

    lines = PromptLines(prompt_line({}, None, lambda: "", sink=create_output(sys.stderr)))
    return ask(plan, notes, lines.answer, lines.edit)


def _outcome(turn: Turn, settings: Settings, as_json: bool) -> int:
    """Print what came of a turn. Raises NotApproved when its plan was not."""
    if turn.status == "declined":
        steps = len(turn.plan.nodes) if turn.plan else 0
        raise NotApproved(
            f"the plan has {steps} steps and was not approved: add --yes to run it, or see it with `chatdit plan`"
        )
    if as_json:
        _print_turn(turn)
    console, notes = Console(), Console(stderr=True)
    protocol = choose_protocol(os.environ, console.is_terminal, settings.images)
    report(turn, notes if as_json else console, notes, "off" if as_json else protocol)
    return OK if turn.images else FAILURE


def _print_turn(turn: Turn) -> None:
    print(json.dumps(turn_as_json(turn), indent=2))


def _text(words: Sequence[str] | None) -> str:
    """The words of the command line, or all of stdin."""
    if words and list(words) != ["-"]:
        return " ".join(words)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError('there is no text: expected chatdit run "a cat on the beach", or a text on stdin')
    text = sys.stdin.buffer.read(4 * MAX_TEXT + 4).decode("utf-8", errors="replace")
    if len(text) > MAX_TEXT:  # said here, as the rest of it is not read
        raise UsageError(
            f"the text on stdin is too long: expected at most {MAX_TEXT:,} characters; shorten it or split it"
        )
    return text


def _on_terminal(sink: TextIO | None = None) -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and (sink or sys.stdout).isatty()
