"""What counts as right in a picture that was asked for, by what a reader says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chatdit.evals.sprite_fidelity import sighting_of
from chatdit.tools.pocket.captions import COLOURLESS
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.types import Box

SAME_BOX = 0.7
"""Intersection over union from which on two squares are the same; a neighbour's is below it by far."""


class Identity(NamedTuple):
    """What makes a subject the same one elsewhere, as far as a reader tells it."""

    subject: str
    tint: str | None
    worn: str | None
    worn_colour: str | None


def all_named(scene: Scene, reading: Reading) -> bool:
    """Whether every subject is seen and no other, however many there are of each."""
    return sorted(t.subject for t in scene.things) == sorted({s.subject for s in reading.sightings})


def all_counted(scene: Scene, reading: Reading) -> bool:
    """Whether exactly the subjects asked for are seen, as many of each as asked for."""
    asked = [t.subject for t in scene.things for _ in range(t.count)]
    return sorted(asked) == sorted(s.subject for s in reading.sightings)


def relation_holds(scene: Scene, reading: Reading) -> bool:
    """Whether the middles of both subjects stand as the scene says."""
    first, second = (reading.find(thing.subject) for thing in scene.things)
    if first is None or second is None:
        return False
    across = (second.box.x1 + second.box.x2) - (first.box.x1 + first.box.x2)
    down = (second.box.y1 + second.box.y2) - (first.box.y1 + first.box.y2)
    return {"left of": across, "right of": -across, "above": down, "below": -down}[str(scene.relation)] > 0


def tint_seen(scene: Scene, reading: Reading) -> bool:
    """Whether the first subject is seen in its tint."""
    seen = reading.find(scene.things[0].subject)
    return seen is not None and seen.tint == scene.things[0].tint


def worn_seen(scene: Scene, reading: Reading) -> bool:
    """Whether the first subject is seen with what it wears, in its colour."""
    seen = reading.find(scene.things[0].subject)
    return seen is not None and seen.worn == scene.things[0].worn


def identity_of(one: Thing | Sighting, style: str) -> Identity:
    """The identity of what is asked for or seen; a style that shows no colours hides them."""
    kind, colour = (None, None) if one.worn is None else (one.worn.kind, one.worn.colour)
    if style in COLOURLESS:
        return Identity(one.subject, None, kind, None)
    return Identity(one.subject, one.tint, kind, colour)


def hero_kept(scene: Scene, reading: Reading) -> bool:
    """Whether the scene's first subject is seen as it is asked for."""
    seen = reading.find(scene.things[0].subject)
    return seen is not None and identity_of(seen, scene.style) == identity_of(scene.things[0], scene.style)


def same_subject(readings: Sequence[Reading]) -> bool:
    """Whether the strongest sightings of all panels are of one subject, whichever it is."""
    mains = {reading.sightings[0].subject if reading.sightings else None for reading in readings}
    return len(mains) == 1 and None not in mains


def one_identity(scenes: Sequence[Scene], readings: Sequence[Reading]) -> bool:
    """Whether all panels show one identity, whichever it is, apart from the company that each scene names."""
    shown = {_main(scene, reading) for scene, reading in zip(scenes, readings, strict=True)}
    return len(shown) == 1 and None not in shown


def as_asked(scene: Scene, reading: Reading) -> bool:
    """Whether place, style and every subject with all that it wears are as the scene says."""
    asked = [identity_of(t, scene.style) for t in scene.things for _ in range(t.count)]
    seen = [identity_of(s, scene.style) for s in reading.sightings]
    whole = (reading.background, reading.style) == (scene.background, scene.style)
    return whole and sorted(asked, key=str) == sorted(seen, key=str)


def all_stay(sprites: Sequence[Placement], reading: Reading) -> bool:
    """Whether each sprite is seen in its own square."""
    return all(
        any(
            s.subject == sprite.subject and overlap(s.box, sighting_of(sprite).box) > SAME_BOX
            for s in reading.sightings
        )
        for sprite in sprites
    )


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1))
    shared = width * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    both = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared
    return shared / both if both else 0.0


def _main(scene: Scene, reading: Reading) -> Identity | None:
    company = {thing.subject for thing in scene.things[1:]}
    found = [s for s in reading.sightings if s.subject not in company]
    return identity_of(max(found, key=lambda s: s.score), scene.style) if found else None
