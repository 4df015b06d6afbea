"""Panel geometry and captions: how pictures that share one context lie side by side. Pure.

Reading order is row by row, left to right; panel 0 is the first. Sizes are pixels, width first;
an aspect is width / height; `multiple` is the side of one image token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_PANELS = 12
MIN_SIDE, MAX_SIDE = 16, 4096
"""Pixels of one side of a picture."""
# 2 megapixels at FLUX's 16-pixel tokens, the canvas ChatDiT gives to any set. Counted in tokens
# it holds for a painter with other tokens too.
CONTEXT_TOKENS = 8192
LONGEST_CANVAS = 3.0

_COUNT_WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN", "ELEVEN", "TWELVE")
_ACROSS = {1: ("",), 2: ("LEFT", "RIGHT"), 3: ("LEFT", "MIDDLE", "RIGHT")}
_DOWN = {1: ("",), 2: ("TOP", "BOTTOM"), 3: ("TOP", "MIDDLE", "BOTTOM")}


@dataclass(frozen=True)
class Layout:
    """A grid of equal cells; the last `rows * columns - count` cells are empty."""

    rows: int
    columns: int
    count: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


def layout_for(count: int, aspect: float = 1.0) -> Layout:
    """The grid for `count` panels of `aspect`.

    A canvas longer than 3:1 is far from what painters were trained on, so among the grids within
    that limit the one with the fewest empty cells wins, then the squarest, then the one with fewer
    rows. Thus 4 square panels are 2x2 and 3 stay a strip, but 5, 7 and 11 leave one cell of 2x3,
    2x4 and 3x4 empty where exact factors would make a 5:1, 7:1 or 11:1 strip. Raises ValueError
    outside 1 to MAX_PANELS.
    """
    if not 1 <= count <= MAX_PANELS:
        raise ValueError(f"{count} panels: expected 1 to {MAX_PANELS}; split the set")
    grids = [Layout(rows, -(-count // rows), count) for rows in range(1, count + 1)]
    return min((g for g in grids if (g.rows - 1) * g.columns < count), key=lambda g: _rank(g, aspect))


def _rank(grid: Layout, aspect: float) -> tuple[float, int, float, int]:
    elongation = abs(math.log(aspect * grid.columns / grid.rows))
    excess = max(0.0, elongation - math.log(LONGEST_CANVAS))
    empty = grid.rows * grid.columns - grid.count
    return round(excess, 6), empty, round(elongation, 6), grid.rows


def cells(layout: Layout, width: int, height: int) -> list[tuple[int, int]]:
    """Left and top of each panel of (width, height), in reading order, empty cells left out."""
    return [(i % layout.columns * width, i // layout.columns * height) for i in range(layout.count)]


def panel_size(
    count: int, aspect: float, full_area: int, multiple: int, budget_tokens: int = CONTEXT_TOKENS
) -> tuple[int, int]:
    """Size of each of `count` panels that share a context.

    A panel gets `full_area` pixels, or its share of the token budget when that is less. Sides are
    rounded down to `multiple`, so the budget holds, but never below one token.
    """
    area = min(float(full_area), budget_tokens * multiple**2 / count)
    return _floored(math.sqrt(area * aspect), multiple), _floored(math.sqrt(area / aspect), multiple)


def rounded_size(width: int, height: int, multiple: int) -> tuple[int, int]:
    """(width, height), each to the nearest multiple and at least one."""
    return _nearest(width, multiple), _nearest(height, multiple)


def _nearest(side: int, multiple: int) -> int:
    return max(1, (side + multiple // 2) // multiple) * multiple


def _floored(side: float, multiple: int) -> int:
    return max(1, int(side / multiple + 1e-9)) * multiple


def tags(layout: Layout) -> list[str]:
    """A name for each panel, in reading order: LEFT, TOP-RIGHT, ... up to 3 by 3, else PANEL-1, ..."""
    if layout.rows > 3 or layout.columns > 3 or layout.count == 1:
        return numbered_tags(layout.count)
    down, across = _DOWN[layout.rows], _ACROSS[layout.columns]
    names = ["-".join(filter(None, (down[i], across[j]))) for i in range(layout.rows) for j in range(layout.columns)]
    return ["MIDDLE" if name == "MIDDLE-MIDDLE" else name for name in names[: layout.count]]


def numbered_tags(count: int) -> list[str]:
    """PANEL-1, PANEL-2, ...: for panels that have no place on a canvas."""
    return [f"PANEL-{i}" for i in range(1, count + 1)]


def joint_caption(captions: Sequence[str], layout: Layout | None = None, summary: str = "") -> str:
    """One caption for a whole set, in the grammar In-Context LoRA was trained on (arXiv 2410.23775).

    `[TWO-PANEL] summary; [LEFT] first; [RIGHT] second`. With a layout the tags are positions on its
    canvas, without one they are numbers. A single caption is returned as it is.
    """
    if len(captions) == 1:
        return captions[0]
    names = numbered_tags(len(captions)) if layout is None else tags(layout)
    if len(names) != len(captions):
        raise ValueError(f"{len(captions)} captions for {len(names)} panels: expected one each")
    head = f"[{_COUNT_WORDS[len(captions) - 1]}-PANEL] {summary or _summary(len(captions), layout)}"
    clauses = [f"[{name}] {caption.strip().rstrip('.;')}" for name, caption in zip(names, captions, strict=True)]
    return "; ".join([head, *clauses]) + "."


def _summary(count: int, layout: Layout | None) -> str:
    where = "" if layout is None else f" in {layout.rows} rows of {layout.columns}"
    if layout is not None and layout.rows == 1:
        where = " side by side"
    elif layout is not None and layout.columns == 1:
        where = " one above the other"
    return f"a set of {count} pictures{where} with the same characters and style"
