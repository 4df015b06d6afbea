"""Settles where the subjects of a caption stand before it is drawn, as the world itself would: by the seed.

For models that were trained with words of spots. Who says where things stand is not overruled.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatdit.tools.dit.rows import Row
from chatdit.tools.pocket import world
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.scene import Placement, check
from chatdit.tools.pocket.spots import spot_words, told_spots

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

_PANEL = re.compile(r"(\[panel\d+\])")


def settled(model: DiT, rows: Sequence[Row]) -> list[Row]:
    """The rows as `model` is to draw them: composed if it knows the words of spots, else as they are."""
    knows = not model.defaults.open_vocabulary and not model.unknown_words(spot_words(Placement("", None, 0, 0, 64)))
    return [composed(row) for row in rows] if knows else list(rows)


def composed(row: Row) -> Row:
    """The row with spots in its caption, for every panel that is to be drawn and whose words ask for a scene."""
    if row.trajectory != "generate":
        return row
    tags = _PANEL.findall(row.caption)
    texts = [text.strip() for text in _PANEL.split(row.caption)[:: 2 if tags else 1]]
    texts = texts[1:] if tags else texts
    drawn = [not segment.wholly_known for segment in row.segments] if len(row.segments) == len(texts) else []
    told = [_composed(t, f"{row.seed}-{i}") if i < len(drawn) and drawn[i] else t for i, t in enumerate(texts)]
    return replace(row, caption=" ".join(f"{tag} {t}" for tag, t in zip(tags, told, strict=True)) if tags else told[0])


def _composed(caption: str, seed: str) -> str:
    read = read_caption(caption)
    if read is None or told_spots(caption) or check(read.scene):
        return caption
    return read.with_spots(caption, world.place(read.scene, random.Random(seed)))
