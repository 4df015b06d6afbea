"""Scenes of the pocket world as data: what stands in a picture, and where each sprite of it is.

Pixels count from the top left corner of a picture of 256 x 256, x to the right and y down.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from chatdit.tools.pocket.vocabulary import (
    ACCESSORIES,
    BACKGROUNDS,
    BOTTOMS,
    COUNT_WORDS,
    GARMENT_TEXTURES,
    PERSON,
    STYLES,
    SUBJECTS,
    TINTS,
    TOPS,
    Size,
)

PICTURE_PIXELS = 256
MAX_PANELS = 4
SPRITE_VARIANTS = 12
MIRRORED = 1
"""The variant that differs in nothing else."""
"""A sprite as it is (0), mirrored (odd), and both with its colour channels exchanged."""
MAX_SPRITES = 6
NAMELESS = "subject"
SKINS, HAIRS = 4, 4

Position = Literal["left", "right", "top", "bottom", "middle"]
POSITIONS: tuple[Position, ...] = get_args(Position)
RelationKind = Literal["left of", "right of", "above", "below"]
RELATIONS: tuple[RelationKind, ...] = get_args(RelationKind)


@dataclass(frozen=True)
class Worn:
    """An accessory and its colour, one of `TINTS`."""

    kind: str
    colour: str


@dataclass(frozen=True)
class Garment:
    """What a person wears above or below: kind, texture and colour."""

    kind: str
    texture: str
    colour: str


@dataclass(frozen=True)
class Outfit:
    """How a person looks, in every pose."""

    top: Garment
    bottom: Garment
    skin: int
    hair: int


@dataclass(frozen=True)
class Thing:
    """One subject of a scene, or several alike."""

    subject: str
    count: int = 1
    size: Size = "medium"
    tint: str | None = None
    position: Position | None = None
    variant: int = 0
    """Which of the sprite's `SPRITE_VARIANTS` looks; no caption names it."""
    worn: Worn | None = None
    outfit: Outfit | None = None
    """Of a person, and of nobody else."""


@dataclass(frozen=True)
class Scene:
    """Up to three things over a background; two things may stand in a relation, first to second."""

    things: tuple[Thing, ...]
    background: str
    style: str = "plain"
    relation: RelationKind | None = None
    view: int | None = None
    """Which painting of the background; None leaves it to chance."""


@dataclass(frozen=True)
class Placement:
    """One sprite in a picture: whose, how it looks, and its square before it is turned.

    `rotation` is in whole degrees, counterclockwise about the square's middle. `pose` are the joint
    angles of a person, in degrees.
    """

    subject: str
    tint: str | None
    left: int
    top: int
    side: int
    rotation: int = 0
    variant: int = 0
    worn: Worn | None = None
    outfit: Outfit | None = None
    pose: tuple[int, ...] = ()

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the square, x and y in pixels."""
        return self.left + self.side / 2, self.top + self.side / 2

    @property
    def identity(self) -> int:
        """A number that two sprites share exactly when they show the same one, wherever and however it stands."""
        code = SUBJECTS[self.subject].index if self.subject != PERSON else len(SUBJECTS)
        code = code * (len(TINTS) + 1) + _rank(TINTS, self.tint)
        code = code * SPRITE_VARIANTS + self.variant
        code = code * (len(ACCESSORIES) + 1) + _rank(ACCESSORIES, self.worn.kind if self.worn else None)
        code = code * (len(TINTS) + 1) + _rank(TINTS, self.worn.colour if self.worn else None)
        return code * _OUTFITS + (0 if self.outfit is None else outfit_number(self.outfit))


def garment_number(garment: Garment, kinds: Sequence[str]) -> int:
    """A number of its own for every garment of `kinds`, from 0."""
    number = kinds.index(garment.kind) * len(GARMENT_TEXTURES) + GARMENT_TEXTURES.index(garment.texture)
    return number * len(TINTS) + list(TINTS).index(garment.colour)


def outfit_number(outfit: Outfit) -> int:
    """A number of its own for every outfit, from 0."""
    number = garment_number(outfit.top, TOPS) * _GARMENTS + garment_number(outfit.bottom, BOTTOMS)
    return (number * SKINS + outfit.skin) * HAIRS + outfit.hair


def check(scene: Scene) -> list[str]:
    """What cannot stand in this world, in words; empty when all can."""
    faults = [f"no background called {scene.background!r}"] if scene.background not in BACKGROUNDS else []
    if scene.style not in STYLES:
        faults.append(f"no style called {scene.style!r}")
    if not 1 <= len(scene.things) <= 3:
        faults.append(f"a picture holds one to three different subjects, not {len(scene.things)}")
    total = sum(thing.count for thing in scene.things)
    if total > MAX_SPRITES:
        faults.append(f"{total} subjects: expected at most {MAX_SPRITES}")
    if scene.relation is not None and (len(scene.things) != 2 or total != 2):
        faults.append(f"{scene.relation!r} needs two subjects, one of each")
    for thing in scene.things:
        faults += _check_thing(thing)
    return faults


def nameless(scene: Scene) -> Scene:
    """The scene with its first subject called just "subject", and nothing said of how it looks."""
    hidden = replace(scene.things[0], subject=NAMELESS, tint=None, worn=None, outfit=None)
    return replace(scene, things=(hidden, *scene.things[1:]))


def random_style(rng: random.Random) -> str:
    """Plain in half, else any other style."""
    return "plain" if rng.random() < 0.5 else rng.choice([s for s in STYLES if s != "plain"])


def _check_thing(thing: Thing) -> list[str]:
    faults = []
    if thing.subject not in SUBJECTS and thing.subject not in (NAMELESS, PERSON):
        faults.append(f"no subject called {thing.subject!r}")
    if thing.tint is not None and thing.tint not in TINTS:
        faults.append(f"no tint called {thing.tint!r}")
    if not 1 <= thing.count <= max(COUNT_WORDS):
        faults.append(f"{thing.count} {thing.subject}: a group has at most {max(COUNT_WORDS)}")
    if thing.subject == PERSON and thing.outfit is None:
        faults.append("a person needs an outfit")
    return faults


def _rank(names: Iterable[str], name: str | None) -> int:
    return 0 if name is None else 1 + list(names).index(name)


_GARMENTS = max(len(TOPS), len(BOTTOMS)) * len(GARMENT_TEXTURES) * len(TINTS)
_OUTFITS = _GARMENTS**2 * SKINS * HAIRS
