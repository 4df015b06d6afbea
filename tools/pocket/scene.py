"""Scenes of the pocket world as data, drawn at random or written by a planner.

Grid legend: a picture is 256 x 256 pixels, 8 x 8 cells of 32 pixels; every sprite stands on cells.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from chatdit.tools.pocket.vocabulary import (
    BACKGROUNDS,
    DRAWABLE,
    SIZES,
    STYLES,
    SUBJECTS,
    TINTS,
    Size,
)

CELL_PIXELS = 32
CELLS = 8
PICTURE_PIXELS = CELL_PIXELS * CELLS
MAX_PANELS = 4
SPRITE_VARIANTS = 12
"""A sprite as it is (0), mirrored (odd), and both with its colour channels exchanged."""
SIZE_CELLS: dict[Size, int] = {"small": 3, "medium": 4, "large": 6}
NAMELESS = "subject"

Position = Literal["left", "right", "top", "bottom", "middle"]
POSITIONS: tuple[Position, ...] = get_args(Position)
RelationKind = Literal["left of", "right of", "above", "below"]
RELATIONS: tuple[RelationKind, ...] = get_args(RelationKind)


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


@dataclass(frozen=True)
class Scene:
    """One or two things over a background; two things stand in a relation, first to second."""

    things: tuple[Thing, ...]
    background: str
    style: str = "plain"
    relation: RelationKind | None = None


@dataclass(frozen=True)
class Placement:
    """One sprite on the grid: subject, tint, side length and top-left corner in cells, and its look."""

    subject: str
    tint: str | None
    cells: int
    row: int
    column: int
    variant: int = 0


def check(scene: Scene) -> list[str]:
    """What the painter cannot draw of `scene`, in words; empty when it can."""
    faults = [f"no background called {scene.background!r}"] if scene.background not in BACKGROUNDS else []
    if scene.style not in STYLES:
        faults.append(f"no style called {scene.style!r}")
    if not 1 <= len(scene.things) <= 2:
        faults.append(f"a picture holds one or two different subjects, not {len(scene.things)}")
    for thing in scene.things:
        faults += _check_thing(thing, alone=len(scene.things) == 1)
    if len(scene.things) == 2 and scene.relation is None:
        faults.append("two subjects need a relation: left of, right of, above or below")
    if len(scene.things) != 2 and scene.relation is not None:
        faults.append(f"{scene.relation!r} needs two subjects")
    return faults


def place(scene: Scene, rng: random.Random) -> tuple[Placement, ...]:
    """Where each sprite stands; whatever the caption leaves open is drawn from `rng`.

    Raises:
        ValueError: the scene is one that `check` refuses.
    """
    faults = check(scene)
    if faults:
        raise ValueError("; ".join(faults))
    if len(scene.things) == 2:
        return _place_pair(scene, rng)
    thing = scene.things[0]
    if thing.count == 1:
        return (_place_alone(thing, rng),)
    return _place_group(thing, rng)


def random_scene(rng: random.Random, subjects: Sequence[str] = DRAWABLE, style: str | None = None) -> Scene:
    """A scene of the training distribution: one subject, a pair in relation, or a group."""
    background = rng.choice(list(BACKGROUNDS))
    style = style or random_style(rng)
    kind = rng.random()
    if kind < 0.5:
        size = rng.choices(SIZES, (0.2, 0.4, 0.4))[0]
        position = rng.choice(_positions_for(size)) if rng.random() < 0.3 else None
        return Scene((Thing(rng.choice(subjects), 1, size, _random_tint(rng), position),), background, style)
    if kind < 0.85:
        first, second = rng.sample(subjects, 2)
        sizes: list[Size] = [rng.choices(SIZES[:2], (0.25, 0.75))[0] for _ in range(2)]
        things = tuple(
            Thing(name, 1, size, _random_tint(rng)) for name, size in zip((first, second), sizes, strict=True)
        )
        return Scene(things, background, style, rng.choices(RELATIONS, (0.3, 0.3, 0.2, 0.2))[0])
    count = rng.choice((2, 2, 3, 4))
    return Scene((Thing(rng.choice(subjects), count, "medium", _random_tint(rng)),), background, style)


def random_set(
    rng: random.Random, panels: int, subjects: Sequence[str] = DRAWABLE, *, varied: bool = False
) -> tuple[Scene, ...]:
    """Scenes that share one identity (subject and tint) and mostly one style, in different places.

    `varied` gives the shared subject a look of its own, which words cannot tell.
    """
    hero = Thing(rng.choice(subjects), tint=_random_tint(rng, share=0.35))
    if varied:
        hero = replace(hero, variant=rng.randrange(1, SPRITE_VARIANTS))
    style = random_style(rng)
    backgrounds = rng.sample(list(BACKGROUNDS), panels)
    if rng.random() < 0.25:
        backgrounds = [backgrounds[0]] * panels
    return tuple(_with_hero(hero, background, style, rng, subjects) for background in backgrounds)


def crowd(rng: random.Random, subjects: Sequence[str], tries: int = 10) -> tuple[Placement, ...]:
    """Sprites of different subjects packed anywhere on the grid without overlap: food for a recogniser."""
    placed: list[Placement] = []
    for name in rng.sample(subjects, tries):
        cells = rng.choices(list(SIZE_CELLS.values()), (0.45, 0.35, 0.2))[0]
        row, column = rng.randint(0, CELLS - cells), rng.randint(0, CELLS - cells)
        candidate = Placement(name, _random_tint(rng, share=0.3), cells, row, column)
        if not any(overlaps(candidate, other) for other in placed):
            placed.append(candidate)
    return tuple(placed)


def overlaps(a: Placement, b: Placement) -> bool:
    """Whether two sprites share a cell."""
    return (
        a.row < b.row + b.cells
        and b.row < a.row + a.cells
        and a.column < b.column + b.cells
        and b.column < a.column + a.cells
    )


def nameless(scene: Scene) -> Scene:
    """The scene with its first subject called just "subject" and without its tint's name."""
    return replace(scene, things=(replace(scene.things[0], subject=NAMELESS, tint=None), *scene.things[1:]))


