"""Where a session stands in the tree of turns, and how it moves there. Nothing is ever taken away."""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.records import UNFINISHED, Picture, Turn
from chatdit.session_errors import SessionError
from chatdit.store import SessionStore


class Timeline:
    """The turns of one session, and those it was branched from."""

    def __init__(self, store: SessionStore, session: str) -> None:
        self._store = store
        self._session = session

    def history(self) -> tuple[Turn, ...]:
        """The line of conversation up to here, oldest first."""
        return tuple(self._store.lineage(self._store.head(self._session)))

    def turns(self) -> tuple[Turn, ...]:
        """Everything said in this session, undone, declined and failed turns too."""
        return tuple(self._store.turns(self._session))

    def pending(self) -> Turn | None:
        """The turn that was interrupted, if it was the last thing said here."""
        said = self._store.turns(self._session)
        if not said or said[-1].status not in UNFINISHED:
            return None
        return said[-1] if self._store.head(self._session) in (said[-1].parent, said[-1].id) else None

    def picture(self, number: int) -> Picture:
        """`#number`, also from an undone turn. Raises SessionError naming those there are."""
        known = {p.number: p for turn in (*self.turns(), *self.history()) for p in turn.images}
        if number not in known:
            there = f"there are {_ranges(sorted(known))}" if known else "nothing has been drawn yet"
            raise SessionError(f"there is no picture #{number}: {there}")
        return known[number]

    def find(self, turn: Turn | int) -> Turn:
        """The turn as it is recorded now; its number is enough. Raises SessionError naming those there are."""
        if isinstance(turn, Turn):
            return self._store.turn(turn.id)
        known = {found.number: found for found in (*self.turns(), *self.history())}
        if turn not in known:
            there = f"there are {_ranges(sorted(known))}" if known else "nothing has been said yet"
            raise SessionError(f"there is no turn {turn}: {there}")
        return known[turn]

    def origin(self, turn: Turn | int | None) -> Turn | None:
        """Where a branch from `turn` starts; from None it is where the session stands."""
        line = self.history()
        return self.find(turn) if turn is not None else (line[-1] if line else None)

    def undo(self) -> Turn:
        """Step back behind the last turn and return it. Raises SessionError at the start."""
        head = self._store.head(self._session)
        if head is None:
            raise SessionError("there is nothing to undo: the conversation stands at its start")
        turn = self._store.turn(head)
        self._store.move_head(self._session, turn.parent, [*self._store.redo_list(self._session), turn.id])
        return turn

    def redo(self) -> Turn:
        """Step forward again and return the turn. Raises SessionError when the last step was no undo."""
        redo = self._store.redo_list(self._session)
        if not redo:
            raise SessionError("there is nothing to redo: the last step was not an undo")
        self._store.move_head(self._session, redo[-1], redo[:-1])
        return self._store.turn(redo[-1])

    def go_to(self, turn: Turn | int) -> Turn:
        """Stand at an earlier turn."""
        found = self.find(turn)
        self._store.move_head(self._session, found.id)
        return found


def _ranges(numbers: Sequence[int]) -> str:
    """`#1 to #3, #5` for 1, 2, 3, 5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"#{part[0]}" if len(part) == 1 else f"#{part[0]} to #{part[-1]}" for part in parts)
