"""The pocket suite: 100 tasks and 275 cases in IDEA-Bench's proportions, whose pictures a rule can judge.

A generator with a frozen seed writes it as a folder in the official format; `POCKET_SHA256` says whether this is still
the suite that records speak of. Every case knows the pictures that would be right, which no system is shown: they
measure the judge (`evals/judges/accuracy.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from chatdit.evals.suites.case import Case, Category, Split, Suite
from chatdit.evals.suites.idea_bench import load_suite, sealed, write_case
from chatdit.evals.suites.official_groups import group_of
from chatdit.evals.suites.pocket_tasks import blends, edits, from_text, series, stories
from chatdit.evals.suites.pocket_tasks.stage import Draft, Frame, Stage
from chatdit.tools.pocket.renderer import Renderer, to_image

SEED = "pocket-suite-1"
POCKET_SHA256 = "9fad42607a5d0659145715441c837ad0d9c583745243fa81e7c5dece8886d427"
_TASKS: Mapping[Category, Mapping[str, Callable[[Stage], Draft]]] = {
    "T2I": from_text.TASKS,
    "I2I": edits.TASKS,
    "Is2I": blends.TASKS,
    "T2Is": stories.TASKS,
    "IS2Is": series.TASKS,
}
_CASES: Mapping[Category, int] = {"T2I": 35, "I2I": 57, "Is2I": 63, "T2Is": 84, "IS2Is": 36}
"""As IDEA-Bench divides its 275 cases; the first tasks of a category have one more where it does not divide evenly."""


@dataclass(frozen=True)
class Written:
    """A case before it is on disk."""

    slug: str
    uid: str
    number: int
    category: Category
    draft: Draft

    @property
    def id(self) -> str:
        """The folder's name."""
        return f"{self.slug}_{self.number:04d}"

    @property
    def split(self) -> Split:
        """The development half or the held-out one; the cases of a task alternate."""
        return "dev" if (int(self.uid) + self.number) % 2 == 0 else "test"


def pocket_cases() -> Iterator[Written]:
    """All cases, in the order of the categories and tasks."""
    uid = 0
    for category, tasks in _TASKS.items():
        each, more = divmod(_CASES[category], len(tasks))
        for i, (slug, task) in enumerate(tasks.items()):
            uid += 1
            for number in range(1, each + (i < more) + 1):
                stage = Stage(random.Random(f"{SEED}-{slug}-{number}"))
                yield Written(slug, f"{uid:04d}", number, category, task(stage))


def write_pocket_suite(folder: Path) -> Suite:
    """The suite in `folder`, in the official layout; what is there already is written over.

    Raises:
        OSError: the folder cannot be written.
    """
    renderer = Renderer()
    for written in pocket_cases():
        pictures = rendered(renderer, written.draft.inputs)
        write_case(folder, _case(written, folder, pictures), pictures)
    return load_suite(folder, "pocket")


def rendered(renderer: Renderer, frames: tuple[Frame, ...]) -> list[Image.Image]:
    """The frames as pictures, made worse where they ask for it."""
    if not frames:
        return []
    made = renderer.pictures_of([f.scene for f in frames], [f.sprites for f in frames], random.Random(0))
    images = [to_image(picture) for picture in made]
    return [
        image if frame.worsen is None else Image.fromarray(frame.worsen(np.asarray(image)))
        for image, frame in zip(images, frames, strict=True)
    ]


def _case(written: Written, folder: Path, pictures: list[Image.Image]) -> Case:
    draft = written.draft
    return sealed(
        Case(
            id=written.id,
            task=written.uid,
            task_name=written.slug.replace("_", " "),
            group=group_of(written.slug) or written.slug.replace("_", " "),
            category=written.category,
            split=written.split,
            instruction=draft.instruction,
            folder=folder / written.id,
            inputs=tuple(f"{i:04d}.png" for i in range(1, len(pictures) + 1)),
            output_count=len(draft.wanted),
            questions=draft.questions,
            sha256="0" * 64,
        ),
        pictures,
    )