def random_style(rng: random.Random) -> str:
    """Plain in two of three, else any other style."""
    return "plain" if rng.random() < 0.66 else rng.choice([s for s in STYLES if s != "plain"])


def _with_hero(hero: Thing, background: str, style: str, rng: random.Random, subjects: Sequence[str]) -> Scene:
    if rng.random() < 0.35:
        other = rng.choice([s for s in subjects if s != hero.subject])
        return Scene((hero, Thing(other)), background, style, rng.choice(RELATIONS))
    size = rng.choices(SIZES, (0.15, 0.5, 0.35))[0]
    return Scene((replace(hero, size=size),), background, style)


def _random_tint(rng: random.Random, share: float = 0.2) -> str | None:
    return rng.choice(list(TINTS)) if rng.random() < share else None


def _positions_for(size: Size) -> tuple[Position, ...]:
    return POSITIONS if size != "large" else ("left", "right", "middle")


def _check_thing(thing: Thing, *, alone: bool) -> list[str]:
    faults = []
    if thing.subject != NAMELESS and thing.subject not in SUBJECTS:
        faults.append(f"no subject called {thing.subject!r}")
    if thing.tint is not None and thing.tint not in TINTS:
        faults.append(f"no tint called {thing.tint!r}")
    if not 1 <= thing.count <= 4:
        faults.append(f"{thing.count} {thing.subject}: a group has at most 4")
    if thing.count > 1 and not alone:
        faults.append("a group stands alone in its picture")
    if thing.count > 1 and (thing.size != "medium" or thing.position is not None):
        faults.append("a group has no size or position of its own")
    if not alone and thing.size == "large":
        faults.append("a large subject stands alone in its picture")
    if not alone and thing.position is not None:
        faults.append("with two subjects say their relation, not a position")
    return faults


def _place_alone(thing: Thing, rng: random.Random) -> Placement:
    cells = SIZE_CELLS[thing.size]
    free = CELLS - cells
    column = rng.randint(0, free)
    row = max(0, free - rng.randint(0, 1))
    if thing.position == "left":
        column = 0
    elif thing.position == "right":
        column = free
    elif thing.position == "middle":
        row, column = free // 2, (free + rng.randint(0, 1)) // 2
    elif thing.position == "top":
        row = 0
    elif thing.position == "bottom":
        row = free
    return _standing(thing, cells, row, column)


def _place_pair(scene: Scene, rng: random.Random) -> tuple[Placement, ...]:
    first, second = scene.things
    half = CELLS // 2
    a, b = SIZE_CELLS[first.size], SIZE_CELLS[second.size]
    if scene.relation in ("left of", "right of"):
        ground = CELLS - rng.randint(0, 1)
        near, far = (first, second) if scene.relation == "left of" else (second, first)
        n, f = SIZE_CELLS[near.size], SIZE_CELLS[far.size]
        near_at = _standing(near, n, ground - n, rng.randint(0, half - n))
        far_at = _standing(far, f, ground - f, half + rng.randint(0, half - f))
        return (near_at, far_at) if near is first else (far_at, near_at)
    column = rng.randint(0, CELLS - max(a, b))
    upper, lower = (first, second) if scene.relation == "above" else (second, first)
    u, low = SIZE_CELLS[upper.size], SIZE_CELLS[lower.size]
    upper_at = _standing(upper, u, rng.randint(0, half - u), column)
    lower_at = _standing(lower, low, half + rng.randint(0, half - low), column)
    return (upper_at, lower_at) if upper is first else (lower_at, upper_at)


def _standing(thing: Thing, cells: int, row: int, column: int) -> Placement:
    return Placement(thing.subject, thing.tint, cells, row, column, thing.variant)


def _place_group(thing: Thing, rng: random.Random) -> tuple[Placement, ...]:
    small, medium = SIZE_CELLS["small"], SIZE_CELLS["medium"]
    shift = rng.randint(0, 1)
    if thing.count == 2:
        spots = [(CELLS - medium - shift, 0), (CELLS - medium - shift, 4)]
        return tuple(_standing(thing, medium, r, c) for r, c in spots)
    bottom = [(4 + shift, 0 + shift), (4 + shift, 4 + shift)]
    top = [(0 + shift, 2 + shift)] if thing.count == 3 else [(0 + shift, 0 + shift), (0 + shift, 4 + shift)]
    return tuple(_standing(thing, small, r, c) for r, c in top + bottom)
