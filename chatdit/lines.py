"""Where a conversation's lines come from: a prompt on a terminal, or plain text on standard input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_ANSWERS = frozenset({"y", "yes", "n", "no"})


class LineSource(Protocol):
    """Reads what a person types. Each method raises EOFError when there is no more."""

    interactive: bool

    def read(self) -> str:
        """The next message or command."""
        ...

    def answer(self, question: str) -> str:
        """The answer to a question about a plan."""
        ...

    def edit(self, text: str) -> str:
        """`text` as the person has changed it."""
        ...


class PlainLines:
    """One message a line; a final backslash joins the next line. Shows no prompt."""

    interactive = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._kept: str | None = None

    def read(self) -> str:
        line = self._next()
        while line.endswith("\\"):
            line = f"{line[:-1]}\n{self._next()}"
        return line

    def answer(self, question: str) -> str:
        """The next line if it is a plain yes or no. Any other line stays a message, and nobody answers."""
        line = self._next()
        if line.strip().lower() in _ANSWERS:
            return line
        self._kept = line
        raise EOFError

    def edit(self, text: str) -> str:
        raise EOFError

    def _next(self) -> str:
        if self._kept is not None:
            line, self._kept = self._kept, None
            return line
        line = self._stream.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


class PromptLines:
    """A prompt_toolkit prompt. `behind` is called once, when the first prompt stands."""

    interactive = True

    def __init__(self, prompt: PromptSession[str], behind: Callable[[], object] | None = None) -> None:
        self._prompt = prompt
        self._behind = behind
        prompt.app.after_render += self._rendered

    def read(self) -> str:
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout(raw=True):
            return self._prompt.prompt()

    def answer(self, question: str) -> str:
        from prompt_toolkit import PromptSession

        return PromptSession[str](input=self._prompt.input, output=self._prompt.output).prompt(question)

    def edit(self, text: str) -> str:
        """Edit in place; Alt-Enter ends, Ctrl-X Ctrl-E opens $EDITOR, Ctrl-C gives up."""
        from prompt_toolkit import PromptSession

        session = PromptSession[str](
            multiline=True,
            enable_open_in_editor=True,
            tempfile_suffix=".json",
            bottom_toolbar="Alt-Enter ends · Ctrl-X Ctrl-E opens $EDITOR · Ctrl-C leaves the plan as it was",
            input=self._prompt.input,
            output=self._prompt.output,
        )
        return session.prompt(default=text)

    def _rendered(self, _: object) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind()
