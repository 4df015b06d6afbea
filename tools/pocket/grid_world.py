"""The world that the shipped weights and recogniser know: every sprite upright on a grid of 8 x 8 cells.

The richer one is `free_world`; this module goes when weights trained on that one ship.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from chatdit.tools.pocket.scene import (
    PICTURE_PIXELS,
    POSITIONS,
    RELATIONS,
    SPRITE_VARIANTS,
    Placement,
    Position,
    Scene,
    Thing,
    check,
    overlaps,
    random_style,
)
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, SIZES, TINTS, Size

CELLS = 8
CELL_PIXELS = PICTURE_PIXELS // CELLS
SIZE_CELLS: dict[Size, int] = {"small": 3, "medium": 4, "large": 6}


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
        tint = _random_tint(rng, share=0.3)
        candidate = _standing(Thing(name, tint=tint), cells, row, column)
        if not any(overlaps(candidate, other) for other in placed):
            placed.append(candidate)
    return tuple(placed)


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
    left, top, side = column * CELL_PIXELS, row * CELL_PIXELS, cells * CELL_PIXELS
    return Placement(thing.subject, thing.tint, left, top, side, variant=thing.variant)


def _place_group(thing: Thing, rng: random.Random) -> tuple[Placement, ...]:
    small, medium = SIZE_CELLS["small"], SIZE_CELLS["medium"]
    shift = rng.randint(0, 1)
    if thing.count == 2:
        spots = [(CELLS - medium - shift, 0), (CELLS - medium - shift, 4)]
        return tuple(_standing(thing, medium, r, c) for r, c in spots)
    bottom = [(4 + shift, 0 + shift), (4 + shift, 4 + shift)]
    top = [(0 + shift, 2 + shift)] if thing.count == 3 else [(0 + shift, 0 + shift), (0 + shift, 4 + shift)]
    return tuple(_standing(thing, small, r, c) for r, c in top + bottom)
