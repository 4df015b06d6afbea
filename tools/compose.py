"""`compose`: pictures from pictures by plain image operations: a grid, a strip, parts, crops, one laid on another.

No painter is asked, so results are exact: what is not resized keeps its pixels bit for bit. A result has at least one
pixel a side and at most `images.MAX_PIXELS` in all, so that it can be attached again; the sides that painters can draw
do not bind here. All results of one call have at most MOST_TOGETHER pixels, because they lie in memory together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from PIL import ImageColor
from pydantic import Field, StringConstraints

from chatdit.tools.tool import PainterDefaults, RunContext, Tool, narrowed
from chatdit.tools.types import Box, Cost, Data, ImageRef, MaskRef, Problem, Progress, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from PIL import Image

MAX_PICTURES = 24
MOST_TOGETHER = 512_000_000
"""Pixels; 24 photographs of a telephone, or one and a half gigabytes."""

MOST_ENLARGED = 4
_SAME_SHAPE = 0.02  # as in fitting: a change too small to see

Size = tuple[int, int]
Anchor = Literal["centre", "left", "right", "top", "bottom"]
Colour = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
"""A CSS name such as "white", or #rrggbb."""
Side = Annotated[int, Field(ge=1)]
Gap = Annotated[int, Field(ge=0, le=512)]
Aspect = Annotated[float, Field(ge=0.01, le=100)]
"""Width / height."""
Count = Annotated[int, Field(ge=1, le=MAX_PICTURES)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)]


class Grid(Data):
    """All pictures on one, in reading order, each centred in its cell; with the defaults it is the contact sheet.

    Cells are as large as the largest picture, or with `fit` as the first one, to whose size the others are brought.
    Where all pictures agree to within a pixel, as the parts of a split do, a column is as wide and a row as high as
    its own largest picture, so that parts close up without seams.
    """

    kind: Literal["grid"] = "grid"
    columns: Count | None = None
    """None chooses a grid that is not far from square."""
    gap: Gap = 8
    """Pixels between the pictures and around them all."""
    background: Colour = "white"
    fit: bool = False
    labels: tuple[Label, ...] = Field(default=(), max_length=MAX_PICTURES)
    """One line under each picture, "" for none."""


class Stitch(Data):
    """All pictures in one row or column, brought to one height or width without changing their shapes."""

    kind: Literal["stitch"] = "stitch"
    direction: Literal["horizontal", "vertical"] = "horizontal"
    match: Literal["first", "largest"] = "first"
    """Whose height (of a row) or width (of a column) all get."""
    gap: Gap = 0
    """Pixels between the pictures, none around them."""
    background: Colour = "white"


class Crop(Data):
    """A box of each picture, or the largest window of a shape in each."""

    kind: Literal["crop"] = "crop"
    box: Box | None = None
    aspect: Aspect | None = None
    anchor: Anchor = "centre"
    """Where a window of `aspect` lies."""


class Split(Data):
    """One picture cut into rows x columns parts in reading order, equal to within a pixel."""

    kind: Literal["split"] = "split"
    rows: Count = 1
    columns: Count = 1


class Pad(Data):
    """Each whole picture in the middle of a larger ground; scaled down only where it does not fit."""

    kind: Literal["pad"] = "pad"
    aspect: Aspect | None = None
    width: Side | None = None
    height: Side | None = None
    """A side that is not given is the picture's own."""
    fill: Colour = "edge"
    """A colour; "edge" for the colour of each edge; or "blur" for the picture out of focus."""


class Resize(Data):
    """Each picture at another size (Lanczos); of one side alone, the other follows the shape."""

    kind: Literal["resize"] = "resize"
    width: Side | None = None
    height: Side | None = None
    scale: float | None = Field(default=None, gt=0, le=64)


class Paste(Data):
    """The second picture laid on the first inside a box; everywhere else the first keeps its pixels."""

    kind: Literal["paste"] = "paste"
    box: Box = Box(x1=0, y1=0, x2=1, y2=1)
    fit: Literal["inside", "cover", "stretch"] = "inside"
    """Shown whole in the middle of the box, cropped to fill it, or stretched to it."""
    mask: MaskRef | ImageRef | None = Field(default=None, discriminator="kind")
    """White takes the second picture, black the first."""
    mask_of: Literal["second", "first"] = "second"
    """The picture that the mask has the size of and lies on."""
    feather: int = Field(default=0, ge=0, le=512)
    """Pixels over which the second picture fades in, inwards from its seam."""


class Rotate(Data):
    """Each picture turned clockwise."""

    kind: Literal["rotate"] = "rotate"
    degrees: Literal[90, 180, 270] = 90


class Flip(Data):
    """Each picture mirrored: "horizontal" swaps left and right, "vertical" top and bottom."""

    kind: Literal["flip"] = "flip"
    direction: Literal["horizontal", "vertical"] = "horizontal"


