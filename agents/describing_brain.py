"""Gives eyes to a brain that reads words only: attached pictures of the pocket world are described to it first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from chatdit.agents.brain import Brain, Painter, Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan
from chatdit.tools.types import ImageRef, Problem

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.pocket.sight import Sight

Describe = Callable[[ImageRef], str]
"""What a picture shows, in words; empty where that cannot be told."""


class DescribingBrain:
    """Another brain, told what is in the pictures that nobody has described."""

    def __init__(self, brain: Brain, describe: Describe) -> None:
        self._brain, self._describe = brain, describe
        self.name = brain.name

    def parse(self, request: Request) -> Instruction:
        """As the brain within; what was seen in each picture is among the notices. Raises as that one does."""
        inputs, notices = [], []
        for number, given in enumerate(request.inputs, start=1):
            told = "" if given.description or given.picture is not None else self._describe(given.image)
            inputs.append(given.model_copy(update={"description": told}) if told else given)
            notices += [f"In image {number} I see {told}."] if told else []
        instruction = self._brain.parse(replace(request, inputs=tuple(inputs)))
        return instruction.model_copy(update={"notices": (*notices, *instruction.notices)})

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """As the brain within."""
        return self._brain.plan(instruction, problems, painter=painter, seed=seed)


def describing(brain: Brain, open_image: Callable[[ImageRef], Image.Image]) -> DescribingBrain:
    """`brain` with pocket's own eye, which is loaded when a picture first needs it."""

    @cache
    def sight() -> Sight:
        from chatdit.tools.pocket.sight import Sight

        return Sight()

    return DescribingBrain(brain, lambda image: sight().describe(open_image(image)))
