"""The pocket judge: a trained reader looks at every picture, and rules answer the questions from what it sees.

It needs no network and no key. How often it is right is measured on true renders (`evals/judges/accuracy.py`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError

from chatdit.evals.judges.check_rules import RULES, Look, Seen, why_not
from chatdit.evals.judges.checks import read_checks
from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.pocket_asking import Reader, read_all
from chatdit.evals.scoring import JudgeErrors
from chatdit.evals.suites.case import Case, Question
from chatdit.tools.pocket.closer_look import CloserLook
from chatdit.tools.pocket.detector import load_detector, weights_file
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.types import ToolError

ERRORS = JudgeErrors(yes_wrong=0, yes_right=2718, no_wrong=21, no_right=561)
"""Answers that were wrong and right on true renders of the suite, as `evals/records/judge.json` has them."""


class PocketJudge:
    """Answers questions that have a check; to others it gives no answer."""

    name = "pocket"

    def __init__(self, reader: Reader | None = None) -> None:
        """`reader` stands in for the detector that ships. Raises ToolError when that is missing."""
        self.reader: Reader = reader or CloserLook(load_detector())
        known = hashlib.sha256(weights_file().read_bytes())
        known.update(RULES.encode())
        self.fingerprint = known.hexdigest()

    def verdict(self, case: Case, outputs: Sequence[Path]) -> Verdict:
        """Six answers, each with what was seen where it is a no.

        Raises:
            ToolError: a file is no picture.
        """
        started = time.perf_counter()
        seen = Seen(self.looks(case.pictures), self.looks(outputs))
        return Verdict(
            case=case.id,
            case_sha256=case.sha256,
            outputs_sha256=outputs_sha256(outputs),
            judge=self.name,
            fingerprint=self.fingerprint,
            answers=tuple(answer(question, seen) for question in case.questions),
            seconds=round(time.perf_counter() - started, 3),
        )

    def looks(self, pictures: Sequence[Path]) -> tuple[Look, ...]:
        """The pictures in these files, read."""
        return look_at(self.reader, [_opened(path) for path in pictures])


def look_at(reader: Reader, images: Sequence[Image.Image]) -> tuple[Look, ...]:
    """The pictures, scaled to the size that the reader knows, and what it sees in them."""
    if not images:
        return ()
    pixels = [np.asarray(_fitted(image)) for image in images]
    pictures = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return tuple(Look(r, p) for r, p in zip(read_all(reader, pictures), pixels, strict=True))


def answer(question: Question, seen: Seen) -> Answer:
    """Whether the question's checks hold; no answer where it has none, or none that can be read."""
    if question.check is None:
        return Answer(score=None, reason="no rule answers this question: ask another judge")
    try:
        reason = why_not(read_checks(question.check), seen)
    except ValidationError:
        return Answer(score=None, reason="the check cannot be read: it was written for another version")
    return Answer(score=reason is None, reason=reason or "")


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        raise ToolError(f"{path} is no picture that can be opened: take it out, and draw the case again") from None


def _fitted(image: Image.Image) -> Image.Image:
    size = (PICTURE_PIXELS, PICTURE_PIXELS)
    return image if image.size == size else image.resize(size, Image.Resampling.BOX)
