"""`edit`: a picture, and the words of what it shall show, to the picture with that changed and nothing else.

Only what changes is painted, around pixels that are given (`Segment.known_mask`); outside of that the result has the
picture's own pixels. A mask or boxes say where. Without them a painter of the pocket world looks, and one of any words
is told what the picture shows (`tools/editing_by_words.py`). Another place or style paints the whole picture with
everything on its spot. What an earlier version shows as it is wanted is taken from there, so that a long row of edits
is no worse than its first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from chatdit.tools.generate_request import Caption
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed
from chatdit.tools.types import Box, Cost, ImageRef, MaskRef, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.artifacts import ArtifactStore
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.editing import Order

EditWay = Literal["afresh", "upright"]
"""What no caption says of an edit: all is painted anew on its spot, as a blurred picture needs; or what is turned is
set upright."""
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
    shown: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""
    """What the picture shows now, for a painter of any words that is told no place."""
    ways: tuple[EditWay, ...] = ()
    """For a painter that looks."""
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
        if painter is None or not _by_words(request, painter) or request.shown:
            return []
        expected = "what it shows or where to paint, since this painter cannot look; say it, or give a mask or boxes"
        return [Problem(path="shown", code="no_place", expected=expected, got="none")]

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """One row of one picture; of words alone, two."""
        request = narrowed(inp, EditInput)
        tokens = (painter.width // painter.token_size) * (painter.height // painter.token_size)
        rows = 2 if _by_words(request, painter) else 1
        return Cost(steps=request.sampling.steps or painter.steps, rows=rows, tokens=tokens)

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
        if _by_words(request, dit.defaults):
            return self._worded(request, context, dit, started)
        store = context.store
        earlier = tuple(map(store.open_image, request.earlier))
        mask = _opened(request.mask, store)
        picture = store.open_image(request.image)
        asked = Asked(picture, request.caption, earlier, request.boxes, mask, request.ways)
        order = order_for(dit, asked, request.sampling.seed)
        made = edited(dit, order, request.sampling, context.progress, preview=context.preview)
        return EditOutput(
            images=(store.put_image(made),),
            seconds=time.perf_counter() - started,
            warnings=_warnings(request, order, caption_warnings(dit, order.caption)),
            report=_report(request, dit, order.caption) | _painted(order),
            boxes=order.boxes,
        )

    def _worded(self, request: EditInput, context: RunContext, dit: DiT, started: float) -> EditOutput:
        """By words alone, wherever the painter finds what they change."""
        from chatdit.tools.editing_by_words import edited_by_words, way_for, words_for
        from chatdit.tools.in_context import caption_warnings

        picture, way = context.store.open_image(request.image), way_for(dit)
        words = words_for(dit, picture, request.caption, request.shown)
        made = edited_by_words(
            dit, picture, words, request.sampling, context.progress, way=way, preview=context.preview
        )
        guidance = way.guidance if request.sampling.guidance is None else request.sampling.guidance
        return EditOutput(
            images=(context.store.put_image(made),),
            seconds=time.perf_counter() - started,
            warnings=tuple(caption_warnings(dit, words.wanted)),
            report=_report(request, dit, words.wanted) | {"guidance": guidance, "route": way.route},
            boxes=(),
        )


def _by_words(request: EditInput, painter: PainterDefaults) -> bool:
    """Whether nothing says where to paint, and the painter cannot look."""
    return painter.open_vocabulary and not request.boxes and request.mask is None


def _opened(mask: MaskRef | ImageRef | None, store: ArtifactStore) -> Image.Image | None:
    if mask is None:
        return None
    return store.open_mask(mask) if isinstance(mask, MaskRef) else store.open_image(mask).convert("L")


def _warnings(request: EditInput, order: Order, of_caption: list[str]) -> tuple[str, ...]:
    if "afresh" in request.ways:
        of_caption = [*of_caption, "it is painted anew from what could be seen; what could not is the painter's own"]
    if order.boxes:
        return tuple(of_caption)
    return () if order.restored else ("nothing had to change",)


def _report(request: EditInput, dit: DiT, caption: str) -> dict[str, float | int | str]:
    return drawn_with(dit, request.sampling) | {"caption_1": caption}


def _painted(order: Order) -> dict[str, float | int | str]:
    return {
        "painted": "all" if order.whole else len(order.boxes),
        "restored": order.restored,
    }
