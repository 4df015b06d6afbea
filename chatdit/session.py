"""Session: a conversation that draws, remembers, and can be gone back in.

    s = Session()
    turn = s.send("a cat to the left of a rocket on the beach, then the same cat on the moon")
    turn.images[0].save("cat.png")
    s.undo()

Turns are a tree: undo and branch move along it, and no picture is ever taken away or overwritten.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from chatdit.agents.events import Event
from chatdit.attached import Attachable, Attached, attach
from chatdit.config import Settings, change_setting, data_dir, load_settings
from chatdit.instruction_text import clean_text
from chatdit.recorded_turn import Approve, RecordedTurn
from chatdit.records import Picture, SessionInfo, Turn
from chatdit.session_errors import SessionBusy, SessionError
from chatdit.session_lock import SessionLock
from chatdit.settings_model import MetadataLevel, PlannerName
from chatdit.store import SessionStore
from chatdit.timeline import Timeline
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.types import AttentionName
from chatdit.workshop import Workshop

__all__ = ["Approve", "Picture", "Session", "Turn", "TurnEnded"]


@dataclass(frozen=True)
class TurnEnded:
    """The last event of a stream."""

    turn: Turn


class Session:
    """One conversation, held by one process; one turn at a time.

    Settings come from the config files and the environment unless `settings` gives them; the other
    keywords win over both. Nothing heavy is loaded before it is needed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        model: str | None = None,
        planner: PlannerName | None = None,
        seed: int | None = None,
        size: tuple[int, int] | str | None = None,
        out: str | Path | None = None,
        metadata: MetadataLevel | None = None,
        attention: AttentionName | None = None,
        home: str | Path | None = None,
        workshop: Workshop | None = None,
    ) -> None:
        """Start a new session. Raises ConfigError for unusable settings, StoreError for an unusable disk.

        `home` is the folder of all sessions. `workshop` brings a painter and a brain that are loaded; `model`,
        `planner` and `attention` change what it has.
        """
        flags: dict[str, object] = {
            "model": model,
            "planner": planner,
            "seed": seed,
            "size": size,
            "out": out,
            "metadata": metadata,
        }
        settings = _merged(settings, flags | {"attention": attention})
        own = {"model": model, "planner": planner, "attention": attention}
        if workshop is not None and any(own.values()):
            workshop = workshop.with_settings(_merged(workshop.settings, own))
        store = SessionStore(_home(home))
        self._open(store, store.create_session(), settings, workshop)

    @classmethod
    def resume(
        cls,
        session: str,
        settings: Settings | None = None,
        *,
        home: str | Path | None = None,
        workshop: Workshop | None = None,
    ) -> Session:
        """Go on with an earlier session; the beginning of its id is enough.

        Raises UnknownSession (naming the nearest) or SessionBusy (naming the process that has it).
        """
        store = SessionStore(_home(home))
        self = cls.__new__(cls)
        self._open(store, store.find_session(session), settings or load_settings(), workshop)
        return self

    @classmethod
    def latest(
        cls, settings: Settings | None = None, *, home: str | Path | None = None, workshop: Workshop | None = None
    ) -> Session:
        """Go on with the session used last. Raises SessionError when there is none."""
        known = cls.list(home=home)
        if not known:
            raise SessionError("there is no session to go on with: start one with `chatdit`")
        return cls.resume(known[0].id, settings, home=home, workshop=workshop)

    def _open(self, store: SessionStore, session: str, settings: Settings, workshop: Workshop | None) -> None:
        self.id = session
        self.folder = store.root / "sessions" / session
        """Where the session's pictures and checkpoints lie."""
        self._store = store
        self._timeline = Timeline(store, session)
        self._settings = settings
        self._lock = SessionLock(self.folder / "lock", session)
        weakref.finalize(self, self._lock.release)
        self._artifacts = ArtifactStore(store.root / "blobs")
        self._workshop = workshop or Workshop(settings)
        self._one_turn = threading.Lock()
        self._running: RecordedTurn | None = None
        self.preview = False
        """Whether progress events carry a small picture, which costs time."""

    # --- saying things ---

    def send(
        self,
        text: str,
        images: Sequence[Attachable] = (),
        *,
        seed: int | None = None,
        size: tuple[int, int] | None = None,
        approve: Approve = True,
    ) -> Turn:
        """Say something and wait for what comes of it.

        `images` are paths, file bytes, PIL pictures, or pictures of this session. `approve` is asked
        before a plan of several steps runs: True, False, or a function of the plan that returns either
        one or an edited plan. Raises ToolError, PlanError, InstructionError, EndpointError, StoreError
        or SessionBusy, each with one line for the person; what was finished before stays.
        """
        return _last(self.stream(text, images, seed=seed, size=size, approve=approve))

    def stream(
        self,
        text: str,
        images: Sequence[Attachable] = (),
        *,
        seed: int | None = None,
        size: tuple[int, int] | None = None,
        approve: Approve = True,
    ) -> Iterator[Event | TurnEnded]:
        """As `send`, reporting each event as it happens; the last one is `TurnEnded`.

        Closing the iterator, or an exception thrown into it, cancels the turn and keeps its finished
        pictures.
        """
        with self._turn():
            words, notes = clean_text(text)
            attached = attach(images, self._artifacts)
            turn = self._begin(words, attached, seed, size, (*notes, *attached.warnings))
            yield from self._follow(turn, approve)

    def finish(self, *, approve: Approve = True) -> Turn:
        """Go on with the turn that was interrupted, drawing only what is missing. Raises as `send`."""
        return _last(self.stream_finish(approve=approve))

    def stream_finish(self, *, approve: Approve = True) -> Iterator[Event | TurnEnded]:
        """As `finish`, reporting each event. Raises SessionError when nothing was interrupted."""
        with self._turn():
            turn = self.pending
            if turn is None:
                raise SessionError(f"session {self.id} has no interrupted turn: say what to draw next")
            yield from self._follow(turn, approve, go_on=True)

    @property
    def pending(self) -> Turn | None:
        """The turn that was interrupted, if it was the last thing said here; `finish()` goes on with it."""
        return self._timeline.pending()

    def cancel(self) -> None:
        """Stop the turn that runs on another thread; its `send` raises Cancelled, finished pictures stay."""
        if self._running is not None:
            self._running.cancel()

    def warm(self) -> None:
        """Load the painter on a thread behind; what goes wrong is raised where the painter is first used."""
        self._workshop.warm()

    # --- going back ---

    def undo(self) -> Turn:
        """Step back behind the last turn and return it; its pictures stay. Raises SessionError at the start."""
        with self._turn():
            return self._timeline.undo()

    def redo(self) -> Turn:
        """Step forward again and return the turn; saying something new in between ends that way."""
        with self._turn():
            return self._timeline.redo()

    def go_to(self, turn: Turn | int) -> Turn:
        """Stand at an earlier turn (its number is enough), here; what is said next starts from it."""
        with self._turn():
            return self._timeline.go_to(turn)

    def branch(self, turn: Turn | int | None = None) -> Session:
        """A new session that starts from `turn`, or from where this one stands; this one stays as it is."""
        origin = self._timeline.origin(turn)
        store = SessionStore(self._store.root)
        other = Session.__new__(Session)
        other._open(store, store.create_session(origin), self._settings, self._workshop)
        return other

    # --- looking ---

    def history(self) -> tuple[Turn, ...]:
        """The line of conversation up to here, oldest first."""
        return self._timeline.history()

    def turns(self) -> tuple[Turn, ...]:
        """Everything said in this session, undone, declined and failed turns too."""
        return self._timeline.turns()

    def picture(self, number: int) -> Picture:
        """`#number`, also from an undone turn. Raises SessionError naming those there are."""
        return self._timeline.picture(number)

    @staticmethod
    def list(*, home: str | Path | None = None) -> tuple[SessionInfo, ...]:
        """All sessions in which something was said, the one used last first."""
        store = SessionStore(_home(home))
        try:
            return tuple(store.sessions())
        finally:
            store.close()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        with self._turn():
            self._workshop = self._workshop.with_settings(settings)
            self._settings = settings

    @property
    def status(self) -> str:
        """Which brain, painter and sparse attention are in use, for the status line."""
        attention = self._workshop.attention()
        parts = [self._workshop.brain.name, self._workshop.painter.name, *([attention] if attention else [])]
        return " · ".join(parts)

    # --- ending ---

    def close(self) -> None:
        """Let go of the session, so that another process can take it."""
        self._lock.release()
        self._store.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({self.id!r})"

    # --- inside ---

    def _begin(
        self, text: str, attached: Attached, seed: int | None, size: tuple[int, int] | None, notes: Sequence[str]
    ) -> Turn:
        self._workshop.facts()  # an unknown model is refused before anything is recorded
        left = self.pending
        if left is not None and left.status == "running":  # by a process that was killed; now it is given up
            self._store.settle_turn(left.id, "cancelled", reply="Given up.", warnings=left.warnings, seconds=0)
        settings = _merged(self._settings, {"seed": seed, "size": size})
        return self._store.begin_turn(
            self.id,
            text,
            secrets.randbelow(2**31) if settings.seed is None else settings.seed,
            size=settings.size,
            inputs=attached.inputs,
            warnings=notes,
            brain=self._workshop.brain.name,
            painter=self._workshop.painter.name,
            folder=settings.out,
        )

    def _follow(self, turn: Turn, approve: Approve, *, go_on: bool = False) -> Iterator[Event | TurnEnded]:
        run = RecordedTurn(self._store, self._artifacts, self._workshop, self._settings, turn)
        self._running = run
        try:
            yield from run.events(approve, go_on=go_on, preview=self.preview)
        finally:
            self._running = None
        yield TurnEnded(run.turn)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._one_turn.acquire(blocking=False):
            raise SessionBusy(f"session {self.id} is in the middle of a turn: wait for it, or cancel it first")
        try:
            yield
        finally:
            self._one_turn.release()


def _merged(settings: Settings | None, flags: Mapping[str, object]) -> Settings:
    if settings is None:
        return load_settings(flags)
    for name, value in flags.items():
        if value is not None:
            settings = change_setting(settings, name, value)
    return settings


def _home(home: str | Path | None) -> Path:
    return Path(home).expanduser().absolute() if home is not None else data_dir()


def _last(events: Iterator[Event | TurnEnded]) -> Turn:
    for event in events:
        if isinstance(event, TurnEnded):
            return event.turn
    raise AssertionError("unreachable: every stream ends with TurnEnded")
