"""How things are cut out of a picture: which are meant, their masks, and what is left.

A painter of a closed vocabulary draws a world whose pictures can be read; real pictures take Grounding DINO and SAM 2.
Masks are mode L, of the picture's size, 255 on the thing. Points and boxes are in fractions of the picture.
Layout legend: H and W 256 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops
from torch import Tensor

from chatdit.tools.framing import framed, window
from chatdit.tools.grounding import Grounder, GroundingFolders
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.closer_look import own_reader
from chatdit.tools.pocket.cutout import FOREIGN, Cutouts
from chatdit.tools.pocket.pointing import INSIDE, Pick, area, called, inside, nearest, picks_of, shared, told
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.types import Box, Progress, ProgressCallback, ToolError

Point = tuple[float, float]
_BACKGROUND = re.compile(r"(the |its |whole |entire )*(background|backdrop|surroundings|scenery|rest|everything else)")
_ALL_BUT = re.compile(
    r"((all|everything|anything)( else)? |the (rest|background|picture) )?"
    r"(but|except( for)?|apart from|other than|outside( of)?|around|behind|without|not) +(?P<kept>.+)"
)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be cut out of an RGB picture: what the phrase names, as far as a point or the box means it."""

    picture: Image.Image
    phrase: str | None = None
    points: tuple[Point, ...] = ()
    box: Box | None = None
    instances: bool = False


@dataclass(frozen=True, eq=False)
class Cut:
    """A mask and what it shows."""

    mask: Image.Image
    phrase: str


@dataclass(frozen=True, eq=False)
class Found:
    """Every thing that is meant by itself, what they are called together, and by whom they were found."""

    cuts: tuple[Cut, ...]
    together: str
    by: str
    warnings: tuple[str, ...] = ()


def cut_out(asked: Asked, found: Found) -> tuple[Cut, ...]:
    """The masks of what was found: one of all, one for each, or one of everything else.

    Raises:
        ToolError: a mask is empty.
    """
    everything = Image.new("L", asked.picture.size)
    for cut in found.cuts:
        everything = ImageChops.lighter(everything, cut.mask)
    if split_phrase(asked.phrase).rest:
        phrase = f"all but {found.together}" if found.cuts else "everything"
        cuts: tuple[Cut, ...] = (Cut(ImageChops.invert(everything), phrase),)
    else:
        cuts = found.cuts if asked.instances else (Cut(everything, found.together),)
    for cut in cuts:
        if cut.mask.getbbox() is None:
            raise ToolError(f"no pixel shows {cut.phrase}: expected a thing that is seen; point at another")
    return cuts


def found_by_reading(asked: Asked, progress: ProgressCallback) -> Found:
    """What is meant in a picture of the pocket world.

    Raises:
        ToolError: nothing that is there; the line says what is.
    """
    progress(Progress("look", 0, 1))
    frame = _Frame(asked.picture.size)
    pixels = to_tensor(framed(asked.picture, PICTURE_PIXELS, PICTURE_PIXELS))
    reading = own_reader().read(pixels[None])[0]
    cutouts = Cutouts(_renderer(), pixels, reading)
    picks = _meant(asked, frame, reading, cutouts)
    cuts = []
    for done, pick in enumerate(picks):
        progress(Progress("cut out", done, len(picks)))
        mask = cutouts.worn_mask(pick.sighting) if pick.worn else cutouts.mask(pick.sighting)
        cuts.append(Cut(frame.outwards(mask), called([pick], reading.style)))
    progress(Progress("cut out", len(picks), len(picks)))
    foreign = f"the place is none that the painter draws (difference {cutouts.misfit:.2f}): masks may be less exact"
    warnings = (foreign,) if cutouts.misfit > FOREIGN else ()
    return Found(tuple(cuts), called(picks, reading.style), "pocket reader", warnings)