Joining = Grid | Stitch
OneByOne = Crop | Pad | Resize | Rotate | Flip
Operation = Annotated[Joining | OneByOne | Split | Paste, Field(discriminator="kind")]


class ComposeInput(ToolInput):
    """The pictures, and what is done to them: grid and stitch join all, paste takes two, split one, others each."""

    images: tuple[ImageRef, ...] = Field(min_length=1, max_length=MAX_PICTURES)
    operation: Operation

    def sizes(self) -> tuple[Size, ...]:
        """Width and height of each picture that will come out, in order, from the input alone.

        Never raises; of an input that `Compose.validate` refuses it is a guess, with sides of at least one pixel.
        """
        from chatdit.tools.composing import sizes_of

        return sizes_of(self.operation, self.given())

    def given(self) -> tuple[Size, ...]:
        """Width and height of each picture that goes in."""
        return tuple((image.width, image.height) for image in self.images)


class ComposeOutput(ToolOutput):
    """One picture of a grid, stitch or paste; of a split its parts; else one for each that was given."""


class Compose(Tool):
    """Everything that can be done to pictures without knowing what they show."""

    name = "compose"
    version = "1"
    summary = "Join, cut, pad, resize, paste, turn or mirror pictures; nothing is painted."
    Input = ComposeInput
    Output = ComposeOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """What the operation cannot do to these pictures; no painter is needed."""
        return problems(narrowed(inp, ComposeInput))

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """One step, a row a picture, no tokens."""
        return Cost(steps=1, rows=len(narrowed(inp, ComposeInput).images), tokens=0)

    def run(self, inp: ToolInput, context: RunContext) -> ComposeOutput:
        """Open, compose, store. Nothing is stored unless every picture was made."""
        from chatdit.tools.composing import composed

        request = narrowed(inp, ComposeInput)
        started = time.perf_counter()
        if faults := problems(request):
            raise ToolError("; ".join(map(str, faults)))
        mask = _mask(request.operation, context)
        pictures = list(composed(request.operation, request.given(), _pictures(request, context), mask))
        return ComposeOutput(
            images=tuple(context.store.put_image(picture) for picture in pictures),
            seconds=time.perf_counter() - started,
            warnings=tuple(notes(request, mask)),
            report={"operation": request.operation.kind},
        )


def problems(request: ComposeInput) -> list[Problem]:
    """What is wrong with the request in itself, or else with its pictures' sizes."""
    found = [*_count_problems(request), *_choice_problems(request.operation), *_colour_problems(request.operation)]
    return found or [*_box_problems(request), *_mask_problems(request)] or list(_large_problems(request))


def notes(request: ComposeInput, mask: Image.Image | None = None) -> Iterator[str]:
    """What a person should know of the results, in words; `mask` is a paste's."""
    from chatdit.tools.composing import extent, sheet_of, written_labels

    operation, given = request.operation, request.given()
    if mask is not None and mask.getbbox() is None:
        yield "the mask is black all over: nothing was pasted"
    shown: Sequence[Size] = given
    if isinstance(operation, Resize | Pad):
        shown = request.sizes()
    elif isinstance(operation, Stitch):
        shown = [extent(box) for box in sheet_of(operation, given).boxes]
    for number, (before, after) in enumerate(zip(given, shown, strict=True), start=1):
        yield from _size_notes(f"picture {number}, {before[0]}x{before[1]}, is", operation, before, after)
    if isinstance(operation, Grid):
        for label, written in zip(operation.labels, written_labels(operation, given), strict=True):
            if written != " ".join(label.split()):
                yield f"label {label!r} is written {written!r}: its font and the room under its picture allow no more"


def _size_notes(words: str, operation: Operation, before: Size, after: Size) -> Iterator[str]:
    across, down = after[0] / before[0], after[1] / before[1]
    if isinstance(operation, Pad):
        if min(across, down) < 1:
            yield f"{words} scaled down to fit into {after[0]}x{after[1]}"
        return
    if max(across, down) > MOST_ENLARGED:
        yield f"{words} enlarged {max(across, down):.1f} times: no detail is added"
    if isinstance(operation, Resize) and operation.width and operation.height and abs(across / down - 1) > _SAME_SHAPE:
        yield f"{words} stretched to {after[0]}x{after[1]}: crop or pad to that shape first to keep its own"


def _pictures(request: ComposeInput, context: RunContext) -> Iterator[Image.Image]:
    for i, image in enumerate(request.images):
        context.progress(Progress("compose", i, len(request.images)))
        yield context.store.open_image(image)
    context.progress(Progress("compose", len(request.images), len(request.images)))


def _mask(operation: Operation, context: RunContext) -> Image.Image | None:
    if not isinstance(operation, Paste) or operation.mask is None:
        return None
    if isinstance(operation.mask, MaskRef):
        return context.store.open_mask(operation.mask)
    return context.store.open_image(operation.mask).convert("L")


