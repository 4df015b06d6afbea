"""Pages of a story in one context that see of each other what they share (Lay2Story, arXiv 2508.08949).

There attention across frames is masked by the subject's box. Here each page sees itself whole, and of the other pages
the subject's tokens alone; a page whose subject stands nowhere known is seen whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatdit.tools.dit.attention_plan import LogitBias, Selection
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.regions import region_tokens
from chatdit.tools.dit.rows import Region, Row

Box = tuple[float, float, float, float]


def page_biases(row: Row, subjects: Sequence[Box | None], grid: Grid) -> Iterator[LogitBias]:
    """What hides all but the subject of each segment from the others; `subjects` are boxes in fractions of each."""
    starts, total = [], 0
    for segment in row.segments:
        starts.append(total)
        total += grid.area(segment)
    for number, (box, start) in enumerate(zip(subjects, starts, strict=True)):
        if box is None:
            continue
        own = range(start, start + grid.area(row.segments[number]))
        shared = set(region_tokens(Region("", box, number), row, grid))
        others = tuple(token for token in range(total) if token not in own)
        hidden = tuple(token for token in own if token not in shared)
        if others and hidden:
            yield LogitBias(0, Selection(image=others), Selection(image=hidden))
