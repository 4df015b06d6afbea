"""Gives eyes to a brain that reads words only: attached pictures of the pocket world are described to it first.

A black and white one beside a picture of its size is a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from chatdit.agents.brain import Brain, Painter, Request
from chatdit.agents.drafts import can_draw, told_output
from chatdit.agents.instruction import Instruction, InstructionInput
from chatdit.agents.plan import Plan
from chatdit.tools.masks import looks_like_mask
from chatdit.tools.types import ImageRef, Problem

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.pocket.sight import Seen, Sight

See = Callable[[ImageRef], "Seen | None"]
"""What a picture shows; None where that cannot be told."""


class DescribingBrain:
    """Another brain, told what is in the pictures that nobody has described."""

    def __init__(self, brain: Brain, see: See, is_mask: Callable[[ImageRef], bool] = lambda image: False) -> None:
        self._brain, self._see, self._is_mask = brain, see, is_mask
        self.name = brain.name

    def parse(self, request: Request) -> Instruction:
        """As the brain within; what was seen in each picture is among the notices. Raises as that one does."""
        inputs, notices = [], []
        for number, given in enumerate(request.inputs, start=1):
            unknown = not given.description and given.picture is None and given.role != "mask"
            if unknown and self._masks_another(given, request):
                inputs.append(given.model_copy(update={"role": "mask"}))
                notices.append(f"Image {number} is black and white: I take it as a mask and paint where it is white.")
                continue
            seen = self._see(given.image) if unknown else None
            if seen is not None:
                given = _told(given, seen)
                notices.append(f"In image {number} I see {given.description}.")
            inputs.append(given)
        instruction = self._brain.parse(replace(request, inputs=tuple(inputs)))
        return instruction.model_copy(update={"notices": (*notices, *instruction.notices)})

    def _masks_another(self, given: InstructionInput, request: Request) -> bool:
        """Whether it is a mask of another attached picture, or of the one drawn last."""
        others = [other.image for other in request.inputs if other is not given] or [
            picture.image for picture in request.pictures[-1:]
        ]
        sizes = {(other.width, other.height) for other in others}
        return (given.image.width, given.image.height) in sizes and self._is_mask(given.image)

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

    return DescribingBrain(
        brain, lambda image: sight().look(open_image(image)), lambda image: looks_like_mask(open_image(image))
    )


def _told(given: InstructionInput, seen: Seen) -> InstructionInput:
    """With what was seen in words and, when nothing is missing there, as data."""
    nameable = all(can_draw(thing.subject) for thing in seen.scene.things)
    shows = told_output(seen.scene, given.id) if seen.whole and nameable else None
    return given.model_copy(update={"description": seen.caption, "shows": shows})
