"""Before and after: one thing of a scene changes, everything else stays where and as it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import joint_caption, loose_caption, noun_phrase
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.spots import spot_words
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, DRAWABLE, STYLES, TINTS
from chatdit.tools.pocket.wearing import bounds

_DESCRIBED_SHARE = 0.5
_VIEWS = 3


@dataclass(frozen=True)
class Edit:
    """Two panels, before and after, and the instruction that leads from one to the other."""

    scenes: tuple[Scene, Scene]
    placements: tuple[tuple[Placement, ...], tuple[Placement, ...]]
    instruction: str
    caption: str
    """The joint caption of both panels: what stands in the first, in half of all cases, and the instruction."""


def random_edit(rng: random.Random, subjects: Sequence[str] = DRAWABLE, spots: float = 0.0) -> Edit:
    """A tint, something worn, something added, removed or replaced, another place, or another style.

    In a share of `spots` the caption tells where the sprites stand, and where the added one does.
    """
    while True:
        scene = replace(_plain_scene(rng, subjects), view=rng.randrange(_VIEWS))
        placed = world.place(scene, rng)
        made = rng.choice(_EDITS)(rng, scene, placed, subjects)
        if made is not None:
            after, after_placed, instruction = made
            told = spots > 0 and rng.random() < spots
            before = loose_caption(scene, rng, placed if told else ()) if rng.random() < _DESCRIBED_SHARE else ""
            if told and len(after_placed) > len(placed):
                instruction = f"{instruction} {spot_words(after_placed[-1])}"
            text = joint_caption([before, instruction]).replace("  ", " ")
            return Edit((scene, after), (placed, after_placed), instruction, text)


def changed_pixels(before: Tensor, after: Tensor) -> Tensor:
    """Bool (B, H, W): where two batches of pictures (B, 3, H, W) differ at all."""
    return (before != after).any(dim=1)


_Made = tuple[Scene, tuple[Placement, ...], str] | None


def _plain_scene(rng: random.Random, subjects: Sequence[str]) -> Scene:
    """One or two different subjects, which can be told apart by name."""
    names = rng.sample(subjects, rng.choice((1, 2, 2)))
    things = tuple(Thing(name) for name in names)
    style = "plain" if rng.random() < 0.7 else rng.choice(list(STYLES))
    return Scene(things, rng.choice(list(BACKGROUNDS)), style)


def _dye(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    which, tint = rng.randrange(len(placed)), rng.choice(list(TINTS))
    if scene.style in ("sketch", "monochrome", "sepia"):
        return None
    return *_changed(scene, placed, which, tint=tint), f"make the {scene.things[which].subject} {tint}"


def _dress(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    which, worn = rng.randrange(len(placed)), Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS)))
    thing = replace(scene.things[which], worn=worn)
    after, sprites = _changed(scene, placed, which, worn=worn)
    box = bounds(sprites[which])
    others = [s for i, s in enumerate(sprites) if i != which]
    if min(box) < 0 or max(box) > PICTURE_PIXELS or any(world.touch(sprites[which], other) for other in others):
        return None
    return after, sprites, f"make it: {noun_phrase(replace(thing, tint=None))}"


def _add(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    thing = Thing(rng.choice([s for s in subjects if s not in {t.subject for t in scene.things}]), size="small")
    moved = world.fits_in(rng, world.stand(thing, rng, world.SIDES["small"]), placed)
    if moved is None:
        return None
    after = replace(scene, things=(*scene.things, replace(thing, size="medium")))
    return after, (*placed, moved), f"add {noun_phrase(replace(thing, size='medium'))}"


def _remove(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    if len(placed) < 2:
        return None
    which = rng.randrange(len(placed))
    after = replace(scene, things=tuple(t for i, t in enumerate(scene.things) if i != which))
    kept = tuple(s for i, s in enumerate(placed) if i != which)
    return after, kept, f"remove the {scene.things[which].subject}"


def _swap(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    which = rng.randrange(len(placed))
    other = rng.choice([s for s in subjects if s not in {t.subject for t in scene.things}])
    instruction = f"replace the {scene.things[which].subject} by {noun_phrase(Thing(other))}"
    return *_changed(scene, placed, which, subject=other), instruction


def _move(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    place = rng.choice([b for b in BACKGROUNDS if b != scene.background])
    return replace(scene, background=place), placed, f"put it {BACKGROUNDS[place].phrase}"


def _restyle(rng: random.Random, scene: Scene, placed: tuple[Placement, ...], subjects: Sequence[str]) -> _Made:
    style = rng.choice([s for s in STYLES if s != scene.style])
    return replace(scene, style=style), placed, f"make it {style} style"


_EDITS: tuple[Callable[[random.Random, Scene, tuple[Placement, ...], Sequence[str]], _Made], ...] = (
    _dye,
    _dress,
    _add,
    _remove,
    _swap,
    _move,
    _restyle,
)


def _changed(
    scene: Scene,
    placed: tuple[Placement, ...],
    which: int,
    *,
    subject: str | None = None,
    tint: str | None = None,
    worn: Worn | None = None,
) -> tuple[Scene, tuple[Placement, ...]]:
    """The scene and its sprites with one of them changed."""
    thing, sprite = scene.things[which], placed[which]
    thing = replace(thing, subject=subject or thing.subject, tint=tint or thing.tint, worn=worn or thing.worn)
    sprite = replace(sprite, subject=thing.subject, tint=thing.tint, worn=thing.worn)
    things, sprites = list(scene.things), list(placed)
    things[which], sprites[which] = thing, sprite
    return replace(scene, things=tuple(things)), tuple(sprites)
