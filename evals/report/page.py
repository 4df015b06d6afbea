"""The report as one HTML file: scores with intervals, groups, and every case with what each system made of it.

Pictures are embedded small; the file needs nothing else and asks for nothing from outside.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from pydantic import JsonValue

from chatdit.evals.intervals import Estimate
from chatdit.evals.judges.judge import Answer
from chatdit.evals.suites.case import CATEGORIES, Case, Category

THUMBNAIL = 256
"""Pixels of the longer side of an embedded picture."""
QUALITY = 80
_LONGEST_PLAN = 4000


@dataclass(frozen=True)
class Made:
    """What a system made of one case, and what the judge said."""

    status: str
    outputs: tuple[Path, ...]
    answers: tuple[Answer, ...]
    gated: tuple[bool, ...]
    """For each answer whether an earlier tier's no leaves it out of the score."""
    score: float
    """Percent."""
    reply: str = ""
    error: str = ""
    plan: JsonValue = None
    seconds: float = 0.0


@dataclass(frozen=True)
class SystemRun:
    """One system's column of the report. Scores are in percent."""

    name: str
    scores: Mapping[str, Estimate]
    """`overall` and each category that was run."""
    groups: Mapping[tuple[Category, str], float]
    cases: Mapping[str, Made]


@dataclass(frozen=True)
class PageDifference:
    """A paired difference `a` - `b` in percent, and in how many cases a is better, the same, worse."""

    a: str
    b: str
    category: str
    estimate: Estimate
    counts: tuple[int, int, int] | None = None


@dataclass
class _Album:
    """Pictures that the page holds, each once."""

    images: list[str] = field(default_factory=list)
    known: dict[Path, int] = field(default_factory=dict)

    def number(self, path: Path) -> int:
        if path not in self.known:
            self.known[path] = len(self.images)
            self.images.append(_data_url(path))
        return self.known[path]


def page(
    title: str,
    about: str,
    stamp: str,
    cases: Sequence[Case],
    systems: Sequence[SystemRun],
    differences: Sequence[PageDifference] = (),
) -> str:
    """The HTML text. `about` is a line on suite and judge; `stamp` says what these numbers may be compared with."""
    album = _Album()
    told = {
        "title": title,
        "about": about,
        "stamp": stamp,
        "categories": [c for c in CATEGORIES if any(case.category == c for case in cases)],
        "systems": [{"name": s.name, "scores": {n: e.rounded(2) for n, e in s.scores.items()}} for s in systems],
        "paired": [_difference(d) for d in differences],
        "groups": _groups(systems),
        "cases": [_case(case, systems, album) for case in cases],
        "images": album.images,
    }
    template = files("chatdit.evals.report").joinpath("template.html").read_text(encoding="utf-8")
    # "</script>" inside a string would end the block it stands in
    return template.replace("/*DATA*/", json.dumps(told, ensure_ascii=False).replace("<", "\\u003c"))


def _difference(difference: PageDifference) -> dict[str, object]:
    return {
        "a": difference.a,
        "b": difference.b,
        "category": difference.category,
        "counts": difference.counts,
        **difference.estimate.rounded(2),
    }


def _groups(systems: Sequence[SystemRun]) -> list[dict[str, object]]:
    keys = dict.fromkeys(key for system in systems for key in system.groups)
    return [
        {"category": c, "name": g, "scores": {s.name: s.groups[c, g] for s in systems if (c, g) in s.groups}}
        for c, g in sorted(keys, key=lambda key: (CATEGORIES.index(key[0]), key[1]))
    ]


def _case(case: Case, systems: Sequence[SystemRun], album: _Album) -> dict[str, object]:
    return {
        "id": case.id,
        "category": case.category,
        "group": case.group,
        "split": case.split,
        "instruction": case.instruction,
        "output_count": case.output_count,
        "questions": [q.text for q in case.questions],
        "inputs": [album.number(path) for path in case.pictures],
        "systems": {s.name: _made(s.cases[case.id], album) for s in systems if case.id in s.cases},
    }


def _made(made: Made, album: _Album) -> dict[str, object]:
    plan = "" if made.plan is None else json.dumps(made.plan, indent=1, ensure_ascii=False)
    return {
        "status": made.status,
        "outputs": [album.number(path) for path in made.outputs],
        "answers": [
            {"score": a.score, "reason": a.reason, "gated": gated}
            for a, gated in zip(made.answers, made.gated, strict=True)
        ],
        "score": round(made.score, 2),
        "reply": made.reply,
        "error": made.error,
        "plan": plan if len(plan) <= _LONGEST_PLAN else plan[:_LONGEST_PLAN] + "\n…",
        "seconds": made.seconds,
    }


def _data_url(path: Path) -> str:
    """The picture, small; a grey one where the file is no picture any more."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        small = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (127, 127, 127))
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    small.save(held, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(held.getvalue()).decode("ascii")
