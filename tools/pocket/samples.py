"""What one row of training shows: panels that belong together, their caption, and which of them are given.

Kinds: one picture; a set around one identity; a reference (the identity plain, then elsewhere); an edit (before
and after).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from chatdit.tools.pocket import free_world, grid_world
from chatdit.tools.pocket.captions import caption, joint_caption, loose_caption
from chatdit.tools.pocket.edits import random_edit
from chatdit.tools.pocket.scene import Placement, Scene, nameless, random_style
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, STYLES

World = Literal["grid", "free"]
WORLDS: tuple[World, ...] = get_args(World)
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
    """Of the sets of the free world: how many start from a reference."""
    edits: float = 0.3
    """Of its pairs: how many are edits."""
    nameless: float = 0.5
    """Of sets and references: how many never name what they share."""
    varied: float = 0.4
    """Of those: how many show a look that no word could tell, and so always need a given panel."""
    spots: float = 0.75
    """Of captions of the free world: how many tell where the sprites stand."""


def random_sample(world: World, rng: random.Random, panels: int, wishes: Wishes = Wishes()) -> Sample:
    """A sample of `panels` panels of the world's training distribution."""
    return _WORLDS[world](rng, panels, wishes)


def _grid_sample(rng: random.Random, panels: int, wishes: Wishes) -> Sample:
    hidden = panels > 1 and rng.random() < wishes.nameless
    varied = hidden and rng.random() < wishes.varied
    if panels > 1:
        scenes = grid_world.random_set(rng, panels, wishes.subjects, varied=varied)
    else:
        scenes = (grid_world.random_scene(rng, wishes.subjects, _style(rng, wishes)),)
    text = joint_caption([caption(nameless(s) if hidden else s) for s in scenes])
    placements = tuple(grid_world.place(scene, rng) for scene in scenes)
    return Sample("single" if panels == 1 else "set", scenes, placements, text, "some" if varied else "any")


def _free_sample(rng: random.Random, panels: int, wishes: Wishes) -> Sample:
    if panels == 1:
        scene = free_world.random_scene(rng, wishes.subjects, _style(rng, wishes))
        placed = free_world.place(scene, rng)
        spots = placed if rng.random() < wishes.spots else ()
        return Sample("single", (scene,), (placed,), loose_caption(scene, rng, spots))
    if panels == 2 and rng.random() < wishes.edits:
        edit = random_edit(rng, wishes.subjects, wishes.spots)
        return Sample("edit", edit.scenes, edit.placements, edit.caption, "first")
    return _free_set(rng, panels, wishes, reference=rng.random() < wishes.references)


def _free_set(rng: random.Random, panels: int, wishes: Wishes, *, reference: bool) -> Sample:
    hidden = rng.random() < wishes.nameless
    varied = hidden and rng.random() < wishes.varied
    hero = free_world.random_hero(rng, wishes.subjects, varied=varied)
    style = random_style(rng)
    places = rng.sample(list(BACKGROUNDS), panels)
    if rng.random() < 0.25:
        places = [places[0]] * panels
    scenes = [free_world.around(rng, hero, place, style, wishes.subjects) for place in places]
    if reference:
        scenes[0] = Scene((replace(hero, size="large"),), "studio", style)
    placements = [free_world.place(scene, rng) for scene in scenes]
    if reference:
        # plainly: upright, in the middle, a person standing
        placements[0] = (free_world.presented(placements[0][0]),)
    told = rng.random() < wishes.spots
    spots = [placed if told and rng.random() < TOLD_PANELS else () for placed in placements]
    texts = [loose_caption(nameless(s) if hidden else s, rng, p) for s, p in zip(scenes, spots, strict=True)]
    given: Given = "first" if reference else "some" if varied else "any"
    return Sample("reference" if reference else "set", tuple(scenes), tuple(placements), joint_caption(texts), given)


def _style(rng: random.Random, wishes: Wishes) -> str | None:
    return rng.choice(list(STYLES)) if wishes.even_styles else None


_WORLDS: Mapping[World, Callable[[random.Random, int, Wishes], Sample]] = {"grid": _grid_sample, "free": _free_sample}
