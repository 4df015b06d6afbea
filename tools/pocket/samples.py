"""What one row of training shows: panels that belong together, their caption, and which of them are given.

Kinds: one picture; a set around one identity; a reference (the identity plain, then elsewhere); an edit (before
and after).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import joint_caption, loose_caption
from chatdit.tools.pocket.edits import random_edit
from chatdit.tools.pocket.scene import MIRRORED, Placement, Scene, nameless, random_style
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, PERSON, STYLES

Kind = Literal["single", "set", "reference", "edit"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TOLD_PANELS = 0.85
"""Of the panels of a set whose caption tells where sprites stand: of how many it does."""
Given = Literal["any", "some", "first"]
"""Which panels are given: some or none at chance, some for certain, or the first and no other."""
GIVENS: tuple[Given, ...] = get_args(Given)


@dataclass(frozen=True)
class Sample:
    """Panels as scenes with placements, side by side in time or on a canvas."""

    kind: Kind
    scenes: tuple[Scene, ...]
    placements: tuple[tuple[Placement, ...], ...]
    caption: str
    given: Given = "any"


@dataclass(frozen=True)
class Wishes:
    """What is drawn: the subjects, whether every style comes as often as the others, and how sets divide."""

    subjects: Sequence[str] = DRAWABLE
    even_styles: bool = False
    references: float = 0.25
    """Of sets: how many start from a reference."""
    edits: float = 0.3
    """Of pairs: how many are edits."""
    nameless: float = 0.5
    """Of sets and references: how many never name what they share."""
    varied: float = 0.5
    """Of those: how many show a look that no word could tell, and so always need a given panel."""
    turned: float = 0.15
    """Of the others, which name what they share: how many show it mirrored, and so need a given panel too."""
    mirrored: float = 0.0
    """Of the things in single pictures: how many are mirrored, which nothing tells; for who reads pictures."""
    dressed: float = 0.15
    """Of the bare things in single pictures, groups apart: how many wear something all the same."""
    heroes_dressed: float = 0.5
    """Of what sets share: how many wear something."""
    spots: float = 0.85
    """Of captions: how many tell where the sprites stand."""


def random_sample(rng: random.Random, panels: int, wishes: Wishes = Wishes()) -> Sample:
    """A sample of `panels` panels of the training distribution."""
    if panels == 1:
        scene = world.random_scene(rng, wishes.subjects, _style(rng, wishes))
        scene = world.restyled(scene, rng, mirrored=wishes.mirrored, dressed=wishes.dressed)
        placed = world.place(scene, rng)
        spots = placed if rng.random() < wishes.spots else ()
        return Sample("single", (scene,), (placed,), loose_caption(scene, rng, spots))
    if panels == 2 and rng.random() < wishes.edits:
        edit = random_edit(rng, wishes.subjects, wishes.spots)
        return Sample("edit", edit.scenes, edit.placements, edit.caption, "first")
    return _set(rng, panels, wishes, reference=rng.random() < wishes.references)


def _set(rng: random.Random, panels: int, wishes: Wishes, *, reference: bool) -> Sample:
    hidden = rng.random() < wishes.nameless
    varied = hidden and rng.random() < wishes.varied
    hero = world.random_hero(rng, wishes.subjects, dressed=wishes.heroes_dressed, varied=varied)
    if not hidden and hero.subject != PERSON and rng.random() < wishes.turned:
        hero = replace(hero, variant=MIRRORED)
    style = random_style(rng)
    places = rng.sample(list(BACKGROUNDS), panels)
    if rng.random() < 0.25:
        places = [places[0]] * panels
    scenes = [world.around(rng, hero, place, style, wishes.subjects) for place in places]
    if reference:
        scenes[0] = Scene((replace(hero, size="large"),), "studio", style)
    placements = [world.place(scene, rng) for scene in scenes]
    if reference:
        # plainly: upright, in the middle, a person standing
        placements[0] = (world.presented(placements[0][0]),)
    told = rng.random() < wishes.spots
    spots = [placed if told and rng.random() < TOLD_PANELS else () for placed in placements]
    texts = [loose_caption(nameless(s) if hidden else s, rng, p) for s, p in zip(scenes, spots, strict=True)]
    given: Given = "first" if reference else "some" if hero.variant else "any"
    return Sample("reference" if reference else "set", tuple(scenes), tuple(placements), joint_caption(texts), given)


def _style(rng: random.Random, wishes: Wishes) -> str | None:
    return rng.choice(list(STYLES)) if wishes.even_styles else None
