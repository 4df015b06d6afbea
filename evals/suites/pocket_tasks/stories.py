"""T2Is: sets of pictures from words alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.pocket_tasks.stage import (
    ANIMALS,
    FOODS,
    PLANTS,
    THINGS,
    VEHICLES,
    Checks,
    Draft,
    Frame,
    Stage,
    a,
    each,
    exactly,
    how,
    in_words,
    looks,
    out,
    outs,
    questions,
    seen,
    sized,
    there,
)
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Thing

GROWING = (64, 112, 184)
"""Sides in pixels of what grows: small, medium, large."""


def grown(stage: Stage, hero: Thing, place: str) -> tuple[Frame, ...]:
    """The hero small, medium and large, at one spot."""
    first = stage.frame(replace(hero, size="small"), place=place)
    return tuple(sized(first, side, (128, 246 - side // 2)) for side in GROWING)


def growth_questions(frames: Sequence[Frame]) -> tuple[Checks | c.Check, ...]:
    """What is asked of something that grows at one spot."""
    name, count = frames[0].hero.subject, len(frames)
    everywhere = each(count, lambda o, i: c.Place(picture=o, background=frames[0].scene.background))
    grows = c.Grows(pictures=outs(count), subject=name, factor=1.15)
    return (
        (c.Count(outputs=count), seen(out(1), frames[0].hero)),
        each(count, lambda o, i: seen(o, frames[0].hero)),
        everywhere,
        grows,
        each(count, lambda o, i: exactly(o, frames[i])),
        (grows, c.SameHero(pictures=outs(count)), *everywhere),
    )


def series_questions(frames: Sequence[Frame], hard: Checks | c.Check) -> tuple[Checks | c.Check, ...]:
    """What is asked of a hero in several pictures; `hard` is the point of the series."""
    count, hero = len(frames), frames[0].hero
    company = tuple(dict.fromkeys(t.subject for f in frames for t in f.scene.things[1:]))
    same: Checks = (c.SameHero(pictures=outs(count), company=company), *_all(frames))
    hard = hard if isinstance(hard, tuple) else (hard,)
    return (
        (c.Count(outputs=count), seen(out(1), hero)),
        each(count, lambda o, i: seen(o, frames[i].hero)),
        each(count, lambda o, i: c.Place(picture=o, background=frames[i].scene.background)),
        hard,
        each(count, lambda o, i: exactly(o, frames[i])),
        (*same, *hard),
    )


def _all(frames: Sequence[Frame]) -> Checks:
    return each(len(frames), lambda o, i: c.Drawn(picture=o, style=frames[i].scene.style))


def related(frames: Sequence[Frame]) -> Checks:
    """Who stands where to whom, in the pictures of two."""
    return tuple(
        c.Stands(picture=o, first=f.hero.subject, relation=f.scene.relation, second=f.scene.things[1].subject)
        for o, f in zip(outs(len(frames)), frames, strict=True)
        if f.scene.relation is not None
    )


def _growth(stage: Stage, pool: tuple[str, ...]) -> Draft:
    hero, place = Thing(stage.one(pool)), stage.one(("meadow", "garden", "forest"))
    name = hero.subject
    frames = grown(stage, hero, place)
    text = stage.say(
        f"Show in three pictures how {a(name)} grows {there(place)}: first small, then medium, then large.",
        f"Three pictures {there(place)}: a small {name}, the same {name} in medium size, and the same {name} large.",
    )
    return Draft(text, frames, questions(*growth_questions(frames)))


def _book(stage: Stage) -> Draft:
    hero, friend = stage.some(ANIMALS, 2)
    places = stage.some(("forest", "beach", "snow", "moon", "farm", "lake"), 4)
    tale = (
        stage.frame(Thing(hero), place=places[0]),
        stage.frame(Thing(hero), Thing(friend), place=places[1], relation="left of"),
        stage.frame(Thing(hero), Thing(friend), place=places[2], relation="above"),
        stage.frame(Thing(hero, size="large"), place=places[3]),
    )
    text = stage.say(
        f"A picture book with four pages. Page 1: {a(hero)} {there(places[0])}. Page 2: the {hero} left of {a(friend)} "
        f"{there(places[1])}. Page 3: the {hero} above the {friend} {there(places[2])}. "
        f"Page 4: the {hero}, large, {there(places[3])}.",
        f"Draw four pictures for my children: {a(hero)} {there(places[0])}, then the {hero} left of {a(friend)} "
        f"{there(places[1])}, then the {hero} above the {friend} {there(places[2])}, and the {hero} alone and large "
        f"{there(places[3])}.",
    )
    return Draft(text, tale, questions(*series_questions(tale, related(tale))))


def _drawing_process(stage: Stage) -> Draft:
    hero, place = Thing(stage.one(ANIMALS + THINGS), size="large"), stage.place()
    last = stage.frame(hero, place=place)
    frames = tuple(Frame(replace(last.scene, style=s), last.sprites) for s in ("sketch", "monochrome", "plain"))
    text = stage.say(
        f"How {a(hero.subject)} is painted {there(place)}, in three pictures: first a sketch, then in black and white, "
        f"then in full colour.",
        f"Draw a large {hero.subject} {there(place)} three times: as a sketch, in monochrome and in full colour.",
    )
    stays = tuple(c.Layout(before=out(1), after=o) for o in outs(3)[1:])
    return Draft(text, frames, questions(*series_questions(frames, (*_all(frames), *stays))))


def _history(stage: Stage) -> Draft:
    then, later, now = "horse", stage.one(("locomotive", "bicycle")), stage.one(("rocket", "flying saucer"))
    place = stage.one(("city", "desert", "street"))
    styles = ("sepia", "monochrome", "plain")
    frames = tuple(stage.frame(Thing(s), place=place, style=y) for s, y in zip((then, later, now), styles, strict=True))
    text = stage.say(
        f"How people travelled, in three pictures {there(place)}: {a(then)} in sepia, {a(later)} in black and white, "
        f"and {a(now)} in colour.",
        f"Draw three pictures {there(place)}. First {a(then)} in sepia, second {a(later)} in monochrome, "
        f"third {a(now)} in full colour.",
    )
    return Draft(text, frames, questions(*_varied(frames, _all(frames))))


def _shots(stage: Stage) -> Draft:
    hero, car, place = stage.one(ANIMALS), stage.one(VEHICLES), stage.one(("city", "desert", "snow", "forest"))
    shots = (
        stage.frame(Thing(hero, size="small"), place=place),
        stage.frame(Thing(hero), Thing(car), place=place, relation="right of"),
        stage.frame(Thing(hero, size="large"), place=place),
    )
    text = stage.say(
        f"A storyboard in three shots, all {there(place)}. Shot 1: a small {hero}. Shot 2: the {hero} right of "
        f"{a(car)}. Shot 3: the {hero}, large.",
        f"Three movie shots {there(place)}: a small {hero}, then the {hero} right of {a(car)}, then the {hero} large.",
    )
    sizes = (
        c.Sized(picture=out(1), subject=hero, at_most=0.4),
        c.Sized(picture=out(3), subject=hero, at_least=0.55),
    )
    return Draft(text, shots, questions(*series_questions(shots, (*related(shots), *sizes))))


def _physics(stage: Stage) -> Draft:
    ball, place = stage.one(("soccer ball", "basketball", "apple", "balloon")), stage.one(("meadow", "playground"))
    rises = ball == "balloon"
    frames = moved(stage, Thing(ball, size="small"), place, "up" if rises else "down")
    spots = (
        ("at the bottom", "in the middle", "at the top") if rises else ("at the top", "in the middle", "at the bottom")
    )
    text = stage.say(
        f"Show in three pictures how {a(ball)} {'rises' if rises else 'falls'} {there(place)}: {spots[0]}, {spots[1]}, "
        f"{spots[2]}.",
        f"{a(ball).capitalize()} {there(place)}, three pictures: the {ball} is {spots[0]}, then {spots[1]}, "
        f"then {spots[2]}.",
    )
    moves = c.Moves(pictures=outs(3), subject=ball, way="up" if rises else "down")
    return Draft(text, frames, questions(*series_questions(frames, moves)))


def moved(stage: Stage, hero: Thing, place: str, way: c.Way) -> tuple[Frame, ...]:
    """The hero in three pictures, further that way in each."""
    first = stage.frame(hero, place=place)
    side = first.sprites[0].side
    near, far = 8 + side // 2, PICTURE_PIXELS - 8 - side // 2
    path = (near, PICTURE_PIXELS // 2, far) if way in ("down", "right") else (far, PICTURE_PIXELS // 2, near)
    spots = [(128, v) if way in ("down", "up") else (v, 160) for v in path]
    return tuple(sized(first, side, spot) for spot in spots)


def _style_group(stage: Stage, style: str, pool: tuple[str, ...], place: str, count: int) -> Draft:
    names = stage.some(pool, count)
    frames = tuple(stage.frame(Thing(n, size="large"), place=place, style=style) for n in names)
    listed = f"{', '.join(a(n) for n in names[:-1])} and {a(names[-1])}"
    text = stage.say(
        f"A set of {_WORDS[count]} pictures {how(stage, style)}, all {there(place)} and all large: {listed}.",
        f"Draw {_WORDS[count]} icons that belong together, {how(stage, style)}, {there(place)}: {listed}.",
    )
    styles = (c.SameStyle(pictures=outs(count)), c.SamePlace(pictures=outs(count)), *_all(frames))
    return Draft(text, frames, questions(*_varied(frames, styles)))


def _varied(frames: Sequence[Frame], hard: Checks) -> tuple[Checks | c.Check, ...]:
    """What is asked of different subjects, one in each picture."""
    count = len(frames)
    return (
        (c.Count(outputs=count), seen(out(1), frames[0].hero)),
        each(count, lambda o, i: seen(o, frames[i].hero)),
        each(count, lambda o, i: c.Place(picture=o, background=frames[i].scene.background)),
        hard,
        each(count, lambda o, i: exactly(o, frames[i])),
        (*hard, *each(count, lambda o, i: exactly(o, frames[i])), c.Different(pictures=outs(count))),
    )


def _seasons(stage: Stage) -> Draft:
    hero = Thing(stage.one(ANIMALS), tint=stage.tint())
    places = ("meadow", "beach", "autumn", "snow")
    frames = tuple(stage.frame(hero, place=p) for p in places)
    name = hero.subject
    text = stage.say(
        f"{in_words(hero).capitalize()} in the four seasons: on a meadow, on the beach, in autumn and in the snow.",
        f"The four seasons, one picture each, with the same {hero.tint} {name}: on a meadow, then on the beach, "
        f"then in autumn, then in the snow.",
    )
    dyed = each(4, lambda o, i: looks(o, hero))
    return Draft(text, frames, questions(*series_questions(frames, dyed)))


def _couple(stage: Stage) -> Draft:
    name, tints = stage.one(ANIMALS), stage.some(("red", "blue", "green", "yellow", "pink", "purple"), 2)
    heroes = [Thing(name, size="large", tint=t) for t in tints]
    frames = tuple(stage.frame(h, place="studio") for h in heroes)
    text = stage.say(
        f"Two icons for a couple, both in a studio: a large {tints[0]} {name} and a large {tints[1]} {name}.",
        f"Draw a large {tints[0]} {name} in a studio, then a large {tints[1]} {name} in a studio.",
    )
    dyed = each(2, lambda o, i: looks(o, heroes[i]))
    return Draft(text, frames, questions(*_varied(frames, (*dyed, c.SamePlace(pictures=outs(2))))))


def _pose(stage: Stage) -> Draft:
    hero, place = Thing(stage.one(ANIMALS), size="small"), stage.place()
    frames = moved(stage, hero, place, "right")
    name = hero.subject
    text = stage.say(
        f"A small {name} walks {there(place)}, in three pictures: on the left, in the middle, on the right.",
        f"Three pictures of a small {name} {there(place)}: first on the left, then in the middle, then on the right.",
    )
    moves = c.Moves(pictures=outs(3), subject=name, way="right")
    return Draft(text, frames, questions(*series_questions(frames, moves)))


def _expression(stage: Stage) -> Draft:
    name, place = stage.one(ANIMALS), stage.place()
    heroes = [Thing(name, worn=stage.worn()) for _ in range(3)]
    while len({h.worn for h in heroes}) < 3:
        heroes = [Thing(name, worn=stage.worn()) for _ in range(3)]
    frames = tuple(stage.frame(h, place=place) for h in heroes)
    listed = [in_words(h).split(" wearing ")[1] for h in heroes]
    text = stage.say(
        f"Three pictures of one {name} {there(place)}: it wears {listed[0]}, then {listed[1]}, then {listed[2]}.",
        f"The same {name} {there(place)} three times, wearing {listed[0]}, wearing {listed[1]} and wearing "
        f"{listed[2]}.",
    )
    dressed = each(3, lambda o, i: looks(o, heroes[i]))
    return Draft(text, frames, questions(*_varied(frames, (*dressed, c.SamePlace(pictures=outs(3))))))


_WORDS = {2: "two", 3: "three", 4: "four"}
_GROUPS: Mapping[str, tuple[str, tuple[str, ...], str, int]] = {
    "sketch": ("sketch", FOODS, "kitchen", 4),
    "pixel": ("pixel art", VEHICLES, "city", 4),
    "monochrome": ("monochrome", ANIMALS, "snow", 4),
    "sepia": ("sepia", THINGS, "room", 3),
    "negative": ("negative", ANIMALS, "space", 3),
    "night": ("plain", ANIMALS, "night", 4),
    "sea": ("plain", ("whale", "fish", "turtle", "octopus", "dolphin", "shark", "crab"), "underwater", 4),
    "stage": ("plain", ("guitar", "violin", "trumpet", "drum", "piano", "saxophone"), "stage", 4),
    "garden": ("sketch", PLANTS, "garden", 3),
    "sky": ("pixel art", ("rocket", "helicopter", "kite", "balloon", "airplane", "flying saucer"), "sky", 3),
}

TASKS: Mapping[str, Callable[[Stage], Draft]] = {
    "animal_growth": partial(_growth, pool=("penguin", "elephant", "frog", "duck", "bear")),
    "children_book": _book,
    "drawing_process": _drawing_process,
    "historical_narrative": _history,
    "movie_shots": _shots,
    "physical_laws": _physics,
    "plant_growth": partial(_growth, pool=PLANTS),
    **{
        f"style_group_{name}": partial(_style_group, style=style, pool=pool, place=place, count=count)
        for name, (style, pool, place, count) in _GROUPS.items()
    },
    "concept_visualisation": _seasons,
    "couple_icon_set": _couple,
    "dynamic_character_pose": _pose,
    "dynamic_character_expression": _expression,
}
