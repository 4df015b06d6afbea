"""How a picture with given subjects is drawn: by sharing with references in rows of their own, or as one context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.memory import out_of_memory
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.regions import region_tokens
from chatdit.tools.dit.rows import Region, Row, SamplingOptions, Segment
from chatdit.tools.dit.subject_sharing import SharedSubject, Sharing, shared_rows
from chatdit.tools.in_context import GivenPicture, Wanted, as_canvas, as_sequence, sampled_pictures
from chatdit.tools.pixels import to_picture
from chatdit.tools.pocket.boxed import boxed
from chatdit.tools.pocket.composer import seen, settled
from chatdit.tools.pocket.scene import NAMELESS, Thing
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.pocket.subject_words import Called, subject_spots, tokens_of_spots, told_subjects
from chatdit.tools.runtime.named_policy import named_policy
from chatdit.tools.subject_reference import Looked
from chatdit.tools.types import Box, ProgressCallback, Sampling, ToolError


@dataclass(frozen=True, eq=False)
class Drawn:
    """The picture, the caption that it was drawn by, and what is to be said of it."""

    picture: Image.Image
    caption: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SharingCall:
    """Rows for `DiT.sample`, the picture's first, and what they share."""

    rows: tuple[Row, ...]
    plan: AttentionPlan
    notes: tuple[str, ...] = ()


def sharing_call(
    dit: DiT,
    wanted: Wanted,
    looked: Sequence[Looked],
    seed: int,
    how: Sharing,
    *,
    describe: bool,
    boxes: Sequence[Box] = (),
) -> SharingCall:
    """The picture by a caption that `compensated` gave, and each reference as a row that it sees.

    Where the caption comes to tell where each subject stands, only the tokens there see its reference. `boxes` say it
    for each of them: layout, subjects and regional prompts then are of one run.

    Raises:
        ToolError: the caption names things that have no box, or a box is too small.
    """
    caption, order = compensated(dit, wanted.caption, looked, describe=describe)
    if boxes and not dit.defaults.open_vocabulary:
        caption = _boxed(caption, boxes, order)
    (target,) = settled(dit, [Row(caption, (Segment(*wanted.size),), seed)])
    queries: Sequence[tuple[int, ...] | None] = [None] * len(looked)
    notes: tuple[str, ...] = ()
    if boxes and dit.defaults.open_vocabulary:
        regions = [
            Region(one.name or one.known or "the subject", (box.x1, box.y1, box.x2, box.y2))
            for one, box in zip(looked, boxes, strict=True)
        ]
        target = replace(target, regions=tuple(regions))
        queries = [region_tokens(region, target, dit.painter.grid) for region in regions]
    elif how.apart:
        spots = subject_spots(target.caption)
        if len(spots) == len(looked):
            tokens = tokens_of_spots(spots, wanted.size[0] // dit.defaults.token_size)
            queries = [tokens[at] for at in order]
        elif len(looked) > 1:
            notes = ("the caption does not tell where each subject stands: they may mix",)
    subjects = [
        SharedSubject(one.pixels, one.caption, one.tokens, seeing)
        for one, seeing in zip(looked, queries, strict=True)
        if one.tokens
    ]
    rows, plan = shared_rows(target, subjects, how)
    return SharingCall(tuple(rows), plan, notes)


def by_sharing(
    dit: DiT,
    wanted: Wanted,
    looked: Sequence[Looked],
    how: Sharing,
    sampling: Sampling,
    progress: ProgressCallback,
    *,
    describe: bool,
    preview: bool = False,
    boxes: Sequence[Box] = (),
) -> Drawn:
    """The picture beside its references.

    Raises:
        ToolError: the device's memory does not suffice, or the boxes do not suit the caption.
    """
    call = sharing_call(dit, wanted, looked, sampling.seed, how, describe=describe, boxes=boxes)
    options = SamplingOptions(
        steps=sampling.steps,
        guidance=sampling.guidance,
        preview=preview,
        attention=None if sampling.attention in (None, "dense") else named_policy(sampling.attention, dit.device),
    )
    try:
        sampled = dit.sample(call.rows, call.plan, options, progress)[0]
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise ToolError(
            f"{dit.device} has too little memory for {len(call.rows)} pictures at once: "
            "expected them to fit; ask for a smaller picture or fewer references"
        ) from error
    return Drawn(to_picture(sampled.images[0]), call.rows[0].caption, call.notes)


def _boxed(caption: str, boxes: Sequence[Box], order: Sequence[int]) -> str:
    """A pocket caption that tells the square of each subject; `order` is which of the told ones each box is of."""
    sprites = [boxed(f"a {NAMELESS}", box, nameless=True).sprite for box in boxes]
    told = seen(caption, [sprites[order.index(place)] for place in range(len(order))])
    if len(told_spots(told)) != len(boxes):
        raise ToolError(f"{caption!r} names things that have no box: expected the {len(boxes)} given subjects alone")
    return told


def by_segments(
    dit: DiT,
    wanted: Wanted,
    given: Sequence[Image.Image],
    looked: Sequence[Looked],
    sampling: Sampling,
    progress: ProgressCallback,
    *,
    describe: bool,
    preview: bool = False,
) -> Drawn:
    """The picture in one context with its references; a painter of any words sees cells of one canvas."""
    caption, _ = compensated(dit, wanted.caption, looked, describe=describe)
    together = as_canvas if dit.defaults.open_vocabulary else as_sequence
    references = [GivenPicture(image, one.caption) for image, one in zip(given, looked, strict=True)]
    drawing = together(references, [replace(wanted, caption=caption)], sampling.seed, dit.defaults)
    drawn = sampled_pictures(dit, drawing, sampling, progress, preview=preview)
    return Drawn(drawn.pictures[0], drawing.row.caption)


def compensated(dit: DiT, caption: str, looked: Sequence[Looked], *, describe: bool) -> tuple[str, tuple[int, ...]]:
    """The caption with what is known of the subjects, if they are to be described, and which of them each reference is.

    Pocket is told it as it names them, others behind the caption. Of several, pocket is not told what they wear: it
    puts that on all of them.
    """
    if not dit.defaults.open_vocabulary:
        things = [one.thing if describe else Thing(NAMELESS) for one in looked]
        things = [replace(thing, worn=None) for thing in things] if len(things) > 1 else things
        return told_subjects(caption, [Called(one.name, thing) for one, thing in zip(looked, things, strict=True)])
    known = [one.known for one in looked if describe and one.known and one.known not in caption]
    return ". ".join([caption.rstrip(". "), *known]) if known else caption, tuple(range(len(looked)))
