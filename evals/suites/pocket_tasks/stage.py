"""What tasks are written with: pictures that are wanted or given, people's words for them, and the six questions.

Everything random comes from a stage's stream, so that a case is the same whenever it is written.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.case import Question
from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import noun_phrase
from chatdit.tools.pocket.scene import Placement, RelationKind, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, DRAWABLE, HELD_OUT, TINTS, Size

Checks = tuple[c.Check, ...]
Pixels = NDArray[np.uint8]
_T = TypeVar("_T")

ANIMALS: tuple[str, ...] = (
    "cow", "tiger", "rabbit", "cat", "horse", "sheep", "monkey", "dog", "pig", "elephant", "penguin", "koala", "camel",
    "frog", "wolf", "bear", "panda", "squirrel", "lion", "duck", "fox", "deer", "giraffe", "zebra", "hedgehog", "llama",
)  # fmt: skip
VEHICLES = ("rocket", "helicopter", "bus", "taxi", "car", "truck", "tractor", "sailboat", "motorcycle", "bicycle")
FOODS = ("hamburger", "pizza", "ice cream", "doughnut", "cake", "apple", "banana", "strawberry", "pineapple", "cookie")
THINGS = ("umbrella", "guitar", "lantern", "teapot", "kite", "drum", "telescope", "book", "camera", "balloon", "gift")
PLANTS = ("seedling", "cactus", "tulip", "sunflower", "rose", "mushroom", "palm tree", "pine tree")
BUILDINGS = ("castle", "house", "temple", "tent")
FRIENDLY = ("beach", "forest", "meadow", "desert", "snow", "city", "farm", "garden", "lake", "mountains", "playground")
_STYLE_WORDS = {
    "plain": ("in full colour",),
    "sketch": ("as a pencil drawing", "in sketch style", "as a sketch"),
    "pixel art": ("in pixel art", "in pixel art style"),
    "monochrome": ("in black and white", "in monochrome"),
    "sepia": ("in sepia", "as a vintage picture"),
    "negative": ("in negative style", "with inverted colours"),
}


@dataclass(frozen=True)
class Frame:
    """One picture of the world with every sprite in its place; `worsen` is done to it when it is given."""

    scene: Scene
    sprites: tuple[Placement, ...]
    worsen: Callable[[Pixels], Pixels] | None = None

    @property
    def hero(self) -> Thing:
        """The first subject."""
        return self.scene.things[0]


@dataclass(frozen=True)
class Draft:
    """A case before it is rendered: what is said, what is given, what would be right, and what is asked about it."""

    instruction: str
    wanted: tuple[Frame, ...]
    questions: tuple[Question, ...]
    inputs: tuple[Frame, ...] = ()


class Stage:
    """Draws from one random stream what a task leaves open."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def one(self, pool: Sequence[_T], *but: _T) -> _T:
        """One of `pool` that is not among `but`."""
        return self.rng.choice([x for x in pool if x not in but])

    def some(self, pool: Sequence[_T], count: int) -> list[_T]:
        """`count` different ones of `pool`."""
        return self.rng.sample(list(pool), count)

    def say(self, *phrases: str) -> str:
        """One way to put it."""
        return self.rng.choice(phrases)

    def subject(self, *but: str) -> str:
        """Any subject that pocket knows."""
        return self.one(DRAWABLE, *but)

    def stranger(self) -> str:
        """A subject that no model here was trained on."""
        return self.rng.choice(HELD_OUT)

    def tint(self, *but: str) -> str:
        """A colour."""
        return self.one(tuple(TINTS), *but)

    def worn(self) -> Worn:
        """Something to wear."""
        return Worn(self.one(ACCESSORIES), self.tint())

    def place(self, *but: str) -> str:
        """A background that suits most subjects."""
        return self.one(FRIENDLY, *but)

    def relation(self, *kinds: RelationKind) -> RelationKind:
        """One of these."""
        return self.rng.choice(kinds)

    def frame(
        self,
        *things: Thing,
        place: str,
        style: str = "plain",
        relation: RelationKind | None = None,
        upright: bool = True,
    ) -> Frame:
        """A picture of these things, set up by chance."""
        scene = Scene(things, place, style, relation, view=self.rng.randrange(3))
        sprites = world.place(scene, self.rng)
        return Frame(scene, tuple(replace(s, rotation=0) for s in sprites) if upright else sprites)


