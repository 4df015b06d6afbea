"""Edited rows: whether they can be, which go together, what they start from, and how they end as pictures.

Layout legend: R rows, N image tokens, E elements of a token; H, W pixels. Tokens are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, Selection
from chatdit.tools.dit.codecs import ImageCodec
from chatdit.tools.dit.packing import Grid, known_elements, unpack
from chatdit.tools.dit.painter import Painter
from chatdit.tools.dit.row_tokens import row_tokens
from chatdit.tools.dit.rows import AttentionSummary, EditSource, Row, SampledRow, Segment
from chatdit.tools.types import ToolError

UNCHANGED, CHANGED = 0.03, 0.10
"""Of the range of a pixel: what the autoencoder's two pictures differ by where nothing, and where all, is new."""
_SPREAD = 5


def check_edited(row: Row, layers: int) -> None:
    """Raises ToolError where an edited row cannot be, or another has what only edited rows have."""
    source = row.source
    if (source is None) == (row.trajectory == "edited"):
        raise ToolError(f"a {row.trajectory!r} row has source {source}: give one to edited rows, and to no other")
    for segment in row.segments:
        _check_keep(segment, edited=source is not None)
    if source is None:
        return
    if not 0 <= source.start <= 1:
        raise ToolError(f"start is {source.start:g}; it is the share of steps that are done: from 0 to 1")
    if source.guidance < 0:
        raise ToolError(f"the source's guidance is {source.guidance:g}; it must not be negative")
    if source.draws < 1 or (source.draws > 1 and source.route != "flow_edit"):
        raise ToolError(f"draws is {source.draws} for {source.route}; it is 1, or more for flow_edit")
    shared_plan([row]).check(rows=2, layers=layers, tokens=(0, 0))


def check_unplanned(plan: AttentionPlan, rows: Sequence[Row]) -> None:
    """Raises ToolError where a plan names an edited row, which is more than one row in the transformer."""
    ends = [end for op in plan.ops for end in (op.source, op.target)]
    named = {end for end in [*ends, *(bias.row for bias in plan.biases)] if isinstance(end, int)}
    edited = [i for i in sorted(named) if rows[i].source is not None]
    if edited:
        raise ToolError(f"the plan names row {edited[0]}, which is edited; say what it shares in its source")


def way_of(row: Row) -> EditSource | None:
    """What rows must have in common to be edited together; None of rows that are not."""
    return row.source and replace(row.source, caption="", guidance=0)


def lanes_of(row: Row) -> int:
    """How many entries of a forward the row takes."""
    return 1 if row.source is None else 2


def edit_steps(row: Row, steps: int) -> int:
    """How many steps the row's run reports: all, or those from where an edit starts, there and back if inverted."""
    if row.source is None:
        return steps
    done = round(row.source.start * steps)
    return done if row.source.route == "flow_edit" else 2 * done


def source_of(row: Row) -> EditSource:
    """The source of an edited row. Raises ValueError for another row."""
    if row.source is None:
        raise ValueError(f"a {row.trajectory!r} row has no source: expected an edited one")
    return row.source


def source_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows as they are read by what their pictures show."""
    return [replace(row, caption=source_of(row).caption) for row in rows]


def shared_plan(rows: Sequence[Row]) -> AttentionPlan:
    """What a call of `rows` followed by their sources shares, from each source with its own row."""
    scopes = [source_of(row).shared for row in rows]
    whole = Selection(image=None)
    return AttentionPlan(
        tuple(KVOp("replace", len(rows) + i, i, scope, whole) for i, scope in enumerate(scopes) if scope is not None)
    )


@dataclass(frozen=True)
class EditTokens:
    """What is given of edited rows: their pictures, and where those must stay (bool); both (R, N, E)."""

    clean: Tensor
    kept: Tensor


def edit_tokens(rows: Sequence[Row], painter: Painter) -> EditTokens:
    """The tokens of edited rows of one token count, on the painter's device."""
    clean = row_tokens(rows, painter.images, painter.grid, "noised", painter.device).clean
    kept = torch.stack([torch.cat([_kept(segment, painter.grid) for segment in row.segments]) for row in rows])
    return EditTokens(clean, kept.to(painter.device))


def edited_pictures(
    rows: Sequence[Row], before: Tensor, after: Tensor, painter: Painter, attention: AttentionSummary | None = None
) -> list[SampledRow]:
    """The pictures of rows whose tokens (R, N, E) were `before` and are `after`.

    A pixel that the autoencoder shows as it showed it before is the given one, so that what an edit leaves alone
    does not pay for the autoencoder; so is a pixel to keep.
    """
    images, grid, made = painter.images, painter.grid, []
    for row, *tokens in zip(rows, before, after, strict=True):
        areas = [grid.area(segment) for segment in row.segments]
        was, now = (torch.split(part, areas) for part in tokens)
        parts = zip(row.segments, was, now, strict=True)
        made.append(SampledRow(tuple(_picture(s, a, b, images, grid) for s, a, b in parts), attention))
    return made


def _picture(segment: Segment, before: Tensor, after: Tensor, images: ImageCodec, grid: Grid) -> Tensor:
    assert segment.known is not None
    given = (segment.known.float() / 2 + 0.5).clamp(0, 1).cpu()
    if torch.equal(before, after):
        return given
    was, now = (_decoded(tokens, segment, images, grid) for tokens in (before, after))
    picture = torch.lerp(given, now, _newness(was, now))
    return picture if segment.keep is None else torch.where(segment.keep.bool().cpu(), given, picture)


def _decoded(tokens: Tensor, segment: Segment, images: ImageCodec, grid: Grid) -> Tensor:
    """Float32 (3, H, W) in [0, 1] on the CPU."""
    pixels = images.decode(unpack(tokens, *grid.tokens(segment), grid.pack)[None])[0]
    return (pixels.float() / 2 + 0.5).clamp(0, 1).cpu()


def _newness(was: Tensor, now: Tensor) -> Tensor:
    """How much of each pixel is new (1, H, W): 0 where two pictures (3, H, W) are alike, 1 where they are not."""
    apart = (now - was).abs().amax(dim=0)[None, None]
    near = F.max_pool2d(apart, _SPREAD, 1, _SPREAD // 2)
    share = ((near - UNCHANGED) / (CHANGED - UNCHANGED)).clamp(0, 1)
    return F.avg_pool2d(share, _SPREAD, 1, _SPREAD // 2, count_include_pad=False)[0]


def _kept(segment: Segment, grid: Grid) -> Tensor:
    """Bool (N, E): True where every pixel of the latent cell must stay."""
    if segment.keep is None:
        return torch.zeros(grid.area(segment), grid.elements, dtype=torch.bool)
    return known_elements(replace(segment, known_mask=segment.keep), grid)


def _check_keep(segment: Segment, *, edited: bool) -> None:
    if segment.keep is None:
        return
    if not edited:
        raise ToolError("a segment has keep, which only edited rows read; say known_mask instead")
    if tuple(segment.keep.shape) != (segment.height, segment.width):
        raise ToolError(f"keep is {tuple(segment.keep.shape)}; expected {(segment.height, segment.width)}: resize it")
