"""The 24 places of the pocket world, painted once per process in a few variants each.

Every painter draws on a canvas of twice the picture's side, which is then halved for smooth edges.
Coordinates below are fractions of the picture, x to the right and y down.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.vocabulary import BACKGROUNDS

Colour = tuple[int, int, int]
_SIDE = PICTURE_PIXELS * 2


class _Canvas:
    """A drawing surface in fractions, with its own random stream."""

    def __init__(self, top: Colour, bottom: Colour, rng: random.Random) -> None:
        ramp = np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None]
        column = np.array(top, np.float32) * (1 - ramp) + np.array(bottom, np.float32) * ramp
        pixels = np.repeat(column[:, None, :], _SIDE, axis=1).round().astype(np.uint8)
        self.image = Image.fromarray(pixels, "RGB")
        self.draw = ImageDraw.Draw(self.image)
        self.rng = rng

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        self.draw.rectangle([v * _SIDE for v in (x1, y1, x2, y2)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, squash: float = 1.0) -> None:
        corners = (x - radius, y - radius * squash, x + radius, y + radius * squash)
        self.draw.ellipse([v * _SIDE for v in corners], fill=colour)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([(x * _SIDE, y * _SIDE) for x, y in points], fill=colour)

    def hills(self, level: float, height: float, waves: float, colour: Colour, phase: float | None = None) -> None:
        phase = self.rng.uniform(0, math.tau) if phase is None else phase
        xs = [i / 64 for i in range(65)]
        ridge = [(x, level - height * (0.5 + 0.5 * math.sin(math.tau * waves * x + phase))) for x in xs]
        self.shape([(0, 1), *ridge, (1, 1)], colour)

    def dots(self, count: int, area: tuple[float, float, float, float], radius: float, colours: list[Colour]) -> None:
        x1, y1, x2, y2 = area
        for _ in range(count):
            self.disc(self.rng.uniform(x1, x2), self.rng.uniform(y1, y2), radius, self.rng.choice(colours))

    def cloud(self, x: float, y: float, size: float, colour: Colour = (255, 255, 255)) -> None:
        for dx, dy, r in ((-0.9, 0.1, 0.55), (0, -0.15, 0.8), (0.9, 0.1, 0.6), (0.3, 0.25, 0.6), (-0.4, 0.25, 0.6)):
            self.disc(x + dx * size, y + dy * size, r * size, colour, 0.7)

    def pine(self, x: float, ground: float, size: float, colour: Colour) -> None:
        self.box(x - size * 0.06, ground - size * 0.2, x + size * 0.06, ground, (101, 67, 33))
        for lift, width in ((0.15, 0.36), (0.4, 0.28), (0.65, 0.2)):
            base = ground - size * lift
            self.shape([(x - size * width, base), (x + size * width, base), (x, base - size * 0.42)], colour)


def background_pictures() -> NDArray[np.uint8]:
    """Every background in every variant: uint8 (24 x BACKGROUND_VARIANTS, 256, 256, 3), in `BACKGROUNDS`' order."""
    return np.stack([_paint(name, v) for name in BACKGROUNDS for v in range(BACKGROUND_VARIANTS)])


