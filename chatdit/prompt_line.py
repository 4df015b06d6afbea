"""The line a person types into: history, several lines, completion, key bindings, status line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from chatdit.commands import Command

_STYLE = Style.from_dict({"prompt": "bold ansigreen", "bottom-toolbar": "noreverse ansibrightblack"})


def prompt_line(
    commands: Mapping[str, Command],
    history_file: Path | None,
    status: Callable[[], str],
    *,
    source: Input | None = None,
    sink: Output | None = None,
) -> PromptSession[str]:
    """A prompt: Enter sends, Alt-Enter or a final backslash starts a new line, Tab completes commands and paths.

    `status` is asked for the toolbar again and again, and must be quick. Without a history file,
    or when its folder cannot be written, lines are remembered for this run alone.
    """
    return PromptSession(
        FormattedText([("class:prompt", "› ")]),
        multiline=True,
        prompt_continuation="  ",
        history=_history(history_file),
        auto_suggest=AutoSuggestFromHistory(),
        completer=LineCompleter(commands),
        complete_while_typing=True,
        complete_in_thread=True,
        key_bindings=_bindings(),
        bottom_toolbar=status,
        refresh_interval=0.5,
        style=_STYLE,
        input=source,
        output=sink,
    )


class LineCompleter(Completer):
    """Slash commands at the start of the line; their own choices; paths after `@` and where a path belongs."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        name, space, argument = before.partition(" ")
        command = self._commands.get(name.removeprefix("/")) if name.startswith("/") else None
        if name.startswith("/") and not space:
            yield from self._names(name)
        elif command is not None and command.takes_path and (argument or complete_event.completion_requested):
            yield from self._path(argument, complete_event)
        elif command is not None:
            yield from _choices(command.choices(), argument)
        else:
            yield from self._at_path(before, complete_event)

    def _names(self, typed: str) -> Iterator[Completion]:
        for command in self._commands.values():
            if f"/{command.name}".startswith(typed):
                label = f"/{command.name} {command.argument}".rstrip()
                yield Completion(f"/{command.name}", -len(typed), display=label, display_meta=command.help)

    def _at_path(self, before: str, event: CompleteEvent) -> Iterable[Completion]:
        word = before.split()[-1] if before and not before[-1].isspace() else ""
        if word.startswith("@"):
            yield from self._path(word[1:], event)

    def _path(self, typed: str, event: CompleteEvent) -> Iterable[Completion]:
        return self._paths.get_completions(Document(typed), event)


def _choices(choices: Iterable[str], typed: str) -> Iterator[Completion]:
    for choice in choices:
        if choice.startswith(typed):
            yield Completion(choice, -len(typed))


def _history(file: Path | None) -> History:
    if file is None:
        return InMemoryHistory()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    @keys.add("c-j")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # Enter takes the highlighted completion; the next one sends.
        elif buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
