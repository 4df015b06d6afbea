"""Who draws what the pocket benchmark asks for, and who reads it back.

Layout legend: B batch, H and W 256 pixels; pictures are float in [-1, 1].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from chatdit.evals.pocket_cases import Ask
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.pocket import world
from chatdit.tools.pocket.closer_look import placed
from chatdit.tools.pocket.composer import settled
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene

Notify = Callable[[str, int, int], None]
See = Callable[[Scene, Tensor, Reading], None]
"""Is shown each picture (3, H, W) in [-1, 1] with the scene asked for and its reading, in order."""
CHUNK = 16
_READ_AT_ONCE = 32
_Item = TypeVar("_Item")


class Reader(Protocol):
    """Says what is in pictures (B, 3, H, W) in [-1, 1]: a `Detector`, or a `CloserLook` of one."""

    def read(self, pictures: Tensor) -> list[Reading]: ...


class Artist(Protocol):
    """Draws rows and has them read: for each row the readings of its panels, given ones too."""

    def draw(
        self, what: str, asks: Sequence[Ask], rng: random.Random, see: See | None = None
    ) -> list[list[Reading]]: ...


class ModelArtist:
    """Draws with a model and has one reader read it; sprites are asked for wherever the world could have them."""

    def __init__(self, dit: DiT, reader: Reader, sampling: SamplingOptions, notify: Notify) -> None:
        self._dit, self._reader, self._sampling, self._notify = dit, reader, sampling, notify

    def draw(self, what: str, asks: Sequence[Ask], rng: random.Random, see: See | None = None) -> list[list[Reading]]:
        """Readings of every row; `rng` gives their seeds and `what` names them to whoever waits."""
        rows = [Row(one.caption, _segments(one), rng.randrange(2**31)) for one in asks]
        readings: list[list[Reading]] = []
        for part in chunks(rows, max(1, CHUNK // max((len(one.scenes) for one in asks), default=1))):
            self._notify(what, len(readings), len(rows))
            for row in self._dit.sample(settled(self._dit, part, world.place, self._look), sampling=self._sampling):
                pictures = torch.stack(list(row.images)) * 2 - 1
                scenes = asks[len(readings)].scenes
                readings.append(read_all(self._reader, pictures))
                if see is not None:
                    for scene, picture, reading in zip(scenes, pictures, readings[-1], strict=True):
                        see(scene, picture, reading)
        self._notify(what, len(rows), len(rows))
        return readings

    def _look(self, picture: Tensor) -> list[Placement]:
        return [placed(sighting) for sighting in self._reader.read(picture[None])[0].sightings]


def read_all(reader: Reader, pictures: Tensor) -> list[Reading]:
    """Readings of any number of pictures (B, 3, H, W) in [-1, 1]."""
    return [reading for part in torch.split(pictures, _READ_AT_ONCE) for reading in reader.read(part)]


def chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """The items in parts of `size`, the last of which may be smaller."""
    return (items[i : i + size] for i in range(0, len(items), size))


def _segments(one: Ask) -> tuple[Segment, ...]:
    return tuple(
        Segment(PICTURE_PIXELS, PICTURE_PIXELS, panel=i, known=one.given if i == 0 else None)
        for i in range(len(one.scenes))
    )