@cache
def _paint(name: str, variant: int) -> NDArray[np.uint8]:
    canvas = _PAINTERS[name](random.Random(f"{name}-{variant}"))
    small = canvas.image.resize((PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.BOX)
    return np.asarray(small)


def _beach(rng: random.Random) -> _Canvas:
    c = _Canvas((125, 205, 250), (205, 240, 255), rng)
    c.disc(rng.choice((0.15, 0.5, 0.85)), 0.14, 0.07, (255, 240, 130))
    c.box(0, 0.48, 1, 0.66, (30, 140, 205))
    c.hills(0.66, 0.02, 4, (120, 205, 230))
    c.hills(0.7, 0.03, 1, (243, 217, 150))
    c.dots(24, (0, 0.74, 1, 1), 0.006, [(214, 184, 115), (255, 238, 190)])
    return c


def _moon(rng: random.Random) -> _Canvas:
    c = _Canvas((8, 8, 24), (24, 24, 52), rng)
    c.dots(34, (0, 0, 1, 0.6), 0.005, [(255, 255, 255), (200, 210, 255)])
    c.disc(rng.choice((0.16, 0.84)), 0.16, 0.08, (70, 140, 230))
    c.hills(0.68, 0.05, 1, (150, 150, 158))
    for _ in range(7):
        x, y, r = rng.uniform(0.05, 0.95), rng.uniform(0.76, 0.96), rng.uniform(0.03, 0.07)
        c.disc(x, y, r, (112, 112, 122), 0.4)
        c.disc(x, y + 0.008, r * 0.8, (132, 132, 140), 0.36)
    return c


def _forest(rng: random.Random) -> _Canvas:
    c = _Canvas((168, 214, 190), (98, 158, 120), rng)
    for x in (0.05, 0.25, 0.45, 0.65, 0.85):
        c.pine(x + rng.uniform(-0.04, 0.04), 0.72, 0.62, (38, 96, 60))
    for x in (0.15, 0.38, 0.6, 0.8, 0.98):
        c.pine(x + rng.uniform(-0.04, 0.04), 0.78, 0.5, (24, 74, 44))
    c.box(0, 0.76, 1, 1, (58, 92, 44))
    c.dots(26, (0, 0.78, 1, 1), 0.008, [(80, 116, 58), (44, 74, 34)])
    return c


def _meadow(rng: random.Random) -> _Canvas:
    c = _Canvas((120, 190, 250), (210, 236, 255), rng)
    c.cloud(rng.uniform(0.15, 0.85), 0.14, 0.07)
    c.hills(0.66, 0.08, 1, (120, 200, 92))
    c.hills(0.76, 0.06, 1.3, (88, 176, 66))
    c.dots(18, (0, 0.76, 1, 1), 0.011, [(255, 255, 255), (255, 220, 80), (250, 130, 170)])
    return c


def _desert(rng: random.Random) -> _Canvas:
    c = _Canvas((255, 196, 120), (255, 232, 190), rng)
    c.disc(rng.choice((0.2, 0.5, 0.8)), 0.16, 0.09, (255, 246, 205))
    c.hills(0.66, 0.14, 0.8, (232, 170, 96))
    c.hills(0.8, 0.1, 1.1, (214, 145, 72))
    return c


def _snow(rng: random.Random) -> _Canvas:
    c = _Canvas((176, 200, 226), (226, 236, 248), rng)
    for x in (0.1, 0.34, 0.7, 0.92):
        c.pine(x + rng.uniform(-0.05, 0.05), 0.68, 0.3, (120, 158, 168))
    c.hills(0.7, 0.06, 1, (240, 246, 255))
    c.hills(0.86, 0.05, 1.3, (255, 255, 255))
    c.dots(30, (0, 0, 1, 0.9), 0.008, [(255, 255, 255)])
    return c


def _city(rng: random.Random) -> _Canvas:
    c = _Canvas((140, 178, 222), (236, 214, 200), rng)
    x = 0.0
    while x < 1:
        width, top = rng.uniform(0.1, 0.17), rng.uniform(0.14, 0.46)
        c.box(x, top, x + width, 0.8, rng.choice([(92, 104, 130), (112, 112, 140), (84, 92, 112)]))
        for row in range(5):
            for column in range(2):
                left, y = x + width * (0.2 + 0.36 * column), top + 0.04 + row * 0.07
                c.box(left, y, left + width * 0.22, y + 0.035, (255, 232, 150))
        x += width + 0.015
    c.box(0, 0.78, 1, 1, (96, 98, 104))
    c.box(0, 0.78, 1, 0.8, (180, 180, 180))
    return c


def _underwater(rng: random.Random) -> _Canvas:
    c = _Canvas((60, 176, 222), (8, 62, 132), rng)
    c.hills(0.9, 0.05, 1.2, (196, 180, 128))
    for x in (0.06, 0.16, 0.86, 0.95):
        for step in range(7):
            c.disc(x + 0.015 * math.sin(step + x * 9), 0.92 - step * 0.045, 0.02, (36, 140, 92), 1.6)
    for _ in range(14):
        x, y, r = rng.random(), rng.random() * 0.85, rng.uniform(0.008, 0.018)
        c.disc(x, y, r, (170, 224, 246))
    return c


def _sky(rng: random.Random) -> _Canvas:
    c = _Canvas((64, 150, 240), (180, 222, 255), rng)
    for x, y, size in ((0.2, 0.2, 0.1), (0.75, 0.32, 0.12), (0.35, 0.62, 0.13), (0.85, 0.82, 0.12), (0.12, 0.92, 0.1)):
        c.cloud(x + rng.uniform(-0.06, 0.06), y, size)
    return c


def _space(rng: random.Random) -> _Canvas:
    c = _Canvas((18, 6, 46), (4, 4, 16), rng)
    c.dots(8, (0, 0, 1, 1), 0.11, [(34, 16, 72), (20, 20, 64)])
    c.dots(60, (0, 0, 1, 1), 0.005, [(255, 255, 255), (255, 224, 170), (180, 200, 255)])
    x, y = rng.choice(((0.14, 0.16), (0.86, 0.16), (0.86, 0.84)))
    c.disc(x, y, 0.13, (214, 170, 110), 0.22)
    c.disc(x, y, 0.075, (232, 140, 80))
    return c


def _night(rng: random.Random) -> _Canvas:
    c = _Canvas((14, 22, 62), (44, 62, 116), rng)
    c.dots(30, (0, 0, 1, 0.6), 0.006, [(255, 255, 225)])
    x = rng.choice((0.16, 0.84))
    c.disc(x, 0.16, 0.08, (250, 244, 205))
    c.disc(x + 0.035, 0.145, 0.07, (20, 30, 74))
    c.hills(0.7, 0.1, 1, (24, 46, 54))
    c.hills(0.84, 0.05, 1.4, (16, 32, 38))
    return c


def _sunset(rng: random.Random) -> _Canvas:
    c = _Canvas((96, 54, 130), (255, 168, 84), rng)
    c.disc(rng.choice((0.25, 0.5, 0.75)), 0.6, 0.14, (255, 224, 120))
    c.hills(0.68, 0.06, 0.9, (132, 62, 98))
    c.hills(0.82, 0.06, 1.3, (84, 40, 76))
    return c


def _mountains(rng: random.Random) -> _Canvas:
    c = _Canvas((140, 196, 240), (226, 240, 250), rng)
    for x, top, w in ((0.2, 0.2, 0.34), (0.8, 0.16, 0.36), (0.5, 0.3, 0.32)):
        x += rng.uniform(-0.06, 0.06)
        c.shape([(x - w, 0.8), (x, top), (x + w, 0.8)], (112, 122, 142))
        k = 0.3
        c.shape([(x - w * k, top + (0.8 - top) * k), (x, top), (x + w * k, top + (0.8 - top) * k)], (248, 250, 255))
    c.box(0, 0.78, 1, 1, (104, 152, 84))
    return c


def _room(rng: random.Random) -> _Canvas:
    c = _Canvas((242, 222, 190), (236, 210, 172), rng)
    x = rng.choice((0.1, 0.62))
    c.box(x, 0.12, x + 0.28, 0.42, (255, 255, 255))
    c.box(x + 0.02, 0.14, x + 0.26, 0.4, (160, 214, 246))
    c.box(x + 0.13, 0.12, x + 0.15, 0.42, (255, 255, 255))
    c.box(0, 0.72, 1, 0.75, (250, 250, 245))
    c.box(0, 0.75, 1, 1, (166, 112, 70))
    for y in (0.82, 0.9):
        c.box(0, y, 1, y + 0.006, (136, 88, 52))
    return c


def _street(rng: random.Random) -> _Canvas:
    c = _Canvas((186, 214, 236), (220, 230, 236), rng)
    x, paints = 0.0, [(214, 120, 96), (230, 190, 120), (150, 176, 150), (190, 150, 180)]
    rng.shuffle(paints)
    for paint in paints:
        c.box(x, 0.2, x + 0.25, 0.66, paint)
        c.box(x + 0.05, 0.28, x + 0.11, 0.38, (240, 246, 255))
        c.box(x + 0.14, 0.28, x + 0.2, 0.38, (240, 246, 255))
        c.box(x + 0.09, 0.48, x + 0.16, 0.66, (96, 66, 50))
        x += 0.25
    c.box(0, 0.66, 1, 0.74, (190, 188, 184))
    c.box(0, 0.74, 1, 1, (78, 80, 86))
    for start in (0.02, 0.28, 0.54, 0.8):
        c.box(start, 0.86, start + 0.16, 0.88, (250, 230, 120))
    return c


def _farm(rng: random.Random) -> _Canvas:
    c = _Canvas((150, 206, 246), (226, 242, 252), rng)
    c.hills(0.6, 0.05, 1, (200, 196, 90))
    x = rng.choice((0.08, 0.66))
    c.box(x, 0.36, x + 0.26, 0.66, (190, 44, 40))
    c.shape([(x - 0.03, 0.36), (x + 0.13, 0.22), (x + 0.29, 0.36)], (120, 40, 36))
    c.box(x + 0.08, 0.48, x + 0.18, 0.66, (250, 250, 250))
    c.box(0, 0.64, 1, 1, (156, 186, 70))
    for i in range(9):
        c.box(i / 8 - 0.012, 0.66, i / 8 + 0.012, 0.78, (250, 246, 236))
    for y in (0.69, 0.74):
        c.box(0, y, 1, y + 0.012, (250, 246, 236))
    return c


def _garden(rng: random.Random) -> _Canvas:
    c = _Canvas((180, 226, 250), (230, 246, 236), rng)
    c.box(0, 0.44, 1, 0.7, (54, 130, 62))
    c.dots(26, (0, 0.42, 1, 0.68), 0.04, [(62, 142, 70), (46, 116, 54)])
    c.dots(22, (0, 0.44, 1, 0.66), 0.016, [(250, 90, 110), (255, 200, 60), (210, 120, 240)])
    c.box(0, 0.7, 1, 1, (132, 200, 96))
    c.shape([(0.36, 1), (0.46, 0.7), (0.54, 0.7), (0.64, 1)], (222, 200, 160))
    return c


def _lake(rng: random.Random) -> _Canvas:
    c = _Canvas((150, 204, 240), (216, 236, 246), rng)
    c.hills(0.5, 0.16, 1, (96, 148, 112))
    c.box(0, 0.5, 1, 0.84, (70, 142, 190))
    for _ in range(12):
        x, y = rng.uniform(0, 0.9), rng.uniform(0.53, 0.8)
        c.box(x, y, x + 0.09, y + 0.008, (150, 200, 226))
    c.hills(0.86, 0.03, 1.2, (112, 160, 80))
    return c


def _cave(rng: random.Random) -> _Canvas:
    c = _Canvas((34, 28, 34), (70, 58, 56), rng)
    c.disc(0.5, 0.55, 0.42, (92, 78, 72), 0.9)
    c.disc(0.5, 0.6, 0.3, (122, 104, 92), 0.9)
    for i in range(8):
        x = i / 7 + rng.uniform(-0.03, 0.03)
        c.shape([(x - 0.06, 0), (x + 0.06, 0), (x, rng.uniform(0.12, 0.26))], (46, 38, 42))
    c.hills(0.84, 0.05, 1.5, (58, 48, 48))
    return c


def _stage(rng: random.Random) -> _Canvas:
    c = _Canvas((60, 12, 24), (96, 20, 34), rng)
    lean = rng.choice((-0.1, 0.0, 0.1))
    c.shape([(0.44 + lean, 0), (0.56 + lean, 0), (0.82, 0.84), (0.18, 0.84)], (176, 92, 84))
    for x in (0, 0.06, 0.12, 0.82, 0.88, 0.94):
        c.box(x, 0, x + 0.05, 0.78, (178, 22, 38))
    c.box(0, 0, 1, 0.08, (150, 16, 30))
    c.box(0, 0.78, 1, 1, (150, 98, 58))
    c.disc(0.5, 0.87, 0.34, (206, 150, 96), 0.28)
    return c


def _kitchen(rng: random.Random) -> _Canvas:
    c = _Canvas((236, 244, 244), (222, 236, 236), rng)
    tile: Colour = rng.choice([(190, 224, 220), (216, 222, 190), (204, 210, 236)])
    for row in range(5):
        for column in range(9):
            if (row + column) % 2 == 0:
                c.box(column / 8 - 0.06, 0.2 + row * 0.1, column / 8 + 0.065, 0.3 + row * 0.1, tile)
    for x in (0.02, 0.35, 0.68):
        c.box(x, 0, x + 0.3, 0.18, (206, 150, 96))
        c.disc(x + 0.15, 0.14, 0.012, (90, 60, 40))
    c.box(0, 0.7, 1, 0.76, (120, 124, 130))
    c.box(0, 0.76, 1, 1, (186, 130, 80))
    return c


def _playground(rng: random.Random) -> _Canvas:
    c = _Canvas((166, 216, 250), (224, 242, 254), rng)
    c.box(0, 0.62, 1, 1, (226, 186, 120))
    c.box(0, 0.58, 1, 0.64, (104, 176, 86))
    x = rng.choice((0.06, 0.62))
    c.box(x, 0.3, x + 0.03, 0.66, (230, 60, 60))
    c.shape([(x + 0.03, 0.32), (x + 0.09, 0.32), (x + 0.34, 0.64), (x + 0.27, 0.64)], (60, 120, 230))
    y = 0.98 - x if x > 0.5 else 0.62
    c.shape([(y, 0.64), (y + 0.12, 0.3), (y + 0.15, 0.3), (y + 0.03, 0.64)], (250, 190, 40))
    c.shape([(y + 0.12, 0.3), (y + 0.15, 0.3), (y + 0.27, 0.64), (y + 0.24, 0.64)], (250, 190, 40))
    return c


def _autumn(rng: random.Random) -> _Canvas:
    c = _Canvas((246, 214, 160), (250, 232, 196), rng)
    for x in (0.08, 0.32, 0.66, 0.92):
        x += rng.uniform(-0.05, 0.05)
        c.box(x - 0.015, 0.4, x + 0.015, 0.76, (96, 62, 40))
        c.disc(x, 0.34, 0.15, rng.choice([(226, 110, 34), (206, 70, 30), (240, 160, 40)]), 1.1)
    c.box(0, 0.74, 1, 1, (176, 120, 58))
    c.dots(34, (0, 0.75, 1, 1), 0.013, [(226, 110, 34), (206, 70, 30), (250, 190, 60)])
    return c


def _studio(rng: random.Random) -> _Canvas:
    c = _Canvas((236, 238, 242), (250, 250, 252), rng)
    c.disc(0.5, 0.86, 0.42 + rng.choice((-0.04, 0.0, 0.04)), (226, 228, 234), 0.2)
    return c


_PAINTERS: Mapping[str, Callable[[random.Random], _Canvas]] = {
    "beach": _beach,
    "moon": _moon,
    "forest": _forest,
    "meadow": _meadow,
    "desert": _desert,
    "snow": _snow,
    "city": _city,
    "underwater": _underwater,
    "sky": _sky,
    "space": _space,
    "night": _night,
    "sunset": _sunset,
    "mountains": _mountains,
    "room": _room,
    "street": _street,
    "farm": _farm,
    "garden": _garden,
    "lake": _lake,
    "cave": _cave,
    "stage": _stage,
    "kitchen": _kitchen,
    "playground": _playground,
    "autumn": _autumn,
    "studio": _studio,
}
