"""What `generate` takes and gives, and what follows from a request alone: sizes, seeds, tokens, faults.

Pure: nothing here touches pixels, weights or the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from chatdit.tools.panel_sizes import (
    MAX_ASPECT,
    Asked,
    Size,
    cell_size,
    finished_size,
    reference_size,
    size_of,
    size_warnings,
)
from chatdit.tools.panels import CONTEXT_TOKENS, MAX_PANELS, MAX_SIDE, MIN_SIDE
from chatdit.tools.tool import PainterDefaults
from chatdit.tools.types import Data, ImageRef, Problem, Reference, Sampling, ToolInput, ToolOutput

Context = Literal["separate", "canvas", "sequence"]
Caption = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]

# Four times what a set gets by default; attention over more is hours on any one device.
_MOST_TOKENS = 4 * CONTEXT_TOKENS


class PanelRequest(Data):
    """One picture to draw. With neither sides nor aspect the painter's own size is used."""

    caption: Caption
    width: Side | None = None
    height: Side | None = None
    aspect: float | None = Field(default=None, ge=1 / MAX_ASPECT, le=MAX_ASPECT)
    """Width / height; for when the shape matters and the number of pixels does not."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> PanelRequest:
        if self.aspect is not None and self.width is not None and self.height is not None:
            raise ValueError("expected width and height, or aspect with at most one side, got all three")
        return self

    @property
    def asked(self) -> Asked:
        return Asked(self.width, self.height, self.aspect)


class GenerateInput(ToolInput):
    """What to draw, what it must agree with, and how the pictures see each other.

    - separate: each picture on its own; references, if any, are shown to each.
    - sequence: one context, each picture a segment of its own size.
    - canvas: one context, all pictures cells of one grid, so all of one size.
    """

    panels: tuple[PanelRequest, ...] = Field(min_length=1, max_length=MAX_PANELS)
    references: tuple[Reference, ...] = Field(default=(), max_length=MAX_PANELS - 1)
    context: Context = "separate"
    sampling: Sampling = Sampling()
    contact_sheet: bool = False


class GenerateOutput(ToolOutput):
    """Pictures in the order of the panels, and the seed each was drawn with.

    Pictures of one context come from one noise seed, so theirs are equal.
    """

    seeds: tuple[int, ...]
    contact_sheet: ImageRef | None = None


def problems(request: GenerateInput, painter: PainterDefaults | None) -> list[Problem]:
    """Contradictions in the request and, with `painter`, more than it can hold in one context."""
    found = [*_role_problems(request), *_canvas_problems(request), *_count_problems(request, painter)]
    return _token_problems(request, painter) if painter is not None and not found else found


def picture_seeds(request: GenerateInput) -> tuple[int, ...]:
    """The seed of each picture: the request's own for all in one context, else one derived for each.

    Picture 0 keeps the request's seed, so that it is the picture a request for it alone would give.
    """
    seed, count = request.sampling.seed, len(request.panels)
    if request.context != "separate":
        return (seed,) * count
    return (seed, *[derived_seed(seed, i) for i in range(1, count)])


def derived_seed(seed: int, index: int) -> int:
    """A 32-bit seed from `seed` and `index`; neighbouring seeds share none, unlike `seed + index`."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:4], "big")


def picture_sizes(request: GenerateInput, painter: PainterDefaults) -> tuple[Size, ...]:
    """Width and height that each picture is drawn with, in pixels, multiples of the painter's token."""
    if request.context == "canvas":
        sizes = [(r.image.width, r.image.height) for r in request.references]
        return (cell_size([p.asked for p in request.panels], sizes, painter),) * len(request.panels)
    return tuple(size_of(p.asked, painter, sharing(request)) for p in request.panels)


def finished_sizes(request: GenerateInput, painter: PainterDefaults) -> tuple[Size, ...]:
    """Width and height of each picture that is handed over, in pixels."""
    drawn = picture_sizes(request, painter)
    return tuple(finished_size(p.asked, size, painter) for p, size in zip(request.panels, drawn, strict=True))


def row_tokens(request: GenerateInput, painter: PainterDefaults) -> int:
    """Image tokens of the largest row."""
    sizes = picture_sizes(request, painter)
    if request.context == "canvas":
        return sharing(request) * _area_tokens(sizes[:1], painter)
    given = [reference_size((r.image.width, r.image.height), painter, sharing(request)) for r in request.references]
    if request.context == "sequence":
        return _area_tokens([*given, *sizes], painter)
    return max(_area_tokens([*given, size], painter) for size in sizes)


def size_notes(request: GenerateInput, painter: PainterDefaults) -> Iterator[str]:
    """What each picture gets that was not asked for, in words."""
    sizes = picture_sizes(request, painter)
    for number, (panel, size) in enumerate(zip(request.panels, sizes, strict=True), start=1):
        yield from size_warnings(number, panel.asked, size, painter, sharing(request))


def sharing(request: GenerateInput) -> int:
    """How many panels see each other."""
    return len(request.references) + (1 if request.context == "separate" else len(request.panels))


def _role_problems(request: GenerateInput) -> Iterator[Problem]:
    for i, reference in enumerate(request.references):
        if reference.role == "mask":
            yield Problem(
                path=f"references.{i}.role", code="unsupported_role", expected="a picture to agree with", got="mask"
            )


def _canvas_problems(request: GenerateInput) -> Iterator[Problem]:
    if request.context != "canvas":
        return
    sizes = [(i, p.asked) for i, p in enumerate(request.panels) if not p.asked.nothing]
    for i, asked in sizes[1:]:
        if asked != sizes[0][1]:
            yield Problem(
                path=f"panels.{i}",
                code="size_mismatch",
                expected=f"the size of panel {sizes[0][0]}, as cells of a canvas share one (or context sequence)",
                got=str(asked),
            )


def _count_problems(request: GenerateInput, painter: PainterDefaults | None) -> Iterator[Problem]:
    limit = MAX_PANELS if painter is None else min(MAX_PANELS, painter.max_panels)
    if sharing(request) > limit:
        yield Problem(
            path="references" if request.context == "separate" else "panels",
            code="too_many_panels",
            expected=f"at most {limit} panels in one context, references included; use fewer or several calls",
            got=str(sharing(request)),
        )


def _token_problems(request: GenerateInput, painter: PainterDefaults) -> list[Problem]:
    tokens = row_tokens(request, painter)
    if tokens <= _MOST_TOKENS:
        return []
    cell = painter.token_size
    side = isqrt(_MOST_TOKENS) * cell
    expected = f"at most {_MOST_TOKENS} tokens of {cell}x{cell} pixels together, such as a picture of {side}x{side}"
    return [Problem(path="panels", code="too_large", expected=expected, got=f"{tokens}; ask for smaller or fewer ones")]


def _area_tokens(sizes: Sequence[Size], painter: PainterDefaults) -> int:
    return sum((w // painter.token_size) * (h // painter.token_size) for w, h in sizes)
