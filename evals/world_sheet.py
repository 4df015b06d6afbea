"""A sheet of training samples with their captions, so that a person can look at what a model is taught."""

from __future__ import annotations

import random
import re
import textwrap

from PIL import Image, ImageDraw, ImageFont

from chatdit.tools.pocket.drawing import drawing
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.samples import Sample, random_sample
from chatdit.tools.pocket.scene import MAX_PANELS, PICTURE_PIXELS

_COLUMNS = 8
_LABEL_PIXELS, _LINE_PIXELS, _LINE_LETTERS = 50, 12, 46
_FRAMES = {"single": "white", "set": "gold", "reference": "deepskyblue", "edit": "tomato"}
_PANELS = (1, 1, 1, 2, 2, 3, 4)


def world_sheet(seed: int = 0, samples: int = 48) -> Image.Image:
    """Samples of the training distribution; a bar's colour says their kind, panels stand side by side."""
    rng = random.Random(f"sheet-{seed}")
    return _sheet([random_sample(rng, rng.choice(_PANELS[: 3 + MAX_PANELS])) for _ in range(samples)], rng)


def _sheet(samples: list[Sample], rng: random.Random) -> Image.Image:
    renderer, spots = Renderer(), _spots([len(s.scenes) for s in samples])
    height = PICTURE_PIXELS + _LABEL_PIXELS
    rows = 1 + max(row for row, _ in spots)
    sheet = Image.new("RGB", (_COLUMNS * PICTURE_PIXELS, rows * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for sample, (row, column) in zip(samples, spots, strict=True):
        pictures = renderer.draw(drawing(sample.scenes, sample.placements, rng))
        x, y = column * PICTURE_PIXELS, row * height
        pen.rectangle((x, y + PICTURE_PIXELS, x + len(pictures) * PICTURE_PIXELS - 4, y + height), _FRAMES[sample.kind])
        for picture, text in zip(pictures, _texts(sample), strict=True):
            sheet.paste(to_image(picture), (x, y))
            lines = textwrap.wrap(text, _LINE_LETTERS)[:4]
            for i, line in enumerate(lines):
                pen.text((x + 3, y + PICTURE_PIXELS + 1 + i * _LINE_PIXELS), line, fill="black", font=font)
            x += PICTURE_PIXELS
    return sheet


def _spots(widths: list[int]) -> list[tuple[int, int]]:
    """Row and column of each sample's first panel, in the first row with room."""
    used: list[int] = []
    found = []
    for width in widths:
        row = next((i for i, taken in enumerate(used) if taken + width <= _COLUMNS), len(used))
        used += [0] * (row + 1 - len(used))
        found.append((row, used[row]))
        used[row] += width
    return found


def _texts(sample: Sample) -> list[str]:
    """What the caption says of each panel."""
    if len(sample.scenes) == 1:
        return [sample.caption]
    texts = [part.strip() for part in re.split(r"\[panel\d+\]", sample.caption)[1:]]
    given = {"any": "", "some": " (some panels given)", "first": " (first panel given)"}[sample.given]
    return [texts[0] + given, *texts[1:]]
