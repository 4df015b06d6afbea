"""How the pages of a story become one context: captions, boxes, what is shown beside them, and who sees what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.pages import Box, page_biases
from chatdit.tools.dit.rows import Region
from chatdit.tools.fitting import fit_to
from chatdit.tools.in_context import Drawing, GivenPicture, Wanted, as_canvas, as_sequence
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.boxed import boxed
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.closer_look import own_reader, sprites_in
from chatdit.tools.pocket.composer import seen, settled
from chatdit.tools.pocket.scene import NAMELESS, PICTURE_PIXELS
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.pocket.subject_words import Called, nameless_thing, told_subjects
from chatdit.tools.pocket.vocabulary import find_subject
from chatdit.tools.types import ToolError

if TYPE_CHECKING:
    from chatdit.tools.story import Page, StoryInput

_PANEL = re.compile(r"\[panel\d+\]")


def boxed_caption(page: Page, caption: str | None = None) -> str:
    """A page's caption as pocket is told it, with the squares that its boxes hold.

    Raises:
        ToolError: a box holds no single subject, or the caption names things that no box holds.
    """
    caption = caption or page.caption
    if not page.boxes:
        return caption
    sprites = [boxed(entry.phrase, entry.box, nameless=True).sprite for entry in page.boxes]
    told = seen(caption, sprites)
    if len(told_spots(told)) != len(sprites):
        held = ", ".join(entry.phrase for entry in page.boxes)
        raise ToolError(f"{caption!r} names not just what has a box ({held})")
    return told


def page_drawing(
    dit: DiT, pages: Sequence[Page], shown: Image.Image | None, first: str, request: StoryInput, seed: int
) -> Drawing:
    """The row of some pages beside what is `shown`: the reference, or the first page, of which `first` is said."""
    size = dit.defaults.width, dit.defaults.height
    captions = [page.caption for page in pages]
    if dit.defaults.open_vocabulary:
        said = request.subject if request.reference is not None else first
        given = [] if shown is None else [GivenPicture(shown, said)]
        drawing = as_canvas(given, [Wanted(caption, size) for caption in captions], seed, dit.defaults)
        return replace(drawing, row=replace(drawing.row, regions=tuple(_regions(pages, len(given)))))
    if request.reference is not None and shown is not None:
        known = _called(shown, request.subject)
        captions, first = [told_subjects(caption, [known])[0] for caption in captions], ""
    given = [] if shown is None else [GivenPicture(shown, first)]
    told = [boxed_caption(page, caption) for page, caption in zip(pages, captions, strict=True)]
    drawing = as_sequence(given, [Wanted(caption, size) for caption in told], seed, dit.defaults)
    (row,) = settled(dit, [drawing.row], look=sprites_in)
    return replace(drawing, row=row)


def plan_of(dit: DiT, drawing: Drawing, pages: Sequence[Page], request: StoryInput) -> AttentionPlan:
    """What hides all but the subject of each page from the others."""
    boxes: list[Box | None]
    if dit.defaults.open_vocabulary:
        boxes = [None for _ in range(drawing.given)]
        boxes += [_box_of(page, request.subject) for page in pages]
    else:
        texts = [text.strip() for text in _PANEL.split(drawing.row.caption)[1:]] or [drawing.row.caption]
        boxes = [_square_of(text, request.subject) for text in texts]
    return AttentionPlan(biases=tuple(page_biases(drawing.row, boxes, dit.painter.grid)))


def _called(reference: Image.Image, word: str) -> Called:
    picture = to_tensor(fit_to(reference, PICTURE_PIXELS, PICTURE_PIXELS))
    (reading,) = own_reader().read(picture[None])
    return Called(word, nameless_thing(next(iter(reading.sightings), None), reading.style))


def _regions(pages: Sequence[Page], before: int) -> Iterator[Region]:
    for number, page in enumerate(pages, start=before):
        for entry in page.boxes:
            yield Region(entry.phrase, (entry.box.x1, entry.box.y1, entry.box.x2, entry.box.y2), number)


def _box_of(page: Page, word: str) -> Box | None:
    mine = (entry.box for entry in page.boxes if word and word.lower() in entry.phrase.lower())
    box = next(mine, None)
    return None if box is None else (box.x1, box.y1, box.x2, box.y2)


def _square_of(text: str, word: str) -> Box | None:
    """The square of the subject in a pocket caption: of what no word names, of the word's, or of the first thing."""
    read, spots = read_caption(text), told_spots(text)
    if read is None or len(spots) != sum(thing.count for thing in read.scene.things):
        return None
    names = [thing.subject for thing in read.scene.things for _ in range(thing.count)]
    wanted = (NAMELESS, find_subject(word.lower()) if word else None)
    at = next((i for name in wanted for i, other in enumerate(names) if other == name), 0)
    spot, half = spots[at], spots[at].side / 2
    x1, y1, x2, y2 = spot.x - half, spot.y - half, spot.x + half, spot.y + half
    left, top, right, bottom = (min(1.0, max(0.0, v / PICTURE_PIXELS)) for v in (x1, y1, x2, y2))
    return left, top, right, bottom
