"""What every judge gives: an answer to each question of a case, with its votes and a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pydantic import Field

from chatdit.evals.suites.case import Case
from chatdit.tools.types import Data, Sha256


class Answer(Data):
    """An answer to one question."""

    score: bool | None
    """None when the judge gave no answer that can be read: scored 0, and counted."""
    votes: tuple[bool | None, ...] = ()
    """Of a judge that is asked several times; `score` is their majority."""
    reason: str = ""


class Verdict(Data):
    """One line of a run's `verdicts/<judge>.jsonl`: the answers to a case's six questions."""

    case: str
    case_sha256: Sha256
    outputs_sha256: Sha256
    """Of the judged files' bytes in order: verdicts of other pictures are not taken for these."""
    judge: str
    """The judge's name."""
    fingerprint: str
    """The judge's, see `Judge.fingerprint`."""
    answers: tuple[Answer, ...]
    seconds: float = Field(default=0.0, ge=0)
    cost_usd: float | None = None


class Judge(Protocol):
    """Answers the questions of cases whose pictures are all there."""

    @property
    def name(self) -> str:
        """`pocket`, `openai:<model>` or `person:<name>`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that may change its answers: weights, thresholds, model, prompt, votes."""
        ...

    def verdict(self, case: Case, outputs: Sequence[Path]) -> Verdict:
        """Six answers about `outputs` (at least one file, in order), with what they took.

        Raises:
            EndpointError: an endpoint cannot be reached; nothing was answered.
        """
        ...
