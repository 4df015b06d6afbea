"""Regional prompts: a phrase of its own for a part of a picture, by a mask alone (EliGen, arXiv 2501.01097).

Every phrase is encoded by itself and stands behind the caption. Its words and its region's tokens see each other;
no other token of the picture sees the phrase, and texts do not see one another. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from chatdit.tools.dit.attention_plan import LogitBias, Selection
from chatdit.tools.dit.codecs import EncodedText, TextCodec
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.rows import Region, Row


def encoded_phrases(text: TextCodec, row: Row) -> list[EncodedText]:
    """The phrases of a row's regions, without padding."""
    if not row.regions:
        return []
    phrases = [region.phrase for region in row.regions]
    counts = [text.report(phrase).tokens for phrase in phrases]
    encoded = text.encode(phrases, [1] * len(phrases))
    return [EncodedText(e.sequence[: max(1, n)], e.pooled) for e, n in zip(encoded, counts, strict=True)]


def region_biases(number: int, row: Row, lengths: Sequence[int], grid: Grid) -> Iterator[LogitBias]:
    """What forbids row `number` to look where it must not; `lengths` are the text tokens of caption and phrases."""
    if not row.regions:
        return
    ends = [0, *(sum(lengths[: i + 1]) for i in range(len(lengths)))]
    spans = [tuple(range(a, b)) for a, b in pairwise(ends)]
    everything = tuple(range(sum(grid.area(segment) for segment in row.segments)))
    for i, mine in enumerate(spans):
        others = tuple(token for j, span in enumerate(spans) if j != i for token in span)
        yield LogitBias(number, Selection(image=(), text=mine), Selection(image=(), text=others))
        if i == 0:
            continue
        inside = region_tokens(row.regions[i - 1], row, grid)
        outside = tuple(sorted(set(everything) - set(inside)))
        yield LogitBias(number, Selection(image=outside), Selection(image=(), text=mine))
        yield LogitBias(number, Selection(image=(), text=mine), Selection(image=outside))


def region_tokens(region: Region, row: Row, grid: Grid) -> tuple[int, ...]:
    """The image tokens, counted within the row, whose middles lie in a region; at least the one nearest to its own."""
    before = sum(grid.area(segment) for segment in row.segments[: region.segment])
    rows, columns = grid.tokens(row.segments[region.segment])
    x1, y1, x2, y2 = region.box
    across = _within(x1, x2, columns)
    return tuple(before + y * columns + x for y in _within(y1, y2, rows) for x in across)


def _within(low: float, high: float, count: int) -> list[int]:
    found = [i for i in range(count) if low <= (i + 0.5) / count < high]
    return found or [min(count - 1, int((low + high) / 2 * count))]
