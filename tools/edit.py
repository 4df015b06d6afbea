"""`edit`: a picture, and the words of what it shall show, to the picture with that changed and nothing else.

Only what changes is painted, around pixels that are given (`Segment.known_mask`); outside of that the result has the
picture's own pixels. A mask or boxes say where; without them a painter of the pocket world looks. Another place or
style paints the whole picture with everything on its spot. What an earlier version shows as it is wanted is taken from
there, so that a long row of edits is no worse than its first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from chatdit.tools.generate_request import Caption
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, narrowed
from chatdit.tools.types import Box, Cost, ImageRef, MaskRef, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.artifacts import ArtifactStore
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.editing import Order

MAX_BOXES = 12
MAX_EARLIER = 12


class EditInput(ToolInput):
    """The picture, all that it shall show afterwards, and where it may change; else the painter looks."""

    image: ImageRef
    caption: Caption
    boxes: tuple[Box, ...] = Field(default=(), max_length=MAX_BOXES)
    mask: MaskRef | ImageRef | None = Field(default=None, discriminator="kind")
    """White where the picture may change; of the picture's size."""
    earlier: tuple[ImageRef, ...] = Field(default=(), max_length=MAX_EARLIER)
    """The versions that the picture came from, oldest first; those of its size are looked at."""
    sampling: Sampling = Sampling()


class EditOutput(ToolOutput):
    """One picture, of the size that was given."""

    boxes: tuple[Box, ...]
    """What was painted anew."""


class Edit(Tool):
    """Changes in place: recolour, dress, add, remove, replace, resize, move; another place or style."""

    name = "edit"
    version = "2"
    summary = "Change a picture where its new caption says so and leave every other pixel as it is."
    Input = EditInput
    Output = EditOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """A mask of another size, a place said twice, or said by nobody to a painter that cannot look."""
        request = narrowed(inp, EditInput)
        mask, size = request.mask, f"{request.image.width}x{request.image.height}"
        if mask is not None and request.boxes:
            expected = "boxes or a mask, not both; leave one out"
            return [Problem(path="mask", code="two_places", expected=expected, got=f"a mask and {len(request.boxes)}")]
        if mask is not None and (mask.width, mask.height) != (request.image.width, request.image.height):
            expected = f"a mask of the picture's size, {size}; scale it or draw it again"
            return [Problem(path="mask", code="mask_size", expected=expected, got=f"{mask.width}x{mask.height}")]
        if painter is None or not painter.open_vocabulary or request.boxes or mask is not None:
            return []
        expected = "where to paint, since this painter cannot look; give a mask or boxes, or use generate"
        return [Problem(path="boxes", code="no_boxes", expected=expected, got="none")]

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """One row of one picture."""
        request = narrowed(inp, EditInput)
        tokens = (painter.width // painter.token_size) * (painter.height // painter.token_size)
        return Cost(steps=request.sampling.steps or painter.steps, rows=1, tokens=tokens)

    def run(self, inp: ToolInput, context: RunContext) -> EditOutput:
        """Look, paint, put back. Raises ToolError for words that are no scene of the painter's world, or no mask."""
        from chatdit.tools.editing import Asked, edited, order_for
        from chatdit.tools.in_context import caption_warnings

        request = narrowed(inp, EditInput)
        started = time.perf_counter()
        dit = context.dit()
        faults = self.validate(request, dit.defaults)
        if faults:
            raise ToolError("; ".join(map(str, faults)))
        store = context.store
        earlier = tuple(map(store.open_image, request.earlier))
        mask = _opened(request.mask, store)
        asked = Asked(store.open_image(request.image), request.caption, earlier, request.boxes, mask)
        order = order_for(dit, asked, request.sampling.seed)
        made = edited(dit, order, request.sampling, context.progress, preview=context.preview)
        return EditOutput(
            images=(store.put_image(made),),
            seconds=time.perf_counter() - started,
            warnings=_warnings(order, caption_warnings(dit, order.caption)),
            report=_report(request, dit, order),
            boxes=order.boxes,
        )


def _opened(mask: MaskRef | ImageRef | None, store: ArtifactStore) -> Image.Image | None:
    if mask is None:
        return None
    return store.open_mask(mask) if isinstance(mask, MaskRef) else store.open_image(mask).convert("L")


def _warnings(order: Order, of_caption: list[str]) -> tuple[str, ...]:
    if order.boxes:
        return tuple(of_caption)
    return () if order.restored else ("nothing had to change",)


def _report(request: EditInput, dit: DiT, order: Order) -> dict[str, float | int | str]:
    sampling = request.sampling
    return {
        "painter": dit.name,
        "weights": dit.weights_hash,
        "steps": sampling.steps or dit.defaults.steps,
        "guidance": dit.defaults.guidance if sampling.guidance is None else sampling.guidance,
        "caption_1": order.caption,
        "painted": "all" if order.whole else len(order.boxes),
        "restored": order.restored,
    }
