"""The brain protocol: what reads a person's words, what it is given, and how it fails.

A brain turns a `Request` (text, attached pictures, the conversation so far, the painter in use)
into an `Instruction`, and an `Instruction` into a `Plan`. Two brains exist: `offline` (a
deterministic English parser) and `openai` (any OpenAI-compatible endpoint).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from pydantic import SecretStr

from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import Plan
from chatdit.tools.types import ImageRef, Problem

if TYPE_CHECKING:
    from PIL import Image

MAX_TEXT = 20_000
"""Characters of one instruction; longer text is refused before any work."""

MAX_PICTURES = 24
"""Pictures one instruction may ask for; the plan's own budget has the same limit."""

BrainName = Literal["offline", "openai"]


class InstructionError(ValueError):
    """The text cannot be read at all (too long); the person has to change it."""


class ModelReplyError(RuntimeError):
    """A language model answered, but not with what was asked, even after one repair turn."""


class EndpointError(ConnectionError):
    """The language model's endpoint cannot be reached or refuses to serve."""


@dataclass(frozen=True)
class Painter:
    """What draws: its name for the status line and the limits a brain must respect (pixels)."""

    name: str = "pocket"
    open_vocabulary: bool = False
    width: int = 256
    height: int = 256
    max_panels: int = 4


@dataclass(frozen=True)
class PastPicture:
    """A picture of this session: what "it", "the same", "image 2" and "#2" can refer to."""

    number: int
    image: ImageRef
    output: OutputSpec
    seed: int = 0
    earlier: tuple[ImageRef, ...] = ()
    """The versions that it came from by edits, oldest first."""


@dataclass(frozen=True)
class PastTurn:
    """One earlier exchange; `pictures` are the numbers drawn in it, empty when a question was asked."""

    text: str
    reply: str = ""
    pictures: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """Everything a brain may know when it reads one message. Histories are oldest first."""

    text: str
    inputs: tuple[InstructionInput, ...] = ()
    history: tuple[PastTurn, ...] = ()
    pictures: tuple[PastPicture, ...] = ()
    painter: Painter = Painter()


class Brain(Protocol):
    """Reads people's words and plans the work."""

    @property
    def name(self) -> str:
        """`offline` or `openai:<model>`; the status line shows it."""
        ...

    def parse(self, request: Request) -> Instruction:
        """What the person asks for.

        Raises InstructionError for text longer than MAX_TEXT, and EndpointError or ModelReplyError
        when a language model fails and falling back to the offline brain is switched off.
        """
        ...

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """The tool calls that carry `instruction` out; `problems` are the validator's about an earlier plan."""
        ...


@dataclass(frozen=True)
class BrainSettings:
    """How to reach a language model, and what to do when that fails. Seconds for all times."""

    model: str = "gpt-4o-mini"
    base_url: str | None = None
    api_key: SecretStr | None = None
    timeout: float = 60.0
    max_retries: int = 2
    fall_back: bool = True
    """False raises EndpointError or ModelReplyError instead of going on with the offline brain."""


@dataclass
class Usage:
    """Tokens and calls a brain has spent since it was made."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def make_brain(name: str, settings: BrainSettings | None = None) -> Brain:
    """The brain called `name`; the openai client is imported only for `openai`.

    Raises ValueError for a name that is not one of BrainName.
    """
    if name == "offline":
        from chatdit.agents.offline_brain import OfflineBrain

        return OfflineBrain()
    if name == "openai":
        from chatdit.agents.openai_brain import OpenAIBrain

        return OpenAIBrain(settings or BrainSettings())
    raise ValueError(f"unknown brain {name!r}: expected one of {', '.join(get_args(BrainName))}")


def with_sight(brain: Brain, open_image: Callable[[ImageRef], Image.Image]) -> Brain:
    """`brain` able to see attached pictures through `open_image`, with its own eyes or with pocket's."""
    if not brain.name.startswith("openai:"):
        from chatdit.agents.describing_brain import describing

        return describing(brain, open_image)
    seeing: Callable[[Callable[[ImageRef], Image.Image]], Brain] | None = getattr(brain, "seeing", None)
    return brain if seeing is None else seeing(open_image)


def check_length(text: str) -> None:
    """Raises InstructionError when `text` is longer than MAX_TEXT characters."""
    if len(text) > MAX_TEXT:
        raise InstructionError(
            f"the instruction has {len(text):,} characters; at most {MAX_TEXT:,} are read: "
            "shorten it or split it over several messages"
        )
