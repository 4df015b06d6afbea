"""`segment`: a phrase, points or a box to masks of what they mean in a picture.

In the pocket world the picture is read, each thing is fitted to the pixel, and words tell things apart by name, colour,
place, size and what they wear. Real pictures take Grounding DINO and SAM 2, from local folders
(`tools/grounding.py`); with a painter of a closed vocabulary, naming those folders means them.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from chatdit.tools.tool import PainterDefaults, RunContext, Tool, narrowed
from chatdit.tools.types import Box, Cost, ImageRef, MaskRef, Problem, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.segmenting import Asked, Found

MAX_POINTS = 16
GROUNDING_VARIABLE, SAM_VARIABLE = "CHATDIT_GROUNDING_DINO", "CHATDIT_SAM2"
"""Of the environment: where the models for real pictures lie."""
Fraction = Annotated[float, Field(ge=0, le=1)]


class SegmentInput(ToolInput):
    """The picture, and at least one of phrase, points and box; each narrows what the others leave.

    A phrase names things ("the red cat on the left", "the fox's hat", "all but the fox", "the background"), points lie
    on them, the box holds them. Points alone mean everything that one of them lies on.
    """

    image: ImageRef
    phrase: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    points: tuple[tuple[Fraction, Fraction], ...] = Field(default=(), max_length=MAX_POINTS)
    """x to the right and y down, in fractions of the picture."""
    box: Box | None = None
    shown: Literal["cutout", "mask"] = "cutout"
    """What `images` are of each: the thing cut out on white, or its mask, white on black."""
    instances: bool = False
    """One mask for each thing that is meant, where otherwise one shows all of them; the rest of a picture is one."""


class SegmentOutput(ToolOutput):
    """Masks of the picture's size, 255 on the thing; `images` shows each, in the same order."""

    masks: tuple[MaskRef, ...]
    boxes: tuple[Box, ...]
    """The box around each mask."""
    phrases: tuple[str, ...]
    """What each mask shows, in words."""


class Segment(Tool):
    """Masks for edits, composites and counts."""

    name = "segment"
    version = "1"
    summary = "Find what a phrase names, or a point or box means, in a picture, as a mask."
    Input = SegmentInput
    Output = SegmentOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Something must say what is meant."""
        request = narrowed(inp, SegmentInput)
        if request.phrase is not None or request.points or request.box is not None:
            return []
        return [Problem(path="phrase", code="nothing_meant", expected="a phrase, points or a box", got="none of them")]

    def surroundings(self) -> str:
        """The folders of models for real pictures, when somebody named them."""
        return ":".join(os.environ.get(name, "") for name in (GROUNDING_VARIABLE, SAM_VARIABLE)).strip(":")

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """Nothing is painted."""
        return Cost(steps=0, rows=0, tokens=0)

    def run(self, inp: ToolInput, context: RunContext) -> SegmentOutput:
        """Look, and cut out. Raises ToolError where nothing is meant, which says what the picture shows."""
        from chatdit.tools.segmenting import Asked, cut_out, tight_box

        request = narrowed(inp, SegmentInput)
        started = time.perf_counter()
        faults = self.validate(request)
        if faults:
            raise ToolError("; ".join(map(str, faults)))
        picture = context.store.open_image(request.image)
        asked = Asked(picture, request.phrase, request.points, request.box, request.instances)
        found = _found(asked, context)
        cuts = cut_out(asked, found)
        return SegmentOutput(
            images=tuple(context.store.put_image(_image(picture, cut.mask, request.shown)) for cut in cuts),
            seconds=time.perf_counter() - started,
            warnings=found.warnings,
            report={"by": found.by, "things": len(found.cuts)},
            masks=tuple(context.store.put_mask(cut.mask) for cut in cuts),
            boxes=tuple(tight_box(cut.mask) for cut in cuts),
            phrases=tuple(cut.phrase for cut in cuts),
        )


def _image(picture: Image.Image, mask: Image.Image, shown: Literal["cutout", "mask"]) -> Image.Image:
    from chatdit.tools.segmenting import on_white

    return on_white(picture, mask) if shown == "cutout" else mask.convert("RGB")


def _found(asked: Asked, context: RunContext) -> Found:
    from chatdit.tools.grounding import GroundingFolders
    from chatdit.tools.segmenting import found_by_grounding, found_by_reading

    dit, folders = context.dit(), GroundingFolders.from_environment()
    if dit.defaults.open_vocabulary or folders.named:
        return found_by_grounding(asked, folders, str(dit.device), context.progress)
    return found_by_reading(asked, context.progress)
