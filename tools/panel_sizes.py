"""From what was asked (a size, a side, an aspect, nothing) to the pixels of each panel. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from chatdit.tools.panels import panel_size, rounded_size
from chatdit.tools.tool import PainterDefaults

MAX_ASPECT = 4.0
Size = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """What a request says of its size; all None leaves it to the painter."""

    width: int | None = None
    height: int | None = None
    aspect: float | None = None

    @property
    def nothing(self) -> bool:
        return self == Asked()


def size_of(asked: Asked, painter: PainterDefaults, sharing: int, aspect: float | None = None) -> Size:
    """Pixels that one of `sharing` panels in a context is drawn with, multiples of the painter's token.

    A side that was not given follows from the aspect asked for, or `aspect`, or the painter's own. A painter of a
    closed vocabulary has learned one size and falls apart at others.
    """
    if not painter.open_vocabulary:
        return painter.width, painter.height
    shape = asked.aspect or aspect or painter.width / painter.height
    if asked.width is None and asked.height is None:
        return panel_size(sharing, shape, painter.width * painter.height, painter.token_size)
    width = asked.width if asked.width is not None else round((asked.height or 0) * shape)
    height = asked.height if asked.height is not None else round(width / shape)
    return rounded_size(width, height, painter.token_size)


def finished_size(asked: Asked, drawn: Size, painter: PainterDefaults) -> Size:
    """Pixels of the picture that is handed over; it differs from what was drawn where a painter knows one size."""
    if painter.open_vocabulary or asked.nothing:
        return drawn
    shape = asked.aspect or painter.width / painter.height
    if asked.width is None and asked.height is None:
        area = painter.width * painter.height
        return round(sqrt(area * shape)), round(sqrt(area / shape))
    width = asked.width if asked.width is not None else round((asked.height or 0) * shape)
    return width, asked.height if asked.height is not None else round(width / shape)


def cell_size(asked: Sequence[Asked], references: Sequence[Size], painter: PainterDefaults) -> Size:
    """The one size of all cells of a canvas: the size asked for, else the references' median aspect."""
    wish = next((a for a in asked if not a.nothing), Asked())
    aspect = median(w / h for w, h in references) if references and painter.open_vocabulary else None
    return size_of(wish, painter, len(asked) + len(references), None if aspect is None else _bounded(aspect))


def reference_size(size: Size, painter: PainterDefaults, sharing: int) -> Size:
    """Pixels for a reference of `size` that is its own segment.

    A painter with an open vocabulary takes any shape; a small one knows only the size it was trained on.
    """
    if not painter.open_vocabulary:
        return painter.width, painter.height
    return size_of(Asked(aspect=_bounded(size[0] / size[1])), painter, sharing)


def size_warnings(number: int, asked: Asked, size: Size, painter: PainterDefaults, sharing: int) -> list[str]:
    """What picture `number` (from 1) gets that was not asked for, in words."""
    if not painter.open_vocabulary:
        finished = finished_size(asked, size, painter)
        learned = f"drawn at {size[0]}x{size[1]}, which this painter has learned"
        return [f"{learned}, and fitted to {finished[0]}x{finished[1]}"] if finished != size else []
    shown = f"picture {number} is {size[0]}x{size[1]}"
    notes = []
    if asked.width not in (None, size[0]) or asked.height not in (None, size[1]):
        notes.append(f"{shown}, not {_words(asked)}: sides are multiples of {painter.token_size}")
    if asked.width is None and asked.height is None and size[0] * size[1] < 0.9 * size_area(asked, painter):
        notes.append(f"{size[0]}x{size[1]} each: {sharing} panels share one context; ask for a size to change that")
    return notes


def size_area(asked: Asked, painter: PainterDefaults) -> int:
    """Pixels the picture would have if it were alone in its context."""
    width, height = size_of(asked, painter, sharing=1)
    return width * height


def _bounded(aspect: float) -> float:
    return min(MAX_ASPECT, max(1 / MAX_ASPECT, aspect))


def _words(asked: Asked) -> str:
    return f"{asked.width or 'any'}x{asked.height or 'any'}"
