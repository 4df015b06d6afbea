"""The pictures that a vision-language judge is sent: the files themselves, made small enough, with a label each."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from chatdit.evals.suites.case import Question
from chatdit.tools.images import load_picture

CARD_QUESTION = "Is the number in the image the digit"
"""A question of IDEA-Bench-mini with these words is about a card with the number of output pictures on it."""
CARD_PIXELS = 512
_LOSSLESS_PIXELS = 512 * 512
_JPEG_QUALITY = 92


class Encoded(NamedTuple):
    """A picture file's bytes."""

    data: bytes
    kind: Literal["png", "jpeg"]

    @property
    def url(self) -> str:
        """The bytes as a data URL."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"


class Shown(NamedTuple):
    """A picture that goes to the judge, and the words before it."""

    label: str
    picture: Encoded | None
    """None when the question names a picture that is not there."""


@dataclass(frozen=True)
class CasePictures:
    """A case's pictures in order, under their names without the suffix, which systems choose for themselves."""

    inputs: Mapping[str, Encoded]
    outputs: Mapping[str, Encoded]


def read_pictures(inputs: Sequence[Path], outputs: Sequence[Path], max_side: int) -> CasePictures:
    """All pictures of a case, none longer than `max_side` pixels.

    Raises:
        ToolError: a file is no picture.
    """

    def read(paths: Sequence[Path]) -> dict[str, Encoded]:
        return {path.stem: encoded(load_picture(path).image, max_side) for path in paths}

    return CasePictures(read(inputs), read(outputs))


def shown_for(question: Question, pictures: CasePictures) -> tuple[Shown, ...]:
    """What the question is about: the pictures that it names, all where it names none, or the card."""
    if CARD_QUESTION in question.text:
        return (Shown("The image", encoded(number_card(len(pictures.outputs)), CARD_PIXELS)),)
    return (
        *_labelled("Input", question.inputs, pictures.inputs),
        *_labelled("Output", question.outputs, pictures.outputs),
    )


def number_of(name: str) -> str:
    """What people call a picture: `0003.jpg` is 3; a name that is no number stays."""
    stem = Path(name).stem
    return str(int(stem)) if stem.isdecimal() else stem


def encoded(image: Image.Image, max_side: int) -> Encoded:
    """An RGB picture, no longer than `max_side` pixels: PNG up to 512 x 512, JPEG above."""
    small = image.copy()
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if small.width * small.height <= _LOSSLESS_PIXELS:
        small.save(stream, "PNG")
        return Encoded(stream.getvalue(), "png")
    small.save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return Encoded(stream.getvalue(), "jpeg")


def number_card(number: int) -> Image.Image:
    """A white square with the number on it in black."""
    card = Image.new("RGB", (CARD_PIXELS, CARD_PIXELS), "white")
    middle = (CARD_PIXELS / 2, CARD_PIXELS / 2)
    ImageDraw.Draw(card).text(middle, str(number), "black", ImageFont.load_default(size=200), anchor="mm")
    return card


def _labelled(what: str, named: Sequence[str] | None, there: Mapping[str, Encoded]) -> list[Shown]:
    stems = list(there) if named is None else [Path(name).stem for name in named]
    return [
        Shown(f"{what} picture {number_of(stem)}{'' if stem in there else ': missing'}", there.get(stem))
        for stem in stems
    ]
