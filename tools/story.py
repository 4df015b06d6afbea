"""`story`: a sequence of pages around one subject, each with boxes or without, as many as are asked for.

Pages that fit one context are drawn together, later ones beside what all have in common: the given picture of the
subject, or the first page. As in Lay2Story (arXiv 2508.08949) a layout can be told for every page by itself, and pages
can see of each other the subject alone (`tools/dit/pages.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from chatdit.tools.generate_request import Caption, derived_seed
from chatdit.tools.layout import MOST_BOXES, BoxedPhrase
from chatdit.tools.panels import MAX_PANELS
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed, part_of
from chatdit.tools.types import Cost, Data, ImageRef, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.in_context import Drawing

MOST_PAGES = 24
Sight = Literal["subject", "all"]
Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)]


class Page(Data):
    """One picture of the story; boxes say where everything that its caption names stands, or nothing does."""

    caption: Caption
    boxes: tuple[BoxedPhrase, ...] = Field(default=(), max_length=MOST_BOXES)


class StoryInput(ToolInput):
    """The pages in order, and the subject that they share: its word in the captions, a picture of it.

    `sight` is what pages see of each other.
    """

    pages: tuple[Page, ...] = Field(min_length=2, max_length=MOST_PAGES)
    subject: Word = ""
    reference: ImageRef | None = None
    sight: Sight = "all"
    sampling: Sampling = Sampling()


class StoryOutput(ToolOutput):
    """A picture for each page, in order."""

    seeds: tuple[int, ...]
    captions: tuple[str, ...]


class StoryTool(Tool):
    """The same subject, page by page."""

    name = "story"
    version = "1"
    summary = "Draw the pages of a story around one subject, each with a layout of its own if one is told."
    Input = StoryInput
    Output = StoryOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Boxes of every page hold all that its caption names."""
        request = narrowed(inp, StoryInput)
        return [] if painter is None or painter.open_vocabulary else list(_problems(request))

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """A row for each context, and the image tokens of the largest."""
        request = narrowed(inp, StoryInput)
        groups = _groups(request, painter)
        tokens = (painter.width // painter.token_size) * (painter.height // painter.token_size)
        most = max(len(group.pages) + group.shown for group in groups)
        return Cost(steps=request.sampling.steps or painter.steps, rows=len(groups), tokens=most * tokens)

    def run(self, inp: ToolInput, context: RunContext) -> StoryOutput:
        """Draw context by context, then store. Nothing is stored unless every page was drawn."""
        from chatdit.tools.in_context import caption_warnings, sampled_pictures
        from chatdit.tools.story_pages import page_drawing, plan_of

        request = narrowed(inp, StoryInput)
        started = time.perf_counter()
        dit = context.dit()
        if faults := self.validate(request, dit.defaults):
            raise ToolError("; ".join(map(str, faults)))
        shown: Image.Image | None = None if request.reference is None else context.store.open_image(request.reference)
        pictures: list[Image.Image] = []
        captions: list[str] = []
        seeds: list[int] = []
        warnings: list[str] = []
        groups = _groups(request, dit.defaults)
        for number, group in enumerate(groups):
            pages = [request.pages[page] for page in group.pages]
            drawing: Drawing = page_drawing(dit, pages, shown, request.pages[0].caption, request, group.seed)
            plan = plan_of(dit, drawing, pages, request) if request.sight == "subject" else None
            report = part_of(context.progress, "pages", number, len(groups))
            how, preview = request.sampling, context.preview
            drawn = sampled_pictures(dit, drawing, how, report, preview=preview, compose=False, plan=plan)
            pictures += drawn.pictures
            captions += [page.caption for page in pages]
            seeds += [group.seed] * len(pages)
            warnings += caption_warnings(dit, drawing.row.caption)
            shown = pictures[0] if shown is None else shown
        return StoryOutput(
            images=tuple(context.store.put_image(picture) for picture in pictures),
            seconds=time.perf_counter() - started,
            warnings=tuple(dict.fromkeys(warnings)),
            report=drawn_with(dit, request.sampling) | {"contexts": len(groups), "sight": request.sight},
            seeds=tuple(seeds),
            captions=tuple(captions),
        )


@dataclass(frozen=True)
class _Group:
    """Pages of one context by their numbers from 0; `shown` tells whether a picture is given beside them."""

    pages: tuple[int, ...]
    shown: bool
    seed: int


def _groups(request: StoryInput, painter: PainterDefaults) -> list[_Group]:
    most, seed = min(painter.max_panels, MAX_PANELS), request.sampling.seed
    groups: list[_Group] = []
    at, shown = 0, request.reference is not None
    while at < len(request.pages):
        size = most - shown
        pages = tuple(range(at, min(at + size, len(request.pages))))
        groups.append(_Group(pages, shown, derived_seed(seed, len(groups)) if groups else seed))
        at, shown = at + size, True
    return groups


def _problems(request: StoryInput) -> Iterator[Problem]:
    from chatdit.tools.story_pages import boxed_caption

    for number, page in enumerate(request.pages):
        try:
            boxed_caption(page)
        except ToolError as error:
            expected = "boxes that hold all that the page's caption names, or none"
            yield Problem(path=f"pages.{number}.boxes", code="bad_boxes", expected=expected, got=str(error))
