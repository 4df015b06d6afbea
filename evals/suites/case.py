"""A case of an IDEA-Bench-style suite (arXiv 2412.11767): what is asked for, and six questions about what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import JsonValue

from chatdit.tools.types import Data, Sha256

Category = Literal["T2I", "I2I", "Is2I", "T2Is", "IS2Is"]
"""From text or from one or several pictures (I, Is) to one picture or a set; IS2Is is the paper's I(s)2Is."""
CATEGORIES: tuple[Category, ...] = get_args(Category)
Split = Literal["dev", "test"]
TIERS: tuple[int, ...] = (1, 1, 2, 2, 3, 3)
"""Which tier each of the six questions belongs to: basic, intermediate, advanced."""
QUESTIONS = len(TIERS)


class Question(Data):
    """One question with a yes (1) or no (0) for an answer."""

    text: str
    zero: str = ""
    """When the answer is 0, in words."""
    one: str = ""
    """When the answer is 1, in words."""
    inputs: tuple[str, ...] | None = None
    """File names of the inputs that a judge is shown; None for all."""
    outputs: tuple[str, ...] | None = None
    """File names of the outputs that a judge is shown (`0001.jpg`); None for all."""
    check: JsonValue = None
    """The same question for the pocket judge; None where no rule can answer it."""


class Case(Data):
    """One request with its reference pictures and its questions."""

    id: str
    """The folder's name, `special_effect_adding_0001`."""
    task: str
    """The task's uid, `0085`."""
    task_name: str
    group: str
    """The unit of the human leaderboard's mean; a task without a known group is its own."""
    category: Category
    split: Split | None = None
    instruction: str
    folder: Path
    inputs: tuple[str, ...] = ()
    """File names in `folder`, in the order of their numbers."""
    output_count: int
    questions: tuple[Question, ...]
    sha256: Sha256
    """Of everything above except `folder`, and of the pixels of the inputs."""

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The reference pictures' paths, in order."""
        return tuple(self.folder / name for name in self.inputs)


class Suite(Data):
    """Cases in the order of their ids."""

    name: str
    root: Path
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    """One line for each case that could not be loaded, and for each oddity of one that could."""
    sha256: Sha256
    """Of the cases' hashes in order."""