def with_sprites(frame: Frame, *sprites: Placement) -> Frame:
    """The same picture with these sprites for those it has; its things follow."""
    things = tuple(
        replace(frame.scene.things[min(i, len(frame.scene.things) - 1)], subject=s.subject, tint=s.tint, worn=s.worn)
        for i, s in enumerate(sprites)
    )
    relation = frame.scene.relation if len(sprites) == 2 else None
    return Frame(replace(frame.scene, things=things, relation=relation), tuple(sprites))


def changed(frame: Frame, which: int = 0, **to: object) -> Frame:
    """The same picture with its sprite number `which` changed in these fields of `Placement`."""
    sprites = list(frame.sprites)
    sprites[which] = replace(sprites[which], **to)  # type: ignore[arg-type]
    return with_sprites(frame, *sprites)


def elsewhere(frame: Frame, place: str | None = None, style: str | None = None) -> Frame:
    """The same sprites before another background or in another style."""
    scene = replace(frame.scene, background=place or frame.scene.background, style=style or frame.scene.style)
    return Frame(scene, frame.sprites)


def sized(frame: Frame, side: int, middle: tuple[int, int] | None = None, which: int = 0) -> Frame:
    """The same picture with one sprite of another side, about its own middle or about `middle`, in pixels."""
    sprite = frame.sprites[which]
    x, y = middle or (sprite.left + sprite.side // 2, sprite.top + sprite.side // 2)
    left, top = (min(max(v - side // 2, 0), 256 - side) for v in (x, y))
    return changed(frame, which, left=left, top=top, side=side)


def in_words(thing: Thing) -> str:
    """ "a small red fox": a thing as people name it."""
    return noun_phrase(thing)


def a(subject: str) -> str:
    """ "an umbrella"."""
    return noun_phrase(Thing(subject))


def there(place: str) -> str:
    """ "on the beach"."""
    return BACKGROUNDS[place].phrase


def how(stage: Stage, style: str) -> str:
    """ "as a pencil drawing"."""
    return stage.say(*_STYLE_WORDS[style])


def questions(*six: Checks | c.Check) -> tuple[Question, ...]:
    """Six questions, basic to advanced, each of one check or several.

    Raises:
        ValueError: there are not six.
    """
    if len(six) != 6:
        raise ValueError(f"{len(six)} questions: expected six")
    return tuple(_question(checks if isinstance(checks, tuple) else (checks,)) for checks in six)


def out(number: int) -> str:
    """What the output of this number, from 1, is called in checks."""
    return f"out{number}"


def outs(count: int) -> tuple[str, ...]:
    """What the first `count` outputs are called."""
    return tuple(out(i + 1) for i in range(count))


def each(count: int, check: Callable[[str, int], c.Check]) -> Checks:
    """One check for each output; `check` gets its name and its position from 0."""
    return tuple(check(name, i) for i, name in enumerate(outs(count)))


def exactly(name: str, frame: Frame) -> c.Only:
    """Just what the frame shows is seen."""
    counts: dict[str, int] = {}
    for sprite in frame.sprites:
        counts[sprite.subject] = counts.get(sprite.subject, 0) + 1
    return c.Only(picture=name, things=counts)


def looks(name: str, thing: Thing) -> c.Shows:
    """The thing is seen with its tint and what it wears."""
    kind, colour = (thing.worn.kind, thing.worn.colour) if thing.worn else (None, None)
    return c.Shows(picture=name, subject=thing.subject, tint=thing.tint, worn=kind, worn_colour=colour)


def seen(name: str, thing: Thing) -> c.Shows:
    """The kind of thing is seen, whatever it looks like."""
    return c.Shows(picture=name, subject=thing.subject)


SIDES: Mapping[Size, tuple[float, float]] = {"small": (0.0, 0.36), "medium": (0.34, 0.58), "large": (0.58, 1.0)}
"""Shares of the picture's side that the words for sizes stand for, for a subject alone."""


def side_of(name: str, thing: Thing) -> c.Sized:
    """The thing, which stands alone, has the size that its word says."""
    low, high = SIDES[thing.size]
    return c.Sized(picture=name, subject=thing.subject, at_least=low, at_most=high)


def _question(checks: Checks) -> Question:
    told = "; ".join(check.tell() for check in checks)
    return Question(
        text=f"Is all of this so: {told}?",
        zero="At least one part of it is not so.",
        one="All of it is so.",
        check=c.write_checks(checks),
    )
