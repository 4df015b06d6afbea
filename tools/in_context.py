"""Three ways to hand a set to the painter, each as rows for `DiT.sample` and a way to read them back.

separate   one row for each picture; the references stand before it as segments of their own
sequence   one row; every reference and every picture is a segment with its own panel index
canvas     one row; the segments are cells of one grid, their tokens placed side by side on panel 0

A cell is a segment too, so it is encoded and decoded by itself: nothing bleeds over its border, and
an empty cell costs no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from chatdit.tools.dit.adapters import AdapterUse
from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.memory import out_of_memory
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import AttentionSummary, Given, Row, SampledRow, SamplingOptions, Segment
from chatdit.tools.fitting import fit_to
from chatdit.tools.panel_sizes import Size, reference_size
from chatdit.tools.panels import Layout, cells, joint_caption, layout_for
from chatdit.tools.pixels import to_picture, to_tensor
from chatdit.tools.pocket.closer_look import sprites_in
from chatdit.tools.pocket.composer import settled
from chatdit.tools.runtime.named_policy import named_policy
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
    """How many segments of the row are references; the wanted pictures follow them."""
    layout: Layout | None = None
    """The grid, when the segments are its cells."""

    def pictures(self, sampled: SampledRow) -> list[Image.Image]:
        """The wanted pictures, in order."""
        return [to_picture(pixels) for pixels in sampled.images[self.given :]]


def as_sequence(
    given: Sequence[GivenPicture], wanted: Sequence[Wanted], seed: int, painter: PainterDefaults
) -> Drawing:
    """One row, references first; each panel has its own size and its own panel index, counted from 0."""
    sharing = len(given) + len(wanted)
    sizes = [*[reference_size(g.image.size, painter, sharing) for g in given], *[w.size for w in wanted]]
    places = [_Place(size, panel) for panel, size in enumerate(sizes)]
    caption = caption_of(given, wanted, None, painter)
    return Drawing(Row(caption, _segments(given, places), seed), len(given))


def as_canvas(given: Sequence[GivenPicture], wanted: Sequence[Wanted], seed: int, painter: PainterDefaults) -> Drawing:
    """One row, references first; all panels are cells of one grid and have the first picture's size."""
    size = width, height = wanted[0].size
    layout = layout_for(len(given) + len(wanted), width / height)
    token = painter.token_size
    places = [_Place(size, 0, (y // token, x // token)) for x, y in cells(layout, width, height)]
    caption = caption_of(given, wanted, layout, painter)
    return Drawing(Row(caption, _segments(given, places), seed), len(given), layout)


@dataclass(frozen=True)
class Drawn:
    """The wanted pictures, and what became of the attention policy if one was asked for."""

    pictures: list[Image.Image]
    attention: AttentionSummary | None


def sampled_pictures(
    dit: DiT,
    drawing: Drawing,
    sampling: Sampling,
    progress: ProgressCallback,
    *,
    preview: bool,
    adapter: AdapterUse | None = None,
    compose: bool = True,
    plan: AttentionPlan | None = None,
) -> Drawn:
    """The wanted pictures of one drawing; with `compose` things stand where there is room for them.

    Raises:
        ToolError: the device's memory does not suffice, or the adapter is of another model.
    """
    # a painter made for one picture reads a canvas as inpainting does: known cells noised like the rest
    given: Given = "noised" if drawing.layout is not None and dit.defaults.open_vocabulary else "clean"
    options = SamplingOptions(
        steps=sampling.steps,
        guidance=sampling.guidance,
        given=given,
        preview=preview,
        attention=None if sampling.attention in (None, "dense") else named_policy(sampling.attention, dit.device),
        adapter=adapter,
    )
    rows = settled(dit, [drawing.row], look=sprites_in) if compose else [drawing.row]
    try:
        sampled = dit.sample(rows, plan, options, progress)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise ToolError(
            f"{dit.device} has too little memory for {len(drawing.row.segments)} panels in one context: "
            "expected it to fit; ask for smaller or fewer pictures"
        ) from error
    return Drawn(drawing.pictures(sampled[0]), sampled[0].attention)


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


def caption_of(
    given: Sequence[GivenPicture], wanted: Sequence[Wanted], layout: Layout | None, painter: PainterDefaults
) -> str:
    """The joint caption in the painter's own grammar; a lone picture's caption stays as it is."""
    if painter.open_vocabulary:
        described = [g.description or "the reference picture" for g in given]
        return joint_caption([*described, *[w.caption for w in wanted]], layout)
    from chatdit.tools.pocket.captions import joint_caption as pocket_caption
    from chatdit.tools.pocket.scene import NAMELESS

    return pocket_caption([*[g.description or f"a {NAMELESS}" for g in given], *[w.caption for w in wanted]])


@dataclass(frozen=True)
class _Place:
    size: Size
    panel: int
    origin: tuple[int, int] = (0, 0)


def _segments(given: Sequence[GivenPicture], places: Sequence[_Place]) -> tuple[Segment, ...]:
    """A segment for each place; the first ones hold the references, fitted."""
    known = [to_tensor(fit_to(g.image, *place.size)) for g, place in zip(given, places, strict=False)]
    return tuple(
        Segment(*place.size, place.panel, place.origin, known[i] if i < len(known) else None)
        for i, place in enumerate(places)
    )