def found_by_grounding(asked: Asked, folders: GroundingFolders, device: str, progress: ProgressCallback) -> Found:
    """What is meant in any picture.

    Raises:
        ToolError: it was not found, a phrase alone does not say what, or the models are not there.
    """
    wanted = split_phrase(asked.phrase).wanted
    if wanted is None and not asked.points and asked.box is None:
        raise ToolError(f"{asked.phrase!r} does not say behind what: expected 'all but the cat', a point or a box")
    grounder = _grounder(folders, device)
    grounder.check(phrase=wanted is not None)
    together = wanted or ("the thing in the box" if asked.box else "the thing at the point")
    progress(Progress("look", 0, 2))
    if wanted is not None:
        boxes = _narrowed(asked, [spotted.box for spotted in grounder.boxes(asked.picture, wanted)])
        if not boxes:
            raise ToolError(f"{wanted!r} was not found there: expected another word for it, or a point on it")
        progress(Progress("cut out", 1, 2))
        masks = grounder.masks(asked.picture, boxes)
    else:
        groups = [[p] for p in asked.points] if asked.instances and not asked.box else [list(asked.points)]
        masks = grounder.masks(asked.picture, [asked.box] if asked.box else [], groups if asked.points else [])
    progress(Progress("cut out", 2, 2))
    return Found(tuple(Cut(mask, together) for mask in masks), together, "grounding")


class Split(NamedTuple):
    """What a phrase names, if anything, and whether everything else is meant."""

    wanted: str | None
    rest: bool


def split_phrase(phrase: str | None) -> Split:
    """A phrase in small letters, without "all but": "everything except the fox" and "the background" mean the rest."""
    if phrase is None:
        return Split(None, False)
    words = " ".join(phrase.lower().split()).strip(" .!?")
    if _BACKGROUND.fullmatch(words):
        return Split(None, True)
    all_but = _ALL_BUT.fullmatch(words)
    return Split(all_but["kept"], True) if all_but else Split(words, False)


def tight_box(mask: Image.Image) -> Box:
    """The box around a mask that is not empty, in fractions of it."""
    corners = mask.getbbox()
    assert corners is not None
    x1, y1, x2, y2 = (value / side for value, side in zip(corners, (*mask.size, *mask.size), strict=True))
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def on_white(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """What the mask shows of a picture, on white."""
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)


class _Frame:
    """Where a picture of any size lies in the square that the reader sees."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._window = window(size, (PICTURE_PIXELS, PICTURE_PIXELS))

    def inwards(self, point: Point) -> Point:
        """A point of the picture as one of the square."""
        left, top, right, bottom = self._window
        return (left + point[0] * (right - left)) / PICTURE_PIXELS, (top + point[1] * (bottom - top)) / PICTURE_PIXELS

    def outwards(self, mask: Tensor) -> Image.Image:
        """bool (H, W) of the square as a mask of the picture."""
        levels = Image.fromarray(np.where(mask.numpy(), 255, 0).astype(np.uint8))
        inner = levels.crop(self._window).resize(self._size, Image.Resampling.BILINEAR)
        return inner.point([255 * (level > 127) for level in range(256)])


def _meant(asked: Asked, frame: _Frame, reading: Reading, cutouts: Cutouts) -> tuple[Pick, ...]:
    """What the phrase names, of that what lies in the box, of that what a point lies on."""
    picks = picks_of(reading, split_phrase(asked.phrase).wanted)
    if asked.box is not None:
        (x1, y1), (x2, y2) = (frame.inwards(p) for p in ((asked.box.x1, asked.box.y1), (asked.box.x2, asked.box.y2)))
        kept = inside([pick.sighting for pick in picks], Box(x1=x1, y1=y1, x2=x2, y2=y2))
        picks = tuple(pick for pick in picks if pick.sighting in kept)
        if not picks:
            raise _nothing("in the box", reading)
    if asked.points:
        hit = [nearest(frame.inwards(point), picks, cutouts.mask) for point in asked.points]
        missed = next((p for p, sighting in zip(asked.points, hit, strict=True) if sighting is None), None)
        if missed is not None:
            raise _nothing(f"at ({missed[0]:.2f}, {missed[1]:.2f})", reading)
        picks = tuple(pick for pick in picks if pick.sighting in hit)
    return picks


def _nothing(where: str, reading: Reading) -> ToolError:
    return ToolError(f"nothing that is meant lies {where}, and {told(reading)}: expected one of them")


def _narrowed(asked: Asked, boxes: Sequence[Box]) -> list[Box]:
    """The boxes of which most lies in the box that was asked for, and which hold a point, if there are points."""
    if asked.box is not None:
        boxes = [b for b in boxes if shared(b, asked.box) >= INSIDE * area(b)]
    if asked.points:
        boxes = [b for b in boxes if any(b.x1 <= x <= b.x2 and b.y1 <= y <= b.y2 for x, y in asked.points)]
    return list(boxes)


@cache
def _renderer() -> Renderer:
    return Renderer()


@lru_cache(maxsize=1)
def _grounder(folders: GroundingFolders, device: str) -> Grounder:
    return Grounder(folders, device)
