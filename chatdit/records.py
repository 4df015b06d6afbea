"""What a session remembers: turns and pictures, immutable, each with the one it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import Plan
from chatdit.no_clobber import write_new
from chatdit.tools.types import ImageRef

TurnStatus = Literal["running", "done", "asked", "declined", "cancelled", "failed"]
UNFINISHED: tuple[TurnStatus, ...] = ("running", "cancelled", "failed")


@dataclass(frozen=True)
class Picture:
    """One finished picture of a session."""

    number: int
    """`#7`: unique along one line of conversation, never used again."""
    path: Path
    """Its PNG file with provenance; it is never overwritten."""
    image: ImageRef
    """The pixels alone, in the artifact store."""
    tool: str
    seed: int
    node: str
    """The step of the turn's plan that made it."""
    index: int
    """Which image of that step it is."""
    output: OutputSpec
    """What it was asked to show."""
    parents: tuple[int, ...] = ()
    """Numbers of the pictures it was made from."""
    steps: int | None = None
    seconds: float = 0.0
    """Time of its step, shared by all images of that step."""
    cached: bool = False
    """True when the step had been run before and its images were taken from the store."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.image.height

    @property
    def sha256(self) -> str:
        """Of the file at `path`, as `sha256sum` prints it. Raises OSError when the file is gone."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def save(self, path: str | Path) -> Path:
        """Copy the PNG with its provenance to `path`, or to a numbered name beside it if that is taken.

        Returns the path written. Raises StoreError when the disk refuses.
        """
        return write_new(Path(path).expanduser(), self.path.read_bytes())


@dataclass(frozen=True)
class Turn:
    """One exchange: what was said, what was planned, what came of it."""

    number: int
    text: str
    """What the person said."""
    reply: str
    """What was drawn, asked or refused, with every notice and warning."""
    plan: Plan | None
    instruction: Instruction | None
    images: tuple[Picture, ...]
    """Finished pictures in the order of the plan's outputs."""
    seconds: float
    warnings: tuple[str, ...]
    status: TurnStatus
    seed: int
    session: str
    """Id of the session in which it was said."""
    id: int
    """Key in the store, unique over all sessions."""
    parent: int | None
    """`id` of the turn before it, None for the first of a session."""
    brain: str = ""
    painter: str = ""
    inputs: tuple[InstructionInput, ...] = ()
    """Pictures that were attached."""
    size: tuple[int, int] | None = None
    first_picture: int = 1
    """Number of the first output; the others follow in order."""
    folder: Path | None = None
    """Where its pictures go; None for turns recorded before this was."""

    @property
    def questions(self) -> tuple[str, ...]:
        """What must be answered before anything can be drawn."""
        return self.instruction.questions if self.instruction else ()

    @property
    def finished(self) -> bool:
        """False when it was interrupted and `Session.finish()` could go on."""
        return self.status not in UNFINISHED


@dataclass(frozen=True)
class SessionInfo:
    """A session as a list shows it. Times are seconds since 1970."""

    id: str
    title: str
    """The first words said in it."""
    created: float
    updated: float
    turns: int
    pictures: int
    branched_from: tuple[str, int] | None = None
    """Session and turn number it started from."""
