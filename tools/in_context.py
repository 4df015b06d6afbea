"""Three ways to hand a set to the painter, each as rows for `DiT.sample` and a way to read them back.

separate   one row for each picture; the references stand before it as segments of their own
sequence   one row; every reference and every picture is a segment with its own panel index
canvas     one row of one segment: a grid whose first cells hold the references, given as known
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from chatdit.tools import canvas, panels
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Given, Row, SampledRow, SamplingOptions, Segment
from chatdit.tools.fitting import fit_to
from chatdit.tools.panel_sizes import Size, reference_size
from chatdit.tools.panels import Layout
from chatdit.tools.pixels import to_picture, to_tensor
from chatdit.tools.tool import PainterDefaults
from chatdit.tools.types import ProgressCallback, Sampling, ToolError


@dataclass(frozen=True)
class GivenPicture:
    """A reference: its pixels and what it shows, in words (may be empty)."""

    image: Image.Image
    description: str


@dataclass(frozen=True)
class Wanted:
    """A picture to draw: its caption and its size in pixels."""

    caption: str
    size: Size


@dataclass(frozen=True)
class Drawing:
    """One row for the painter, and where in it the wanted pictures will be."""

    row: Row
    given: int
    """How many panels of the row are references; the wanted pictures follow them."""
    layout: Layout | None = None
    """The grid to cut the row's one segment by; None when each panel is a segment."""

    def pictures(self, sampled: SampledRow) -> list[Image.Image]:
        """The wanted pictures, in order."""
        drawn = [to_picture(pixels) for pixels in sampled.images]
        return (drawn if self.layout is None else canvas.split(drawn[0], self.layout))[self.given :]


def as_sequence(
    given: Sequence[GivenPicture], wanted: Sequence[Wanted], seed: int, painter: PainterDefaults
) -> Drawing:
    """All panels as segments of one row: references first, then the pictures, panel index in that order."""
    sharing = len(given) + len(wanted)
    segments = []
    for panel, picture in enumerate(given):
        width, height = reference_size(picture.image.size, painter, sharing)
        known = to_tensor(fit_to(picture.image, width, height))
        segments.append(Segment(width=width, height=height, panel=panel, known=known))
    for panel, picture_wanted in enumerate(wanted, start=len(given)):
        width, height = picture_wanted.size
        segments.append(Segment(width=width, height=height, panel=panel))
    row = Row(caption=_caption(given, wanted, None, painter), segments=tuple(segments), seed=seed)
    return Drawing(row, len(given))


def as_canvas(given: Sequence[GivenPicture], wanted: Sequence[Wanted], seed: int, painter: PainterDefaults) -> Drawing:
    """One segment: a grid of equal cells, the references known, every other cell to be drawn."""
    width, height = wanted[0].size
    layout = panels.layout_for(len(given) + len(wanted), width / height)
    known = mask = None
    if given:
        fitted = [fit_to(picture.image, width, height) for picture in given]
        known = to_tensor(canvas.compose([*fitted, *[None] * len(wanted)], layout, width, height))
        mask = torch.zeros(known.shape[1:], dtype=torch.bool)
        for x, y in panels.cells(layout, width, height)[: len(given)]:
            mask[y : y + height, x : x + width] = True
    segment = Segment(layout.columns * width, layout.rows * height, known=known, known_mask=mask)
    return Drawing(Row(_caption(given, wanted, layout, painter), (segment,), seed), len(given), layout)


def sampled_pictures(
    dit: DiT, drawing: Drawing, sampling: Sampling, progress: ProgressCallback, *, preview: bool
) -> list[Image.Image]:
    """The wanted pictures of one drawing. Raises ToolError when the device's memory does not suffice."""
    # a painter made for one picture reads a canvas as inpainting does: known cells noised like the rest
    given: Given = "noised" if drawing.layout is not None and dit.defaults.open_vocabulary else "clean"
    options = SamplingOptions(steps=sampling.steps, guidance=sampling.guidance, given=given, preview=preview)
    try:
        sampled = dit.sample([drawing.row], None, options, progress)
    except torch.OutOfMemoryError as error:
        raise ToolError(
            f"{dit.device} has too little memory for {len(drawing.row.segments)} panels in one context: "
            "expected it to fit; ask for smaller or fewer pictures"
        ) from error
    return drawing.pictures(sampled[0])


def caption_warnings(dit: DiT, caption: str) -> list[str]:
    """What of `caption` the painter will not read, in words."""
    notes = []
    unknown = dict.fromkeys(dit.unknown_words(caption))
    if unknown:
        notes.append(f"{dit.name} does not know: {', '.join(unknown)}")
    _, truncated = dit.token_report(caption)
    if truncated:
        notes.append(f"the caption is {truncated} tokens too long for {dit.name}: its end was not read; shorten it")
    return notes


def _caption(
    given: Sequence[GivenPicture], wanted: Sequence[Wanted], layout: Layout | None, painter: PainterDefaults
) -> str:
    if painter.open_vocabulary:
        described = [g.description or "the reference picture" for g in given]
        return panels.joint_caption([*described, *[w.caption for w in wanted]], layout)
    from chatdit.tools.pocket.captions import joint_caption
    from chatdit.tools.pocket.scene import NAMELESS

    return joint_caption([*[g.description or f"a {NAMELESS}" for g in given], *[w.caption for w in wanted]])
