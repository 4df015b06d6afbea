"""One turn from its first event to its last, everything recorded before it is reported."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from chatdit.agents.brain import PastPicture, PastTurn, Request
from chatdit.agents.events import Event, NodeFinished, NodeStarted, Outcome, Parsed, Planned, Responded, Verified
from chatdit.agents.plan import Plan
from chatdit.agents.state import Approval
from chatdit.agents.verifier import blank_nodes, reseeded
from chatdit.config import Settings
from chatdit.no_clobber import disk_error
from chatdit.recorder import PictureRecorder
from chatdit.records import Picture, Turn, TurnStatus
from chatdit.session_errors import StoreError
from chatdit.store import SessionStore
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.edit import MAX_EARLIER
from chatdit.tools.types import Cancelled, ImageRef
from chatdit.workshop import Workshop

if TYPE_CHECKING:
    from chatdit.agents.graph import Conversation

Approve = bool | Callable[[Plan], bool | Plan]
"""The answer to a plan of several steps, or who gives it; a returned plan runs instead."""

_STATUS: dict[Outcome, TurnStatus] = {"drawn": "done", "asked": "asked", "rejected": "declined", "nothing": "done"}


class RecordedTurn:
    """Runs the conversation graph for one turn of the store."""

    def __init__(
        self, store: SessionStore, artifacts: ArtifactStore, workshop: Workshop, settings: Settings, turn: Turn
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._workshop = workshop
        self._id = turn.id
        self._folder = store.root / "sessions" / turn.session
        # a turn's pictures stay together, also when it is gone on with elsewhere
        folder = settings.out or turn.folder or self._folder / "images"
        self._recorder = PictureRecorder(store, artifacts, turn, folder.absolute(), settings.metadata)
        self._begun = turn
        self._plan = turn.plan
        self._started = time.monotonic()
        self._running: Conversation | None = None

    @property
    def turn(self) -> Turn:
        """The turn as it is recorded now."""
        return self._store.turn(self._id)

    def cancel(self) -> None:
        """Stop at the next event, from any thread; whoever iterates `events` gets Cancelled."""
        if self._running is not None:
            self._running.cancel()

    def events(self, approve: Approve, *, go_on: bool = False, preview: bool = False) -> Iterator[Event]:
        """Run the turn, or `go_on` with it where it broke off. However it ends, that is recorded."""
        self._store.reopen_turn(self._id)
        try:
            with _one_line_errors(self._folder):
                yield from self._conversation(approve, go_on, preview)
        except (KeyboardInterrupt, GeneratorExit, Cancelled):
            self._break_off("cancelled", "Cancelled; finished pictures are kept.")
            raise
        except BaseException as error:
            self._break_off("failed", f"Failed: {error}")
            raise

    def _conversation(self, approve: Approve, go_on: bool, preview: bool) -> Iterator[Event]:
        from chatdit.agents.graph import Conversation

        nodes = self._store.root / "nodes"
        request = self._request()
        seeds = frozenset(picture.seed for picture in request.pictures)
        deps = self._workshop.deps(self._artifacts, nodes, size=self._begun.size, drawn_seeds=seeds, preview=preview)
        with Conversation(deps, self._folder / "checkpoints.db", f"turn-{self._begun.number}") as conversation:
            self._running = conversation
            if go_on and conversation.pending != "nothing":
                events = conversation.continue_interrupted()
            else:
                events = conversation.start(request, self._begun.seed, auto_approve=approve is True)
            waiting = yield from self._noted(events)
            while waiting is not None:
                waiting = yield from self._noted(conversation.resume(_answer(approve, waiting)))

    def _noted(self, events: Iterator[Event]) -> Generator[Event, None, Plan | None]:
        """Pass events on, recorded; returns the plan that waits for approval, if one does."""
        waiting: Plan | None = None
        with closing(cast("Generator[Event]", events)):  # at once, so that no step runs on behind
            for event in events:
                self._note(event)
                waiting = event.plan if isinstance(event, Planned) and event.needs_approval else None
                yield event
        return waiting

    def _note(self, event: Event) -> None:
        match event:
            case Parsed(instruction):
                self._recorder.understood(instruction)
                self._store.record_instruction(self._id, instruction)
            case Planned(plan):
                self._use(plan)
            case Verified(issues, repairing) if repairing and self._plan:
                self._use(reseeded(self._plan, blank_nodes(self._plan, issues, TOOLS)))
            case NodeStarted():
                self._recorder.prepare()
            case NodeFinished():
                self._recorder.record(event)
            case Responded():
                self._settle(event)
            case _:
                pass

    def _use(self, plan: Plan) -> None:
        self._plan = plan
        self._recorder.plan(plan)
        self._store.record_plan(self._id, plan)

    def _settle(self, event: Responded) -> None:
        if event.plan is not None:
            self._store.record_plan(self._id, event.plan)
        warnings = tuple(dict.fromkeys((*self._begun.warnings, *event.warnings)))
        self._end(_STATUS[event.outcome], self._reply(event, warnings), warnings)

    def _reply(self, event: Responded, warnings: tuple[str, ...]) -> str:
        """What was said, what was drawn, and what the person should know about it."""
        drawn = [f"#{picture.number}: {picture.output.description}" for picture in self.turn.images]
        notes = [f"Note: {warning}" for warning in warnings if warning not in event.text]
        sheets = [f"Contact sheet: {path}" for path in self._recorder.sheets]
        return "\n".join([event.text, *drawn, *sheets, *notes])

    def _break_off(self, status: TurnStatus, reply: str) -> None:
        with suppress(StoreError):  # on a full disk the turn stays `running`, which can be gone on with as well
            self._end(status, reply, self._begun.warnings)

    def _end(self, status: TurnStatus, reply: str, warnings: tuple[str, ...]) -> None:
        self._store.settle_turn(
            self._id, status, reply=reply, warnings=warnings, seconds=time.monotonic() - self._started
        )

    def _request(self) -> Request:
        past = [turn for turn in self._store.lineage(self._begun.parent) if turn.id != self._id]
        return Request(
            text=self._begun.text,
            inputs=self._begun.inputs,
            history=tuple(PastTurn(t.text, t.reply, tuple(p.number for p in t.images)) for t in past),
            pictures=_past_pictures(past),
            painter=self._workshop.facts(),
        )


def _past_pictures(turns: Sequence[Turn]) -> tuple[PastPicture, ...]:
    """The pictures of the conversation, each with the versions that it came from by edits."""
    found: list[PastPicture] = []
    versions: dict[ImageRef, tuple[ImageRef, ...]] = {}
    for turn in turns:
        for picture in turn.images:
            edited = _edited(turn, picture)
            before = [] if edited is None else list(dict.fromkeys((*versions.get(edited, ()), edited)))
            if len(before) > MAX_EARLIER:
                before = [before[0], *before[1 - MAX_EARLIER :]]
            versions.setdefault(picture.image, tuple(before))
            found.append(PastPicture(picture.number, picture.image, picture.output, picture.seed, tuple(before)))
    return tuple(found)


def _edited(turn: Turn, picture: Picture) -> ImageRef | None:
    """The picture that this one was made of in place; None when it was not an edit of one that went in."""
    nodes = turn.plan.nodes if turn.plan is not None and picture.tool == "edit" else ()
    image = next((node.args.get("image") for node in nodes if node.id == picture.node), None)
    name = image.get("$input") if isinstance(image, dict) else None
    return turn.plan.inputs.get(name) if turn.plan is not None and isinstance(name, str) else None


def _answer(approve: Approve, plan: Plan) -> Approval | bool:
    answer = approve if isinstance(approve, bool) else approve(plan)
    return Approval(approved=True, plan=answer) if isinstance(answer, Plan) else answer


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    """Refusals of the disk and the database as StoreError."""
    from chatdit.agents.checkpoints import CheckpointError

    try:
        yield
    except CheckpointError as error:
        raise StoreError(str(error)) from error
    except sqlite3.Error as error:
        words = "the disk is full; free some space and go on" if "full" in str(error) else f"it says {error}"
        raise StoreError(f"the checkpoints in {str(folder)!r} cannot be written: {words}") from error
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno is None:
            raise
        raise disk_error(error, folder / "images") from error
