"""Sheets of pictures with their captions, so that a person can look at what a model draws, and at what it fails at."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from chatdit.tools.dit.model import DiT, Row, Segment
from chatdit.tools.dit.rows import SampledRow
from chatdit.tools.pocket.captions import joint_caption
from chatdit.tools.pocket.closer_look import sprites_in
from chatdit.tools.pocket.composer import settled
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.vocabulary import HELD_OUT

CAPTIONS: tuple[str, ...] = (
    "a large fox in the forest",
    "a cat left of a rocket on the beach",
    "three dogs in the snow",
    "a large red car in the city",
    "a robot on the moon",
    "an owl above a cake in the kitchen",
    "a lion wearing a red party hat in the desert",
    "a penguin wearing a blue bow at night",
    "a large whale under water",
    "two apples, three stars and a cat in the garden",
    "a large unicorn at sunset, sketch style",
    "a purple dragon in the mountains, pixel art style",
)
SET_CAPTIONS: tuple[str, ...] = ("a panda on the beach", "a panda in autumn", "a panda in the snow", "a panda on stage")
_LABEL_PIXELS = 22
_COLUMNS = 4


def sample_sheet(model: str = "pocket", seed: int = 0) -> Image.Image:
    """Twelve pictures and one set of four, each with its caption; the seeds count up from `seed`."""
    dit = DiT.load(model)
    width, height = dit.defaults.width, dit.defaults.height
    rows = [Row(text, (Segment(width, height),), seed + i) for i, text in enumerate(CAPTIONS)]
    together = " ".join(f"[panel{i}] {text}" for i, text in enumerate(SET_CAPTIONS, start=1))
    panels = tuple(Segment(width, height, panel=i) for i in range(len(SET_CAPTIONS)))
    drawn = _drawn(dit, rows) + _drawn(dit, [Row(together, panels, seed)])
    return _sheet([picture for row in drawn for picture in row.images], (*CAPTIONS, *SET_CAPTIONS))


def failure_sheet(model: str = "pocket", seed: int = 0) -> Image.Image:
    """Eight pictures of what pocket was not trained for or does badly; the seeds count up from `seed`.

    Small and finely drawn subjects, a subject that no training saw, by its name and as a given panel to be copied, and
    panels whose common subject no word names.
    """
    dit = DiT.load(model)
    width, height = dit.defaults.width, dit.defaults.height
    unseen, place = HELD_OUT[0], "beach"
    given = Renderer().pictures([Scene((Thing(unseen),), place)], random.Random(seed))[0]
    named = (
        "a small scorpion in the forest",
        f"a large {unseen} on the beach",
        "a large peacock in the garden, sketch style",
        "a bicycle and two saxophones at night",
    )
    rows = [Row(text, (Segment(width, height),), seed + i) for i, text in enumerate(named)]
    nameless = ("a subject on the beach", "a subject in the snow")
    known = (Segment(width, height, panel=0, known=given), Segment(width, height, panel=1))
    both = tuple(Segment(width, height, panel=i) for i in range(2))
    rows += [Row(joint_caption(nameless), segments, seed) for segments in (known, both)]
    labels = (*named, f"given: {unseen} on the beach", nameless[1], *nameless)
    return _sheet([picture for row in _drawn(dit, rows) for picture in row.images], labels)


def _drawn(dit: DiT, rows: list[Row]) -> list[SampledRow]:
    return dit.sample(settled(dit, rows, look=sprites_in))


def _sheet(pictures: Sequence[torch.Tensor], labels: Sequence[str]) -> Image.Image:
    height, width = pictures[0].shape[1:]
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width, rows * (height + _LABEL_PIXELS)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = i % _COLUMNS * width, i // _COLUMNS * (height + _LABEL_PIXELS)
        pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
        sheet.paste(Image.fromarray(pixels, "RGB"), (x, y))
        pen.text((x + 5, y + height + 4), label, fill=(40, 40, 40), font=font)
    return sheet
