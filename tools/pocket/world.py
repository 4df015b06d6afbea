"""The rich world: subjects at any place, size and small angle, with things worn, people, and up to three kinds at once.

Scenes say no more than a caption can; `place` settles the rest from a random stream. Pixels throughout.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from chatdit.tools.pocket.figures import STANDING, random_outfit, random_pose
from chatdit.tools.pocket.scene import (
    MAX_SPRITES,
    MIRRORED,
    PICTURE_PIXELS,
    POSITIONS,
    RELATIONS,
    SPRITE_VARIANTS,
    Placement,
    Position,
    RelationKind,
    Scene,
    Thing,
    Worn,
    check,
    random_style,
)
from chatdit.tools.pocket.vocabulary import (
    ACCESSORIES,
    BACKGROUNDS,
    COUNT_WORDS,
    DRAWABLE,
    PERSON,
    SIZES,
    TINTS,
    Size,
)
from chatdit.tools.pocket.wearing import bounds

SIDES: dict[Size, tuple[int, int]] = {"small": (56, 84), "medium": (96, 136), "large": (160, 208)}
"""Sides of a subject that stands alone; with company it is smaller."""
MAX_ROTATION = 18
_PAIR_SIDES: dict[Size, tuple[int, int]] = {"small": (52, 72), "medium": (84, 116)}
_CROWD_SIDES = {1: (120, 160), 2: (84, 116), 3: (72, 104), 4: (64, 92), 5: (56, 76), 6: (52, 70)}
_UPRIGHT_SHARE = 0.4
_SHRINK, _SMALLEST = 0.97, 0.5
"""Each time that luck does not find room, everything is a little smaller."""
_TRIES = 16


def random_scene(rng: random.Random, subjects: Sequence[str] = DRAWABLE, style: str | None = None) -> Scene:
    """One subject, a pair in relation, a group, two or three kinds, or a person."""
    things, relation = rng.choices(_KINDS, _SHARES)[0](rng, subjects)
    return Scene(things, rng.choice(list(BACKGROUNDS)), style or random_style(rng), relation)


def random_hero(
    rng: random.Random, subjects: Sequence[str] = DRAWABLE, *, dressed: float = 0.35, varied: bool = False
) -> Thing:
    """A subject for a whole set: tinted, wearing something or a person more often than elsewhere.

    `varied` gives it a look that words cannot tell: in half mirrored and no more.
    """
    if rng.random() < 0.12 and not varied:
        return Thing(PERSON, outfit=random_outfit(rng))
    worn = _random_worn(rng, dressed)
    variant = 0
    if varied:
        variant = MIRRORED if rng.random() < 0.5 else rng.randrange(1, SPRITE_VARIANTS)
    return Thing(rng.choice(subjects), tint=_random_tint(rng, 0.3), worn=worn, variant=variant)


def restyled(scene: Scene, rng: random.Random, *, mirrored: float, dressed: float) -> Scene:
    """The scene with a share of its things mirrored, and a share of the bare ones, groups apart, dressed."""
    return replace(scene, things=tuple(_restyled(thing, rng, mirrored, dressed) for thing in scene.things))


def around(rng: random.Random, hero: Thing, background: str, style: str, subjects: Sequence[str] = DRAWABLE) -> Scene:
    """A scene of `hero`: alone in two of three, else beside another subject."""
    if rng.random() < 0.35:
        other = Thing(rng.choice([s for s in subjects if s != hero.subject]))
        return Scene((replace(hero, size="medium"), other), background, style, rng.choice(RELATIONS))
    return Scene((replace(hero, size=rng.choices(SIZES, (0.15, 0.5, 0.35))[0]),), background, style)


def place(scene: Scene, rng: random.Random) -> tuple[Placement, ...]:
    """Where and how each sprite stands, without overlap; whatever the caption leaves open is drawn from `rng`.

    Raises:
        ValueError: the scene is one that `check` refuses.
    """
    faults = check(scene)
    if faults:
        raise ValueError("; ".join(faults))
    shrink = 1.0
    while (placed := _attempt(scene, rng, shrink)) is None:
        shrink = max(_SMALLEST, shrink * _SHRINK)
    return placed


def stand(thing: Thing, rng: random.Random, sides: tuple[int, int]) -> Placement:
    """One sprite of `thing` with a size in `sides` and an angle, in the picture's top left corner."""
    rotation = 0 if rng.random() < _UPRIGHT_SHARE else rng.randint(-MAX_ROTATION, MAX_ROTATION)
    pose = random_pose(rng) if thing.subject == PERSON else ()
    return Placement(
        thing.subject,
        thing.tint,
        0,
        0,
        rng.randint(*sides),
        rotation if thing.subject != PERSON else rotation // 3,
        thing.variant,
        thing.worn,
        thing.outfit,
        pose,
    )


