"""`layout`: boxes with phrases to a picture in which each thing stands in its box.

As in CreatiLayout (arXiv 2412.03859) every box has a phrase of its own. Pocket is told by layout channels, which each
token brings beside its latent (`tools/dit/layout.py`), with words of squares in the caption; it has learned them with
everything else, so nothing is added to it. Painters without such channels see each phrase in its box alone, by a mask
of attention (`tools/dit/regions.py`), which needs no training and holds less tightly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

from chatdit.tools.generate_request import Caption
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed
from chatdit.tools.types import Box, Cost, Data, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.dit.rows import Row
    from chatdit.tools.pocket.scene import Placement

MOST_BOXES = 6
MOST_SHARED = 0.3
"""Of the smaller of two boxes: above it they are said to overlap."""
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)]


class BoxedPhrase(Data):
    """One thing, and the box that it fills as far as its shape allows."""

    phrase: Caption
    box: Box


class LayoutInput(ToolInput):
    """What stands where, over which place and in which style."""

    boxes: tuple[BoxedPhrase, ...] = Field(min_length=1, max_length=MOST_BOXES)
    background: Words = ""
    """A place: "beach", "on the beach"; a painter of an open vocabulary reads any words of the whole."""
    style: Words = ""
    sampling: Sampling = Sampling()


class LayoutOutput(ToolOutput):
    """One picture, and where each thing was asked to stand."""

    seeds: tuple[int, ...]
    boxes: tuple[Box, ...]
    """Of what is seen of each, in the order asked: within its box, in its shape."""
    caption: str


class LayoutTool(Tool):
    """Things in their boxes."""

    name = "layout"
    version = "2"
    summary = "Draw a picture in which each named thing stands in its own box."
    Input = LayoutInput
    Output = LayoutOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Phrases and places are of the painter's world, if it has one, and the boxes hold them."""
        request = narrowed(inp, LayoutInput)
        return [] if painter is not None and painter.open_vocabulary else list(_problems(request))

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """One picture."""
        request = narrowed(inp, LayoutInput)
        tokens = (painter.width // painter.token_size) * (painter.height // painter.token_size)
        return Cost(steps=request.sampling.steps or painter.steps, rows=1, tokens=tokens)

    def run(self, inp: ToolInput, context: RunContext) -> LayoutOutput:
        """Settle, draw, store."""
        from chatdit.tools.in_context import Drawing, caption_warnings, sampled_pictures

        request = narrowed(inp, LayoutInput)
        started = time.perf_counter()
        dit = context.dit()
        if faults := self.validate(request, dit.defaults):
            raise ToolError("; ".join(map(str, faults)))
        masked = dit.defaults.open_vocabulary
        row = regional_row(request, dit.defaults) if masked else told_row(request, dit.defaults)
        drawn = sampled_pictures(dit, Drawing(row, 0), request.sampling, context.progress, preview=context.preview)
        return LayoutOutput(
            images=(context.store.put_image(drawn.pictures[0]),),
            seconds=time.perf_counter() - started,
            warnings=(*_overlaps(request), *caption_warnings(dit, row.caption)),
            report=drawn_with(dit, request.sampling) | {"way": "regions" if masked else "channels"},
            seeds=(request.sampling.seed,),
            boxes=tuple(entry.box for entry in request.boxes) if masked else _seen_boxes(request),
            caption=row.caption,
        )


def told_row(request: LayoutInput, painter: PainterDefaults) -> Row:
    """One picture by layout channels: its caption tells every square."""
    from chatdit.tools.dit.rows import Row, Segment

    return Row(settled(request)[0], (Segment(painter.width, painter.height),), request.sampling.seed)


def regional_row(request: LayoutInput, painter: PainterDefaults, caption: str | None = None) -> Row:
    """One picture by regional prompts: each phrase is seen in its box alone; `caption` is of the whole."""
    from chatdit.tools.dit.rows import Region, Row, Segment

    phrases = [entry.phrase for entry in request.boxes]
    listed = " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
    whole = ", ".join(
        filter(
            None,
            (listed, request.background, request.style and f"{request.style.lower().removesuffix(' style')} style"),
        )
    )
    boxes = [entry.box for entry in request.boxes]
    regions = tuple(Region(p, (b.x1, b.y1, b.x2, b.y2)) for p, b in zip(phrases, boxes, strict=True))
    segment = Segment(painter.width, painter.height)
    return Row(caption or whole, (segment,), request.sampling.seed, regions=regions)


def settled(request: LayoutInput) -> tuple[str, list[Placement]]:
    """The caption that tells pocket where everything stands, and the sprites in the order of the boxes.

    Raises:
        ToolError: a phrase, place or style that this world does not have, or a box that holds no sprite.
    """
    from chatdit.tools.pocket.boxed import boxed, boxed_scene
    from chatdit.tools.pocket.captions import caption

    entries = [boxed(entry.phrase, entry.box) for entry in request.boxes]
    scene, ordered = boxed_scene(entries, _place(request.background), _style(request.style))
    return caption(scene, ordered), [entry.sprite for entry in entries]


def _problems(request: LayoutInput) -> Iterator[Problem]:
    from chatdit.tools.pocket.boxed import boxed

    for i, entry in enumerate(request.boxes):
        try:
            boxed(entry.phrase, entry.box)
        except ToolError as error:
            yield Problem(
                path=f"boxes.{i}", code="bad_box", expected="a subject in a box that holds it", got=str(error)
            )
            return
    for name, words, find in (("background", request.background, _place), ("style", request.style, _style)):
        try:
            find(words)
        except ToolError as error:
            yield Problem(path=name, code="unknown_word", expected=str(error), got=words)
            return
    try:
        settled(request)
    except ToolError as error:
        yield Problem(path="boxes", code="too_much", expected="what one picture holds", got=str(error))


def _place(words: str) -> str:
    from chatdit.tools.pocket.caption_reader import DEFAULT_BACKGROUND
    from chatdit.tools.pocket.vocabulary import BACKGROUNDS, find_background

    if not words:
        return DEFAULT_BACKGROUND
    bare = words.lower()
    found = next((name for name, b in BACKGROUNDS.items() if bare in (name, b.phrase)), None) or find_background(bare)
    if found is None:
        raise ToolError(f"a place of this world, such as {', '.join(list(BACKGROUNDS)[:4])}")
    return found


def _style(words: str) -> str:
    from chatdit.tools.pocket.vocabulary import STYLES, find_style

    if not words:
        return "plain"
    found = find_style(words.lower().removesuffix(" style"))
    if found is None:
        raise ToolError(f"a style of this world: {', '.join(STYLES)}")
    return found


def _overlaps(request: LayoutInput) -> Iterator[str]:
    for a, b in combinations(request.boxes, 2):
        across = min(a.box.x2, b.box.x2) - max(a.box.x1, b.box.x1)
        down = min(a.box.y2, b.box.y2) - max(a.box.y1, b.box.y1)
        least = min((e.box.x2 - e.box.x1) * (e.box.y2 - e.box.y1) for e in (a, b))
        if across > 0 and down > 0 and across * down > MOST_SHARED * least:
            yield f"the boxes of {a.phrase!r} and {b.phrase!r} overlap: one may hide the other"


def _seen_boxes(request: LayoutInput) -> tuple[Box, ...]:
    return tuple(_box(sprite) for sprite in settled(request)[1])


def _box(sprite: Placement) -> Box:
    from chatdit.tools.pocket.boxed import visible
    from chatdit.tools.pocket.scene import PICTURE_PIXELS

    x1, y1, x2, y2 = (min(1.0, max(0.0, v / PICTURE_PIXELS)) for v in visible(sprite))
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)
