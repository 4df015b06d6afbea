"""`edit`: a picture, and the words of what it shall show, to the picture with that changed and nothing else.

Only the boxes that change are painted, around pixels that are given (`Segment.known_mask`); outside of them the result
has the picture's own pixels. A painter of the pocket world finds the boxes by looking; another place or style paints
the whole picture with everything on its spot.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from chatdit.tools.generate_request import Caption
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, narrowed
from chatdit.tools.types import Box, Cost, ImageRef, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.editing import Order

MAX_BOXES = 12


class EditInput(ToolInput):
    """The picture, all that it shall show afterwards, and where it may change; without boxes the painter looks."""

    image: ImageRef
    caption: Caption
    boxes: tuple[Box, ...] = Field(default=(), max_length=MAX_BOXES)
    sampling: Sampling = Sampling()


class EditOutput(ToolOutput):
    """One picture, of the size that was given."""

    boxes: tuple[Box, ...]
    """What was painted anew."""


class Edit(Tool):
    """Changes in place: recolour, dress, add, remove, replace, resize, move; another place or style."""

    name = "edit"
    version = "1"
    summary = "Change a picture where its new caption says so and leave every other pixel as it is."
    Input = EditInput
    Output = EditOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """An open vocabulary cannot be looked for in a picture: it needs boxes."""
        request = narrowed(inp, EditInput)
        if painter is None or not painter.open_vocabulary or request.boxes:
            return []
        expected = "where to paint, since this painter cannot look; name boxes, or use generate"
        return [Problem(path="boxes", code="no_boxes", expected=expected, got="none")]

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """One row of one picture."""
        request = narrowed(inp, EditInput)
        tokens = (painter.width // painter.token_size) * (painter.height // painter.token_size)
        return Cost(steps=request.sampling.steps or painter.steps, rows=1, tokens=tokens)

    def run(self, inp: ToolInput, context: RunContext) -> EditOutput:
        """Look, paint, put back. Raises ToolError for words that are no scene of the painter's world."""
        from chatdit.tools.editing import edited, order_for
        from chatdit.tools.in_context import caption_warnings

        request = narrowed(inp, EditInput)
        started = time.perf_counter()
        dit = context.dit()
        faults = self.validate(request, dit.defaults)
        if faults:
            raise ToolError("; ".join(map(str, faults)))
        picture = context.store.open_image(request.image)
        order = order_for(dit, picture, request.caption, request.boxes, request.sampling.seed)
        made = edited(dit, picture, order, request.sampling, context.progress, preview=context.preview)
        return EditOutput(
            images=(context.store.put_image(made),),
            seconds=time.perf_counter() - started,
            warnings=tuple(caption_warnings(dit, order.caption)) if order.boxes else ("nothing had to change",),
            report=_report(request, dit, order),
            boxes=order.boxes,
        )


def _report(request: EditInput, dit: DiT, order: Order) -> dict[str, float | int | str]:
    sampling = request.sampling
    return {
        "painter": dit.name,
        "weights": dit.weights_hash,
        "steps": sampling.steps or dit.defaults.steps,
        "guidance": dit.defaults.guidance if sampling.guidance is None else sampling.guidance,
        "caption_1": order.caption,
        "painted": "all" if order.whole else len(order.boxes),
    }