def _count_problems(request: ComposeInput) -> Iterator[Problem]:
    operation, count = request.operation, len(request.images)
    if isinstance(operation, Split) and count != 1:
        yield _problem("images", "picture_count", "one picture; split each by a call of its own", f"{count} pictures")
    if isinstance(operation, Split) and operation.rows * operation.columns > MAX_PICTURES:
        expected = f"at most {MAX_PICTURES} parts; use fewer rows or columns"
        yield _problem("operation", "too_many_parts", expected, f"{operation.rows} x {operation.columns}")
    if isinstance(operation, Paste) and count != 2:
        expected = "two pictures, the ground and what is laid on it; paste more by further calls"
        yield _problem("images", "picture_count", expected, f"{count} pictures")
    if isinstance(operation, Grid) and operation.labels and len(operation.labels) != count:
        expected = f'{count} labels, one for each picture; write "" where none is wanted'
        yield _problem("operation.labels", "label_count", expected, f"{len(operation.labels)} labels")


def _choice_problems(operation: Operation) -> Iterator[Problem]:
    """Two ways to say one thing, of which one must be taken."""
    match operation:
        case Crop():
            ways = {"box": operation.box is not None, "aspect": operation.aspect is not None}
        case Pad(width=width, height=height):
            ways = {"aspect": operation.aspect is not None, "width and height": (width or height) is not None}
        case Resize(width=width, height=height):
            ways = {"scale": operation.scale is not None, "width and height": (width or height) is not None}
        case _:
            return
    if sum(ways.values()) != 1:
        expected = f"{' or '.join(ways)}; {'leave one out' if all(ways.values()) else 'give one'}"
        yield _problem("operation", "one_way", expected, "both" if all(ways.values()) else "none")


def _colour_problems(operation: Operation) -> Iterator[Problem]:
    match operation:
        case Grid(background=colour) | Stitch(background=colour):
            field, others = "background", ""
        case Pad(fill=colour) if colour not in ("edge", "blur"):
            field, others = "fill", '"edge", "blur", '
        case _:
            return
    try:
        levels = ImageColor.getrgb(colour)
    except ValueError:
        levels = (-1, -1, -1)
    if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
        expected = f'{others}a CSS colour name or #rrggbb, such as "white" or "#f0e0d0"'
        yield _problem(f"operation.{field}", "unknown_colour", expected, repr(colour))


def _box_problems(request: ComposeInput) -> Iterator[Problem]:
    """Boxes and parts of less than one pixel."""
    from chatdit.tools.composing import pixel_box

    operation = request.operation
    if isinstance(operation, Split):
        width, height = request.given()[0]
        if operation.columns > width or operation.rows > height:
            expected = f"parts of at least one pixel of a picture of {width}x{height}; use fewer rows or columns"
            yield _problem("operation", "empty_part", expected, f"{operation.rows} x {operation.columns} parts")
    if not isinstance(operation, Crop | Paste) or operation.box is None:
        return
    for number, size in enumerate(request.given()[: 1 if isinstance(operation, Paste) else None], start=1):
        left, top, right, bottom = pixel_box(operation.box, size)
        if left >= right or top >= bottom:
            expected = f"a box of at least one pixel of picture {number}, {size[0]}x{size[1]}; make it larger"
            yield _problem("operation.box", "empty_box", expected, f"{right - left}x{bottom - top} pixels")


def _mask_problems(request: ComposeInput) -> Iterator[Problem]:
    operation = request.operation
    if not isinstance(operation, Paste) or operation.mask is None:
        return
    width, height = request.given()[operation.mask_of == "second"]
    if (operation.mask.width, operation.mask.height) != (width, height):
        expected = f"a mask of the {operation.mask_of} picture's size, {width}x{height}; scale it or change mask_of"
        yield _problem("operation.mask", "mask_size", expected, f"{operation.mask.width}x{operation.mask.height}")


def _large_problems(request: ComposeInput) -> Iterator[Problem]:
    from chatdit.tools.images import MAX_PIXELS

    sizes = request.sizes()
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    total = sum(width * height for width, height in sizes)
    if width * height > MAX_PIXELS:
        expected = f"at most {MAX_PIXELS} pixels in a picture; ask for a smaller size or scale the pictures down first"
        yield _problem("operation", "too_large", expected, f"{width}x{height}, {width * height} pixels")
    elif total > MOST_TOGETHER:
        expected = f"at most {MOST_TOGETHER} pixels in all results together; use several calls"
        yield _problem("operation", "too_large", expected, f"{total} pixels")


def _problem(path: str, code: str, expected: str, got: str) -> Problem:
    return Problem(path=path, code=code, expected=expected, got=got)
