"""The conversation in a terminal: reads lines, runs commands, draws, and never loses the session.

Without a terminal on standard input the same lines are read plainly, one message a line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from chatdit import __version__
from chatdit.approval import ask
from chatdit.attachments import is_command, take_attachments
from chatdit.commands import SPOKEN, run_command
from chatdit.exit_codes import FAILURE, OK, UsageError, exit_code, one_line
from chatdit.lines import LineSource, PlainLines
from chatdit.painter_label import painter_label
from chatdit.render import DrawingView, error, plan_table
from chatdit.terminal_image import Protocol, choose_protocol
from chatdit.tools.images import load_picture
from chatdit.turn_view import report, watch

if TYPE_CHECKING:
    from chatdit.agents.events import Event
    from chatdit.agents.plan import Plan
    from chatdit.records import Picture, Turn
    from chatdit.session import Approve, Session, TurnEnded

LEAVE_SECONDS = 2.0
"""Two presses of Ctrl-C within this time leave."""


@dataclass(frozen=True)
class Message:
    """What was sent; `plan` is the one that was declined."""

    text: str
    pictures: tuple[Path | Picture, ...] = ()
    seed: int | None = None
    plan: Plan | None = None


class Repl:
    """One conversation on one terminal. `session` may change (`/branch`); pictures wait in `attached`."""

    def __init__(self, session: Session, console: Console, *, approve_always: bool = False) -> None:
        self.session = session
        self.console = console
        self.folder = Path.cwd()
        self.approve_always = approve_always
        self.attached: list[Path | Picture] = []
        self.leaving = False
        self._sent: Message | None = None
        self._labels: dict[str, str] = {}
        self._failed = False
        self._interrupted_at = float("-inf")
        self._lines: LineSource = PlainLines(sys.stdin)

    @property
    def protocol(self) -> Protocol:
        """How pictures are shown here, by environment and the setting `images`."""
        return choose_protocol(os.environ, self.console.is_terminal, self.session.settings.images)

    def run(self, lines: LineSource, *, finish_first: bool = False) -> int:
        """Talk until the person leaves; the exit code. Without a terminal, a failed line makes it 1."""
        self._lines = lines
        self._greet()
        if finish_first:
            self.handle("/approve")
        while not self.leaving:
            try:
                line = lines.read()
            except EOFError:
                break
            except KeyboardInterrupt:
                if not lines.interactive:
                    raise
                self._interrupted()
                continue
            self.handle(line)
        self.say(f"session {self.session.id} is kept: `chatdit -c` goes on with it")
        self.session.close()
        return FAILURE if self._failed and not lines.interactive else OK

    def handle(self, line: str) -> None:
        """Carry out one line; whatever goes wrong is shown, and the conversation goes on."""
        if not line.strip():
            return
        line = SPOKEN.get(line.strip().lower(), line)
        try:
            if is_command(line, self.folder):
                run_command(self, line)
            else:
                self._message(line)
        except KeyboardInterrupt:
            self.say("cancelled; what was finished is kept")
        except Exception as fault:
            if exit_code(fault) is None:
                raise
            self._failed = True
            self.console.print(error(one_line(fault)), soft_wrap=True)

    def say(self, text: str) -> None:
        """A line from the program itself."""
        self.console.print(Text(text, style="dim"), soft_wrap=True)

    def warm(self) -> None:
        """Load the painter behind the prompt, and read how large it is."""
        self.session.warm()
        Thread(target=self._read_label, args=(self.session.settings.model,), daemon=True).start()

    def attach(self, *pictures: Path | Picture) -> None:
        """Let `pictures` go with the next message. Raises ToolError, and attaches none, if one cannot be read."""
        for picture in pictures:
            if isinstance(picture, Path):
                load_picture(picture)
        self.attached += pictures

    def switch(self, session: Session) -> None:
        """Go on in another session; the one so far is let go of."""
        self.session.close()
        self.session = session

    def finish(self, *, approve: bool = False) -> None:
        """Go on with the turn that was interrupted."""
        view, answer = self._drawing(approve)
        self._report(watch(self.session.stream_finish(approve=answer), view))

    @property
    def declined(self) -> Message | None:
        """The message whose plan was answered with no, if it was the last one sent from here."""
        return self._sent if self._sent is not None and self._sent.plan is not None else None

    def send_declined(self, message: Message) -> None:
        """Send a message again, with the plan it had."""
        assert message.plan is not None
        plan = message.plan
        view, _ = self._drawing(True)
        self._send(message, self._stream(message, lambda _: plan), view)

    def status(self) -> str:
        """The status line: brain, painter, session, and what waits for the next message."""
        brain, painter, *attention = self.session.status.split(" · ")
        painter = self._labels.get(self.session.settings.model, painter)
        parts = [f"{brain} parser" if brain == "offline" else brain, painter, *attention, f"session {self.session.id}"]
        if self.session.settings.seed is not None:
            parts.append(f"seed {self.session.settings.seed}")
        if self.attached:
            parts.append(f"{len(self.attached)} attached")
        return " · ".join(parts)

    def _read_label(self, model: str) -> None:
        with suppress(Exception):  # a painter that cannot be loaded is reported where it is first used
            from chatdit.tools.dit.folders import find_folder

            self._labels[model] = painter_label(self.session.status.split(" · ")[1], find_folder(model))

    def _message(self, line: str) -> None:
        typed = take_attachments(line, self.folder, len(self.attached))
        if typed.missing:
            raise UsageError(f"there is no picture at {typed.missing[0][:200]!r}: check the path; nothing was sent")
        self.attach(*typed.pictures)
        if not typed.text:
            self.say(f"{len(self.attached)} attached; now say what to do with it")
            return
        pictures, self.attached = self.attached, []
        message = Message(typed.text, tuple(pictures))
        view, answer = self._drawing(self.approve_always)
        try:
            self._send(message, self._stream(message, answer), view)
        except BaseException:
            self.attached = pictures
            raise

    def _stream(self, message: Message, answer: Approve) -> Iterator[Event | TurnEnded]:
        return self.session.stream(message.text, message.pictures, seed=message.seed, approve=answer)

    def _send(self, message: Message, events: Iterator[Event | TurnEnded], view: DrawingView) -> None:
        turn = watch(events, view)
        plan = turn.plan if turn.status == "declined" else None
        self._sent = replace(message, seed=turn.seed, plan=plan)
        self._report(turn)

    def _report(self, turn: Turn) -> None:
        if turn.status == "declined":
            self.say("not drawn; /approve runs the plan after all, or say what should be different")
        else:
            report(turn, self.console, self.console, self.protocol)

    def _drawing(self, approve: bool) -> tuple[DrawingView, Approve]:
        """A view of the work, and who answers for a plan of several steps."""
        view = DrawingView(self.console, self.protocol)
        self.session.preview = self.protocol != "off"

        def answer(plan: Plan) -> bool | Plan:
            view.pause()
            if approve:
                self.console.print(plan_table(plan))
                approved: bool | Plan = True
            else:
                approved = ask(plan, self.console, self._lines.answer, self._lines.edit)
            view.resume()
            return approved

        return view, answer

    def _greet(self) -> None:
        past = self.session.history()
        if self._lines.interactive:
            self.console.print(Text(f"ChatDiT {__version__}", style="bold"), Text("say what to draw, or /help", "dim"))
        if past:
            pictures = sum(len(turn.images) for turn in past)
            counts = f"{len(past)} turn{'s' * (len(past) != 1)}, {pictures} picture{'s' * (pictures != 1)}"
            self.say(f"session {self.session.id}: {counts}, last said: {past[-1].text[:80]!r}")
        if self.session.pending is not None:
            self.say(f"turn {self.session.pending.number} was interrupted: /approve goes on with it")

    def _interrupted(self) -> None:
        """Ctrl-C at the prompt: the second one in a row leaves."""
        now = time.monotonic()
        self.leaving = now - self._interrupted_at < LEAVE_SECONDS
        self._interrupted_at = now
        if not self.leaving:
            self.say("Ctrl-C again, or Ctrl-D, leaves; the session is kept")
