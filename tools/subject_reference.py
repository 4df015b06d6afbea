"""A reference of the tool `subject`, looked at: the pixels, where its subject is, and what is known of it.

Pocket's pictures are read; in real ones a mask says where the subject is, or Grounding DINO and SAM 2 find its word.
Masks are mode L, 255 on the subject. Layout legend: H, W pixels of the picture that is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.framing import framed, outside
from chatdit.tools.grounding import GroundingFolders
from chatdit.tools.panel_sizes import Size
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.closer_look import own_reader, placed
from chatdit.tools.pocket.cutout import Cutouts
from chatdit.tools.pocket.pointing import named_picks, shared
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import NAMELESS, PICTURE_PIXELS, Thing
from chatdit.tools.pocket.subject_words import nameless_thing, reference_caption
from chatdit.tools.segmenting import Asked, cut_out, found_by_grounding, tight_box
from chatdit.tools.types import ProgressCallback, ToolError


@dataclass(frozen=True, eq=False)
class Given:
    """A reference as it was given; number counts from 1."""

    number: int
    picture: Image.Image
    word: str
    mask: Image.Image | None
    description: str


@dataclass(frozen=True, eq=False)
class Looked:
    """Pixels (3, H, W) in [-1, 1], the image tokens that show the subject, and what is told of it and its picture."""

    pixels: Tensor
    tokens: tuple[int, ...]
    caption: str
    thing: Thing = field(default_factory=lambda: Thing(NAMELESS))
    """What pocket is told of the subject."""
    name: str = ""
    """By which the reader knows it, or the word that was given."""
    known: str = ""
    """What is known of the subject in words, for painters of any words."""


def look_at_pocket(given: Given, size: Size, token_size: int) -> Looked:
    """A picture of the pocket world, fitted to `size` (width and height).

    Raises:
        ToolError: the word names nothing there, or nothing is found and no mask says where to look.
    """
    read = to_tensor(framed(given.picture, PICTURE_PIXELS, PICTURE_PIXELS))
    reading = own_reader().read(read[None])[0]
    sighting = _sighted(given, reading)
    sprite = None if sighting is None else placed(sighting)
    if given.mask is not None:
        region = _region(given.mask, (PICTURE_PIXELS, PICTURE_PIXELS))
    elif sighting is not None:
        # copied from where it is to the pixel, which a reader does not tell
        cutouts = Cutouts(_renderer(), read, reading)
        region, sprite = cutouts.mask(sighting), cutouts.sprite(sighting)
    else:
        raise ToolError(f"reference {given.number}: nothing that the painter knows was found there; give a mask")
    return Looked(
        to_tensor(framed(given.picture, *size)),
        covered_tokens(region, size, token_size, given.number),
        reference_caption(sprite, reading),
        nameless_thing(sighting, reading.style),
        given.word or ("" if sighting is None else sighting.subject),
    )


def look_at_any(given: Given, size: Size, token_size: int, device: str, progress: ProgressCallback) -> Looked:
    """Any picture, fitted to `size` (width and height).

    Raises:
        ToolError: no mask is given, and its word was not found or the models that would look are not there.
    """
    mask = given.mask
    if mask is None:
        asked = Asked(given.picture, given.word)
        try:
            found = found_by_grounding(asked, GroundingFolders.from_environment(), device, progress)
        except ToolError as error:
            raise ToolError(f"reference {given.number}: {error}; or give a mask of the subject") from error
        mask = cut_out(asked, found)[0].mask
    pixels = to_tensor(framed(given.picture, *size))
    tokens = covered_tokens(_region(mask, size), size, token_size, given.number)
    caption = given.description or (f"a picture of {given.word}" if given.word else "")
    return Looked(pixels, tokens, caption, name=given.word, known=given.description)


def covered_tokens(region: Tensor, size: Size, token_size: int, number: int) -> tuple[int, ...]:
    """The tokens of a picture of `size` that a region, bool (H, W) of any size, touches, row by row.

    Raises:
        ToolError: it is empty.
    """
    width, height = (side // token_size for side in size)
    covered = F.adaptive_max_pool2d(region.float()[None], (height, width))[0].flatten() > 0
    tokens = tuple(int(token) for token in covered.nonzero().flatten())
    if not tokens:
        raise ToolError(f"the mask of reference {number} is empty: expected 255 on the subject; draw it there")
    return tokens


def _region(mask: Image.Image, size: Size) -> Tensor:
    """bool (H, W): where a mask is white, on the frame of the picture."""
    levels = mask.convert("L").point([255 * (level > 127) for level in range(256)])
    return torch.logical_not(outside(levels, size))


def _sighted(given: Given, reading: Reading) -> Sighting | None:
    """The thing that the word names; else that which the mask means; else the surest."""
    if given.word:
        try:
            return named_picks(reading, given.word)[0].sighting
        except ToolError as error:
            if given.mask is None:
                raise ToolError(f"reference {given.number}: {error}, or a mask") from error
    if given.mask is not None:
        if not np.asarray(given.mask).max():
            return None
        box = tight_box(given.mask)
        return max(reading.sightings, key=lambda s: shared(s.box, box), default=None)
    return next(iter(reading.sightings), None)


@cache
def _renderer() -> Renderer:
    return Renderer()
