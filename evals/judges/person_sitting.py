"""A sitting: the pictures of one or several systems in the order in which a person judges them, blind."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.suites.case import Case

PAGE_VERSION = "1"
"""Counted up whenever the page asks in another way, so that verdicts say how they came about."""
_NAME = re.compile(r"[\w.-]{1,40}")


class ToJudge(NamedTuple):
    """A case as one system answered it; `label` is the system's name, which the person never sees."""

    label: str
    case: Case
    outputs: tuple[Path, ...]


@dataclass
class Sheet:
    """One page of a sitting. Its id and those of its pictures say nothing about where they come from."""

    id: str
    item: ToJudge
    outputs_sha256: str
    inputs: dict[str, Path]
    """Files under the ids by which the page knows them."""
    outputs: dict[str, Path]
    answers: tuple[Answer, ...] = ()
    """Empty until it is judged."""
    shown_at: float | None = None

    @property
    def note(self) -> str:
        """What the person wrote about the case."""
        return self.answers[0].reason if self.answers else ""


class Sitting:
    """All sheets in a random order that the seed decides; a verdict given earlier is already on its sheet."""

    def __init__(
        self, items: Iterable[ToJudge], name: str, done: Iterable[tuple[str, Verdict]] = (), seed: int = 0
    ) -> None:
        """`done` are earlier verdicts with their labels; only this person's, of the same pictures, count.

        Raises:
            OSError: a picture cannot be read.
            ValueError: the name holds more than letters, digits and `._-`, or there is nothing to judge.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"the judge's name {name!r}: expected 1 to 40 letters, digits or any of ._-")
        self.judge_name = f"person:{name}"
        self.fingerprint = hashlib.sha256(f"{self.judge_name} page {PAGE_VERSION}".encode()).hexdigest()
        self.sheets = [_sheet(item) for item in items]
        if not self.sheets:
            raise ValueError("there is nothing to judge: expected at least one case with pictures")
        random.Random(seed).shuffle(self.sheets)
        self.pictures = {key: path for s in self.sheets for key, path in (s.inputs | s.outputs).items()}
        self._by_id = {sheet.id: sheet for sheet in self.sheets}
        self._take_over(done)

    @property
    def judged(self) -> int:
        """How many sheets have answers."""
        return sum(bool(sheet.answers) for sheet in self.sheets)

    def sheet(self, key: str) -> Sheet | None:
        """The sheet with this id."""
        return self._by_id.get(key)

    def position(self, sheet: Sheet) -> int:
        """The sheet's place, from 0."""
        return self.sheets.index(sheet)

    def next_open(self, after: Sheet | None = None) -> Sheet | None:
        """The first sheet without answers behind `after`, round the end if need be; None when all others have some."""
        start = 0 if after is None else self.position(after) + 1
        others = [sheet for sheet in self.sheets[start:] + self.sheets[:start] if sheet is not after]
        return next((sheet for sheet in others if not sheet.answers), None)

    def before(self, sheet: Sheet) -> Sheet | None:
        """The sheet in front, judged or not."""
        at = self.position(sheet)
        return self.sheets[at - 1] if at else None

    def verdict(self, sheet: Sheet, scores: Sequence[bool], note: str) -> Verdict:
        """The person's answers as a verdict; the note is the reason of each, since a verdict has no other place."""
        seconds = 0.0 if sheet.shown_at is None else time.monotonic() - sheet.shown_at
        return Verdict(
            case=sheet.item.case.id,
            case_sha256=sheet.item.case.sha256,
            outputs_sha256=sheet.outputs_sha256,
            judge=self.judge_name,
            fingerprint=self.fingerprint,
            answers=tuple(Answer(score=score, reason=note) for score in scores),
            seconds=round(seconds, 1),
        )

    def _take_over(self, done: Iterable[tuple[str, Verdict]]) -> None:
        earlier = {
            (label, v.case_sha256, v.outputs_sha256): v.answers for label, v in done if v.judge == self.judge_name
        }
        for sheet in self.sheets:
            key = (sheet.item.label, sheet.item.case.sha256, sheet.outputs_sha256)
            sheet.answers = earlier.get(key, ())


def _sheet(item: ToJudge) -> Sheet:
    def under_ids(paths: Sequence[Path]) -> dict[str, Path]:
        return {secrets.token_urlsafe(12): path for path in paths}

    return Sheet(
        id=secrets.token_urlsafe(12),
        item=item,
        outputs_sha256=outputs_sha256(item.outputs),
        inputs=under_ids(item.case.pictures),
        outputs=under_ids(item.outputs),
    )