def fits_in(rng: random.Random, sprite: Placement, others: Sequence[Placement]) -> Placement | None:
    """The sprite moved to a free place in the picture where its box meets none of `others`, if luck finds one."""
    return _free_spot(rng, sprite, [bounds(other) for other in others], None)


def presented(sprite: Placement) -> Placement:
    """The sprite as a reference shows it: upright in the middle, a person standing."""
    pose = STANDING if sprite.subject == PERSON else ()
    upright = replace(sprite, left=0, top=0, rotation=0, pose=pose)
    left, top, right, bottom = bounds(upright)
    return replace(upright, left=(PICTURE_PIXELS - left - right) // 2, top=(PICTURE_PIXELS - top - bottom) // 2)


def touch(a: Placement, b: Placement) -> bool:
    """Whether the boxes around two sprites and what they wear share a pixel."""
    return _meet(bounds(a), bounds(b))


_Box = tuple[int, int, int, int]


def _meet(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _attempt(scene: Scene, rng: random.Random, shrink: float) -> tuple[Placement, ...] | None:
    total = sum(thing.count for thing in scene.things)
    placed: list[Placement] = []
    boxes: list[_Box] = []
    for thing in scene.things:
        low, high = _sides(thing, total, scene)
        for _ in range(thing.count):
            sprite = stand(thing, rng, (round(low * shrink), round(high * shrink)))
            relation = (placed[0], scene.relation) if placed and scene.relation else None
            moved = _free_spot(rng, sprite, boxes, thing.position, relation)
            if moved is None:
                return None
            placed.append(moved)
            boxes.append(bounds(moved))
    return tuple(placed)


def _free_spot(
    rng: random.Random,
    sprite: Placement,
    taken: Sequence[_Box],
    position: Position | None,
    relation: tuple[Placement, RelationKind] | None = None,
) -> Placement | None:
    """The sprite where the caption says, clear of the boxes `taken`; None if it is too large or luck fails."""
    left, top, right, bottom = bounds(sprite)
    across, down = PICTURE_PIXELS - (right - left), PICTURE_PIXELS - (bottom - top)
    if across < 0 or down < 0:
        return None
    for _ in range(_TRIES):
        x = round(across * _share(rng, position, "left", "right"))
        y = round(down * _share(rng, position, "top", "bottom"))
        box = (x, y, x + right - left, y + bottom - top)
        if any(_meet(box, other) for other in taken):
            continue
        moved = replace(sprite, left=sprite.left + x - left, top=sprite.top + y - top)
        if relation is None or _related(relation[0], moved, relation[1]):
            return moved
    return None


def _sides(thing: Thing, total: int, scene: Scene) -> tuple[int, int]:
    if scene.relation is not None or (len(scene.things) == 2 and total == 2):
        return _PAIR_SIDES["small" if thing.size == "small" else "medium"]
    return SIDES[thing.size] if total == 1 else _CROWD_SIDES[total]


def _share(rng: random.Random, position: str | None, low: str, high: str) -> float:
    if position == "middle":
        return rng.uniform(0.4, 0.6)
    return rng.uniform(0, 0.2) if position == low else rng.uniform(0.8, 1) if position == high else rng.random()


def _related(first: Placement, second: Placement, relation: RelationKind) -> bool:
    """Clearly so: along the relation's axis the sprites lie apart, across it they overlap by half."""
    x, y = second.centre[0] - first.centre[0], second.centre[1] - first.centre[1]
    along, aside = {"left of": (x, y), "right of": (-x, y), "above": (y, x), "below": (-y, x)}[relation]
    return along > 0 and abs(aside) < 0.5 * along


def _single(rng: random.Random, subjects: Sequence[str]) -> tuple[tuple[Thing, ...], None]:
    size = rng.choices(SIZES, (0.25, 0.4, 0.35))[0]
    position = rng.choice(POSITIONS if size != "large" else ("left", "right", "middle")) if rng.random() < 0.3 else None
    return (replace(_dressed(rng, rng.choice(subjects), 0.25), size=size, position=position),), None


def _pair(rng: random.Random, subjects: Sequence[str]) -> tuple[tuple[Thing, ...], RelationKind]:
    names = rng.sample(subjects, 2)
    sizes = [rng.choices(SIZES[:2], (0.25, 0.75))[0] for _ in names]
    things = (replace(_dressed(rng, n, 0.12), size=s) for n, s in zip(names, sizes, strict=True))
    return tuple(things), rng.choices(RELATIONS, (0.3, 0.3, 0.2, 0.2))[0]


def _group(rng: random.Random, subjects: Sequence[str]) -> tuple[tuple[Thing, ...], None]:
    return (Thing(rng.choice(subjects), rng.choice(list(COUNT_WORDS)), tint=_random_tint(rng)),), None


def _kinds(rng: random.Random, subjects: Sequence[str]) -> tuple[tuple[Thing, ...], None]:
    """Two or three different subjects with counts, six sprites at most."""
    names = rng.sample(subjects, rng.choice((2, 3, 3)))
    counts = [1] * len(names)
    for _ in range(rng.randint(0, MAX_SPRITES - len(names))):
        counts[rng.randrange(len(names))] += 1
    counts = [min(count, max(COUNT_WORDS)) for count in counts]
    return tuple(Thing(n, c, tint=_random_tint(rng, 0.1)) for n, c in zip(names, counts, strict=True)), None


def _person(rng: random.Random, subjects: Sequence[str]) -> tuple[tuple[Thing, ...], RelationKind | None]:
    person = Thing(PERSON, outfit=random_outfit(rng), size=rng.choice(SIZES[1:]), worn=_random_worn(rng, 0.1))
    if rng.random() < 0.7:
        return (person,), None
    return (replace(person, size="medium"), Thing(rng.choice(subjects))), rng.choice(RELATIONS[:2])


_KINDS = (_single, _pair, _group, _kinds, _person)
_SHARES = (0.36, 0.22, 0.14, 0.2, 0.08)
"""Of scenes; crowds are the hardest, and show more sprites for a step of training."""


def _dressed(rng: random.Random, name: str, share: float) -> Thing:
    return Thing(name, tint=_random_tint(rng), worn=_random_worn(rng, share))


def _restyled(thing: Thing, rng: random.Random, mirrored: float, dressed: float) -> Thing:
    if thing.subject == PERSON:
        return thing
    worn = _random_worn(rng, dressed) if thing.worn is None and thing.count == 1 else thing.worn
    return replace(thing, worn=worn, variant=MIRRORED if rng.random() < mirrored else thing.variant)


def _random_tint(rng: random.Random, share: float = 0.2) -> str | None:
    return rng.choice(list(TINTS)) if rng.random() < share else None


def _random_worn(rng: random.Random, share: float) -> Worn | None:
    return Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS))) if rng.random() < share else None
