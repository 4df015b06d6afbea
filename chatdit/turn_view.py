"""Watching one turn: its events become progress on the terminal, its end becomes result lines."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, cast

from PIL import Image
from rich.columns import Columns
from rich.console import Console, Group

from chatdit.agents.events import Event, NodeFinished, NodeProgress, NodeStarted, Parsed, Planned, Verified
from chatdit.render import DrawingView, notice, questions, result_line
from chatdit.terminal_image import Protocol, TerminalImage

if TYPE_CHECKING:
    from chatdit.records import Picture, Turn
    from chatdit.session import TurnEnded

PICTURE_CELLS = (40, 20)
SET_CELLS = (24, 12)


def watch(events: Iterator[Event | TurnEnded], view: DrawingView) -> Turn:
    """Follow a turn to its end and return it. Ctrl-C closes the stream, which cancels the turn."""
    from chatdit.session import TurnEnded

    with closing(cast("Generator[Event | TurnEnded]", events)), view:
        view.stage("reading")
        for event in events:
            if isinstance(event, TurnEnded):
                return event.turn
            _show(event, view)
    raise AssertionError("unreachable: every stream ends with TurnEnded")


def _show(event: Event, view: DrawingView) -> None:
    match event:
        case Parsed():
            view.done("reading")
            view.stage("planning")
        case Planned():
            view.done("planning")
        case NodeStarted(id=node):
            view.stage(node)
        case NodeProgress(id=node, progress=report):
            view.step(node, report)
        case NodeFinished(id=node):
            view.done(node)
        case Verified(repairing=True):
            view.stage("drawing blank pictures again")
        case _:
            pass


def report(turn: Turn, console: Console, notes: Console, protocol: Protocol) -> None:
    """What came of a turn: pictures and their lines on `console`, everything else on `notes`."""
    show_pictures(turn.images, console, protocol)
    if turn.status == "asked":
        notes.print(questions(turn.questions or (turn.reply,)), soft_wrap=True)
    elif not turn.images and turn.reply:
        notes.print(turn.reply, markup=False, highlight=False, soft_wrap=True)
    for warning in turn.warnings:
        notes.print(notice(warning), soft_wrap=True)


def show_pictures(pictures: Sequence[Picture], console: Console, protocol: Protocol) -> None:
    """The pictures, side by side where the terminal can, and one line for each."""
    if protocol != "off" and pictures:
        cells = SET_CELLS if len(pictures) > 1 else PICTURE_CELLS
        shown = [TerminalImage(_pixels(picture), protocol, *cells) for picture in pictures]
        if protocol == "blocks":
            console.print(Columns(shown, padding=(0, 2)))
        else:
            console.print(Group(*shown))
    for picture in pictures:
        console.print(result_line(picture, short=console.is_terminal), soft_wrap=True)


def _pixels(picture: Picture) -> Image.Image:
    with Image.open(picture.path) as image:
        return image.convert("RGB")
