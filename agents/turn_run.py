"""One run of the graph on a thread of its own: events come out as they happen, a cancel goes in.

Why a thread and a queue, and not langgraph's stream writer: with a writer, Ctrl-C is raised inside
langgraph's own waiting loop, which then waits for the running node before anyone can tell that node
to stop. Here it is raised in `stream`, which first asks the node to stop and then waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread

from chatdit.agents.events import Event
from chatdit.tools.types import Cancelled

STOP_SECONDS = 5.0
"""How long to wait for a cancelled run; one that hangs longer ends by itself at its next event."""


@dataclass(frozen=True)
class Run:
    """Carries one run's events to whoever iterates `stream`."""

    _items: SimpleQueue[Event | BaseException | None] = field(default_factory=SimpleQueue)
    _cancelled: Flag = field(default_factory=Flag)

    def stream(self, work: Callable[[], object]) -> Iterator[Event]:
        """Start `work` and yield what it emits until it ends; raises what `work` raises.

        Leaving the iteration early, by Ctrl-C or by closing it, cancels `work`.
        """
        thread = Thread(target=self._carry_out, args=(work,), name="chatdit-turn", daemon=True)
        thread.start()
        try:
            while (item := self._items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.cancel()
            thread.join(STOP_SECONDS)

    def emit(self, event: Event) -> None:
        """Hand `event` out. Raises Cancelled after `cancel`."""
        self.check()
        self._items.put(event)

    def check(self) -> None:
        """Raises Cancelled after `cancel`."""
        if self._cancelled.is_set():
            raise Cancelled("the turn was cancelled; finished pictures are kept")

    def cancel(self) -> None:
        """Ask the run to stop at its next event; may be called from any thread, more than once."""
        self._cancelled.set()

    def _carry_out(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # whatever it is, the one who iterates must see it
            self._items.put(error)
        else:
            self._items.put(None)
