"""What the pocket benchmark asks for: scenes, sets and edits, drawn from a random stream.

Layout legend: H and W 256 pixels; given pictures are float (3, H, W) in [-1, 1].
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import Tensor

from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.edits import random_edit
from chatdit.tools.pocket.figures import random_outfit
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import (
    MAX_PANELS,
    MAX_SPRITES,
    MIRRORED,
    RELATIONS,
    Placement,
    Scene,
    Thing,
    Worn,
    nameless,
)
from chatdit.tools.pocket.vocabulary import (
    ACCESSORIES,
    BACKGROUNDS,
    COUNT_WORDS,
    DRAWABLE,
    PERSON,
    SIZES,
    TINTS,
)

Look = Literal["bare", "tint", "worn", "mirrored"]
LOOKS: tuple[Look, ...] = get_args(Look)
"""What tells one hero from others of its kind. No word tells a mirrored one, so that a panel of it is always given."""
_KINDS = 3


@dataclass(frozen=True, eq=False)
class Ask:
    """One row to draw: what each panel should show and its own caption."""

    scenes: tuple[Scene, ...]
    captions: tuple[str, ...]
    given: Tensor | None = None
    """The first panel, where it is given and only the others are to be drawn."""
    stood: tuple[tuple[Placement, ...], ...] | None = None
    """Where the sprites of each panel should stand, if that is asked for."""

    @property
    def caption(self) -> str:
        """The caption of the whole row."""
        return joint_caption(self.captions)


def ask(scenes: Sequence[Scene], *, named: bool = True) -> Ask:
    """A row of `scenes`, whose captions do not tell the first subject of each unless `named`."""
    return Ask(tuple(scenes), tuple(caption(s if named else nameless(s)) for s in scenes))


def rows_of_one(asks: Sequence[Ask]) -> list[Ask]:
    """Every panel of `asks` as a row of its own with nothing given: what does not come from the company."""
    return [Ask((s,), (text,)) for one in asks for s, text in zip(one.scenes, one.captions, strict=True)]


def single_scenes(count: int, rng: random.Random) -> list[Scene]:
    """One subject, as often in each size."""
    return [Scene((Thing(rng.choice(DRAWABLE), size=SIZES[i % 3]),), _place(rng)) for i in range(count)]


def pair_scenes(count: int, rng: random.Random) -> list[Scene]:
    """Two subjects, as often in each relation."""
    scenes = []
    for i in range(count):
        first, second = rng.sample(DRAWABLE, 2)
        scenes.append(Scene((Thing(first), Thing(second)), _place(rng), relation=RELATIONS[i % 4]))
    return scenes


def tinted_scenes(count: int, rng: random.Random) -> list[Scene]:
    """One subject with a tint."""
    return [replace(s, things=(replace(s.things[0], tint=rng.choice(list(TINTS))),)) for s in single_scenes(count, rng)]


def dressed_scenes(count: int, rng: random.Random) -> list[Scene]:
    """One subject that wears something."""
    return [replace(s, things=(replace(s.things[0], worn=_worn(rng)),)) for s in single_scenes(count, rng)]


def group_scenes(count: int, rng: random.Random) -> list[Scene]:
    """Two to four of one kind."""
    return [Scene((Thing(rng.choice(DRAWABLE), 2 + i % 3),), _place(rng)) for i in range(count)]


def kinds_scenes(count: int, rng: random.Random) -> list[Scene]:
    """Three kinds, of at least one of which there are several."""
    scenes = []
    for _ in range(count):
        counts = [1] * _KINDS
        for _ in range(rng.randint(1, MAX_SPRITES - _KINDS)):
            counts[rng.randrange(_KINDS)] += 1
        assert max(counts) <= max(COUNT_WORDS)
        things = (Thing(name, n) for name, n in zip(rng.sample(DRAWABLE, _KINDS), counts, strict=True))
        scenes.append(Scene(tuple(things), _place(rng)))
    return scenes


def hero_scenes(count: int, rng: random.Random) -> list[Scene]:
    """One subject or a person, often tinted or wearing something, as often in each size."""
    return [Scene((replace(world.random_hero(rng), size=SIZES[i % 3]),), _place(rng)) for i in range(count)]


def mixed_scenes(count: int, rng: random.Random) -> list[Scene]:
    """Heroes, pairs, three kinds and groups, a quarter each."""
    parts = (hero_scenes, pair_scenes, kinds_scenes, group_scenes)
    return [scene for draw in parts for scene in draw(max(1, count // len(parts)), rng)]


def person_scenes(count: int, rng: random.Random) -> list[Scene]:
    """One person."""
    return [Scene((Thing(PERSON, outfit=random_outfit(rng)),), _place(rng)) for _ in range(count)]


def same_hero(count: int, rng: random.Random, subjects: Sequence[str] | None = None) -> tuple[Scene, ...]:
    """One subject alone in `count` places."""
    hero = Thing(rng.choice(subjects or DRAWABLE))
    return tuple(Scene((hero,), place) for place in rng.sample(list(BACKGROUNDS), count))


def identity_sets(count: int, rng: random.Random, renderer: Renderer) -> dict[Look, list[Ask]]:
    """Sets of four around one hero, as many of each look; of a mirrored one the first panel is given."""
    sets: dict[Look, list[Ask]] = {look: [] for look in LOOKS}
    for i in range(count):
        look = LOOKS[i % len(LOOKS)]
        scenes = _around(rng, _with_look(Thing(rng.choice(DRAWABLE)), look, rng), MAX_PANELS)
        sets[look].append(ask(scenes, named=look != "mirrored"))
    sets["mirrored"] = [_given(one, rng, renderer, presented=False) for one in sets["mirrored"]]
    return sets


def context_sets(count: int, rng: random.Random, renderer: Renderer, subjects: Sequence[str], panels: int) -> list[Ask]:
    """Sets of a hero that no word names and whose first panel is given, by turns one of the set and a reference."""
    found = []
    for i in range(count):
        hero, presented = _hero(rng, subjects), i % 2 == 1
        scenes = _around(rng, hero, panels)
        if presented:
            scenes[0] = Scene((replace(hero, size="large"),), "studio")
        found.append(_given(ask(scenes, named=False), rng, renderer, presented=presented))
    return found


def edit_asks(count: int, rng: random.Random, renderer: Renderer) -> list[Ask]:
    """A given panel and an instruction, which leaves whatever it does not name where it is."""
    asks = []
    for _ in range(count):
        edit = random_edit(rng)
        given = renderer.pictures_of(edit.scenes[:1], edit.placements[:1], rng)[0]
        asks.append(Ask(edit.scenes, (caption(edit.scenes[0]), edit.instruction), given, edit.placements))
    return asks


def _with_look(hero: Thing, look: Look, rng: random.Random) -> Thing:
    if look == "tint":
        return replace(hero, tint=rng.choice(list(TINTS)))
    if look == "worn":
        return replace(hero, worn=_worn(rng))
    return replace(hero, variant=MIRRORED if look == "mirrored" else 0)


def _hero(rng: random.Random, subjects: Sequence[str]) -> Thing:
    """No person, since no reader tells one outfit from another."""
    while (hero := world.random_hero(rng, subjects)).subject == PERSON:
        pass
    return hero


def _around(rng: random.Random, hero: Thing, panels: int) -> list[Scene]:
    places = rng.sample(list(BACKGROUNDS), panels)
    return [world.around(rng, hero, place, "plain", DRAWABLE) for place in places]


def _given(one: Ask, rng: random.Random, renderer: Renderer, *, presented: bool) -> Ask:
    placed = world.place(one.scenes[0], rng)
    if presented:
        placed = (world.presented(placed[0]),)
    return replace(one, given=renderer.pictures_of(one.scenes[:1], [placed], rng)[0])


def _worn(rng: random.Random) -> Worn:
    return Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS)))


def _place(rng: random.Random) -> str:
    return rng.choice(list(BACKGROUNDS))
