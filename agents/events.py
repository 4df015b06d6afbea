"""What a turn reports while it runs. Plain frozen data: a caller prints it, stores it or ignores it.

A turn that ends without an exception ends with exactly one `Responded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan
from chatdit.tools.types import ImageRef, Problem, Progress, ToolOutput

Outcome = Literal["drawn", "asked", "rejected", "nothing"]


@dataclass(frozen=True)
class Parsed:
    """The request was understood as this."""

    instruction: Instruction


@dataclass(frozen=True)
class Asked:
    """Something must be answered before anything can be drawn."""

    questions: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """A checked plan. With `needs_approval` the turn now waits for `Conversation.resume`."""

    plan: Plan
    needs_approval: bool


@dataclass(frozen=True)
class NodeStarted:
    """A node's tool is about to run; a node that is already stored goes straight to `NodeFinished`."""

    id: str
    tool: str


@dataclass(frozen=True)
class NodeProgress:
    """One report of a running node."""

    id: str
    progress: Progress


@dataclass(frozen=True)
class NodeFinished:
    """A node's output is stored. `cached` when an earlier run had made it."""

    id: str
    output: ToolOutput
    cached: bool


@dataclass(frozen=True)
class Verified:
    """What the verifier found; `repairing` when the blank pictures are drawn again with another seed."""

    issues: tuple[Problem, ...]
    repairing: bool = False


@dataclass(frozen=True)
class Responded:
    """The turn is over: what to say, and which picture answers which output."""

    text: str
    outcome: Outcome
    images: Mapping[str, ImageRef] = field(default_factory=dict)
    plan: Plan | None = None
    """The plan as it ran, with an editor's changes and a repair's seeds."""
    warnings: tuple[str, ...] = ()


Event = Parsed | Asked | Planned | NodeStarted | NodeProgress | NodeFinished | Verified | Responded
