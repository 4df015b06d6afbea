"""IS2Is: sets of pictures that go on from given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.pocket_tasks.stage import (
    ANIMALS,
    PLANTS,
    THINGS,
    VEHICLES,
    Checks,
    Draft,
    Frame,
    Stage,
    a,
    changed,
    each,
    elsewhere,
    exactly,
    looks,
    out,
    outs,
    questions,
    seen,
    there,
    with_sprites,
)
from chatdit.evals.suites.pocket_tasks.stories import grown, growth_questions, moved, related, series_questions
from chatdit.tools.pocket.scene import RelationKind, Thing


def _growth(stage: Stage, pool: tuple[str, ...]) -> Draft:
    frames = grown(stage, Thing(stage.one(pool), tint=stage.tint()), stage.one(("meadow", "garden", "forest")))
    name, given = frames[0].hero.subject, frames[0]
    text = stage.say(
        f"This {name} is still small. Show in two pictures how it grows: the {name} in medium size, then large.",
        f"Two more pictures of this {name} as it grows, at the same place: first medium, then large.",
    )
    asked = frames[1:]
    grows = c.Grows(pictures=("in1", *outs(2)), subject=name, factor=1.15)
    same = c.SameHero(pictures=("in1", *outs(2)))
    six = growth_questions(asked)
    return Draft(text, asked, questions(*six[:3], grows, same, (grows, same, *_tuple(six[2]))), (given,))


def _creativity(stage: Stage) -> Draft:
    """What an example pair shows, done to others."""
    names, worn, place = stage.some(ANIMALS, 3), stage.worn(), stage.place()
    before = stage.frame(Thing(names[0]), place=place)
    given = (before, changed(before, worn=worn), *(stage.frame(Thing(n), place=place) for n in names[1:]))
    frames = tuple(changed(f, worn=worn) for f in given[2:])
    text = stage.say(
        f"Pictures 1 and 2 show a change. Do the same to the {names[1]} of picture 3 and to the {names[2]} of "
        f"picture 4.",
        f"The {names[0]} has got {'a ' + worn.kind if worn.kind != 'halo' else 'a halo'}. Give the same one to the "
        f"{names[1]} and to the {names[2]}, one picture each.",
    )
    dressed = each(2, lambda o, i: looks(o, frames[i].hero))
    kept = tuple(c.Layout(before=f"in{i + 3}", after=out(i + 1)) for i in range(2))
    return Draft(text, frames, questions(*_one_each(frames), dressed, kept, (*dressed, *kept)), given)


def _layers(stage: Stage) -> Draft:
    """Each subject alone, where it stood."""
    first, second = stage.one(ANIMALS), stage.one(THINGS + VEHICLES)
    given = stage.frame(Thing(first), Thing(second), place=stage.place(), relation=stage.one(("left of", "above")))
    frames = tuple(with_sprites(given, sprite) for sprite in given.sprites)
    text = stage.say(
        f"Take this picture apart: one picture with the {first} alone and one with the {second} alone.",
        f"Split the picture into two layers, first the {first}, then the {second}, each at its place.",
    )
    alone = each(2, lambda o, i: exactly(o, frames[i]))
    stays = tuple(c.Layout(before="in1", after=o, but=(s,)) for o, s in zip(outs(2), (second, first), strict=True))
    return Draft(text, frames, questions(*_one_each(frames), alone, stays, (*alone, *stays)), (given,))


def _places(stage: Stage, pool: tuple[str, ...], count: int, phrases: tuple[str, str]) -> Draft:
    """The hero of the given picture in several places, or lights."""
    given = stage.frame(_hero(stage), place=stage.place(*pool))
    places = stage.some(pool, count)
    frames = tuple(elsewhere(stage.frame(replace(given.hero), place=given.scene.background), p) for p in places)
    told = [there(p) for p in places]
    name = given.hero.subject
    text = stage.say(*phrases).format(name, f"{', '.join(told[:-1])} and {told[-1]}", _WORDS[count])
    text = text[0].upper() + text[1:]
    return Draft(text, frames, questions(*_as_given(frames)), (given,))


def _tale(stage: Stage, given_friends: bool, page: str) -> Draft:
    """A story around the given character, or around two."""
    hero, friend = _hero(stage), Thing(stage.one(VEHICLES if page == "shot" else THINGS))
    given = [stage.frame(hero, place=stage.place())]
    if given_friends:
        friend = replace(_hero(stage, but=hero.subject))
        given.append(stage.frame(friend, place=stage.place()))
    places = stage.some(("forest", "beach", "snow", "moon", "city", "farm"), 3)
    relations: list[RelationKind | None] = [None, "left of", "above"]
    tale = tuple(
        stage.frame(hero, *([friend] if r else []), place=p, relation=r) for p, r in zip(places, relations, strict=True)
    )
    name, other = hero.subject, friend.subject
    second = f"the {other} of picture 2" if given_friends else a(other)
    text = stage.say(
        f"Three {page}s with this {name}. {page.capitalize()} 1: the {name} {there(places[0])}. {page.capitalize()} 2: "
        f"the {name} left of {second} {there(places[1])}. {page.capitalize()} 3: the {name} above the {other} "
        f"{there(places[2])}.",
        f"Draw three {page}s about the {name} of picture 1: the {name} {there(places[0])}, then the {name} left of "
        f"{second} {there(places[1])}, then the {name} above the {other} {there(places[2])}.",
    )
    return Draft(text, tale, questions(*_as_given(tale, related(tale))), tuple(given))


def _appearance(stage: Stage) -> Draft:
    """The given subject in three colours."""
    given = stage.frame(Thing(stage.one(ANIMALS), size="large"), place=stage.place())
    tints = stage.some(("red", "blue", "green", "yellow", "purple"), 3)
    frames = tuple(changed(given, tint=t) for t in tints)
    name = given.hero.subject
    text = stage.say(
        f"Show this {name} in three colours: {tints[0]}, {tints[1]} and {tints[2]}.",
        f"Three pictures of this {name}, one {tints[0]}, one {tints[1]}, one {tints[2]}. Change nothing else.",
    )
    dyed = each(3, lambda o, i: looks(o, frames[i].hero))
    stays = tuple(c.Layout(before="in1", after=o) for o in outs(3))
    return Draft(text, frames, questions(*_one_each(frames), dyed, stays, (*dyed, *stays)), (given,))


def _views(stage: Stage, words: tuple[str, str, str], way: c.Way) -> Draft:
    """The given subject at three spots of the same place."""
    hero, place = replace(_hero(stage), size="small"), stage.place()
    frames = moved(stage, hero, place, way)
    given = stage.frame(hero, place=place)
    name = hero.subject
    text = stage.say(
        f"Three pictures of this {name} at the same place: {words[0]}, {words[1]} and {words[2]}.",
        f"The {name} of the picture, three times {there(place)}: first {words[0]}, then {words[1]}, then {words[2]}.",
    )
    moves = c.Moves(pictures=outs(3), subject=name, way=way)
    return Draft(text, frames, questions(*_as_given(frames, (moves,))), (given,))


def _undo_styles(stage: Stage) -> Draft:
    """Back from the painting to the sketch."""
    given = stage.frame(Thing(stage.one(ANIMALS), size="large"), place=stage.place())
    frames = tuple(elsewhere(given, style=s) for s in ("monochrome", "sketch"))
    name = given.hero.subject
    text = stage.say(
        f"How was this picture of {a(name)} painted? Show the step in black and white, and the sketch before it.",
        f"Undo the painting of the {name} in two steps: first in monochrome, then as a sketch.",
    )
    styles = each(2, lambda o, i: c.Drawn(picture=o, style=frames[i].scene.style))
    stays = tuple(c.Layout(before="in1", after=o) for o in outs(2))
    return Draft(text, frames, questions(*_one_each(frames), styles, stays, (*styles, *stays)), (given,))


def _undo_subjects(stage: Stage) -> Draft:
    """One subject less in each step."""
    first, second = stage.one(ANIMALS), stage.one(THINGS)
    given = stage.frame(Thing(first, worn=stage.worn()), Thing(second), place=stage.place(), relation="left of")
    one = with_sprites(given, given.sprites[0])
    frames = (one, changed(one, worn=None))
    text = stage.say(
        f"Undo this picture in two steps: first without the {second}, then the {first} also without what it wears.",
        f"Two earlier states of this picture. Remove the {second}, then also remove the "
        f"{given.hero.worn.kind if given.hero.worn else ''}.",
    )
    gone = each(2, lambda o, i: c.Absent(picture=o, subject=second))
    bare = c.Bare(picture=out(2), subject=first)
    stays = tuple(c.Layout(before="in1", after=o, but=(second,)) for o in outs(2))
    return Draft(
        text, frames, questions(*_one_each(frames), gone, (looks(out(1), one.hero), bare), (*stays, bare)), (given,)
    )


def _same_pose(stage: Stage) -> Draft:
    """Others at the given spot."""
    names = stage.some(ANIMALS, 3)
    given = stage.frame(Thing(names[0], size="small", position=stage.one(("left", "right"))), place=stage.place())
    frames = tuple(changed(given, subject=n) for n in names[1:])
    text = stage.say(
        f"Draw {a(names[1])} and {a(names[2])}, one picture each, where the {names[0]} stands in this picture.",
        f"Two pictures like this one: in the first the {names[0]} is replaced by {a(names[1])}, in the second by "
        f"{a(names[2])}.",
    )
    stays = tuple(c.Layout(before="in1", after=o) for o in outs(2))
    places = each(2, lambda o, i: c.Place(picture=o, background=given.scene.background))
    alone = each(2, lambda o, i: exactly(o, frames[i]))
    return Draft(text, frames, questions(*_one_each(frames), places, stays, (*places, *stays, *alone)), (given,))


def _usage(stage: Stage) -> Draft:
    """The given product with others."""
    product = Thing(stage.one(THINGS), tint=stage.tint())
    given = stage.frame(replace(product, size="large"), place="studio")
    users, places = stage.some(ANIMALS, 2), stage.some(("beach", "garden", "city", "playground"), 2)
    frames = tuple(
        stage.frame(product, Thing(u), place=p, relation="right of") for u, p in zip(users, places, strict=True)
    )
    name = product.subject
    text = stage.say(
        f"Show our product in use: this {name} right of {a(users[0])} {there(places[0])}, and the same {name} right of "
        f"{a(users[1])} {there(places[1])}.",
        f"Two advertisements with the {name} of the picture: right of {a(users[0])} {there(places[0])}, and right of "
        f"{a(users[1])} {there(places[1])}.",
    )
    return Draft(text, frames, questions(*_as_given(frames, related(frames))), (given,))


def _as_given(frames: Sequence[Frame], hard: Checks = ()) -> tuple[Checks | c.Check, ...]:
    """What is asked of the given hero in several pictures."""
    company = tuple(dict.fromkeys(t.subject for f in frames for t in f.scene.things[1:]))
    same = c.SameHero(pictures=("in1", *outs(len(frames))), company=company)
    styles = each(len(frames), lambda o, i: c.Drawn(picture=o, style="plain"))
    six = series_questions(frames, hard or styles)
    return (*six[:4], same, (same, *(hard or styles), *_tuple(six[4])))


def _one_each(frames: Sequence[Frame]) -> tuple[Checks | c.Check, ...]:
    """The first three questions on one subject in each picture."""
    return (
        (c.Count(outputs=len(frames)), seen(out(1), frames[0].hero)),
        each(len(frames), lambda o, i: seen(o, frames[i].hero)),
        each(len(frames), lambda o, i: c.Place(picture=o, background=frames[i].scene.background)),
    )


def _tuple(checks: Checks | c.Check) -> Checks:
    return checks if isinstance(checks, tuple) else (checks,)


def _hero(stage: Stage, but: str = "") -> Thing:
    """An animal with something of its own, so that it can be told from others of its kind."""
    if stage.rng.random() < 0.5:
        return Thing(stage.one(ANIMALS, but), tint=stage.tint())
    return Thing(stage.one(ANIMALS, but), worn=stage.worn())


_WORDS = {2: "two", 3: "three", 4: "four"}
_LIGHT = ("Show this {0} in another light: {1}.", "{2} pictures of this {0}: {1}.")
_ROOMS = ("This {0} in {2} rooms: {1}.", "Show where this {0} lives, in {2} pictures: {1}.")

TASKS: Mapping[str, Callable[[Stage], Draft]] = {
    "animal_growth_from_picture": partial(_growth, pool=("penguin", "elephant", "frog", "duck", "bear")),
    "creativity_transfer": _creativity,
    "layer_decomposition": _layers,
    "lighting_simulation": partial(_places, pool=("night", "sunset", "stage", "cave"), count=3, phrases=_LIGHT),
    "movie_shots_one_character": partial(_tale, given_friends=False, page="shot"),
    "movie_shots_two_characters": partial(_tale, given_friends=True, page="shot"),
    "multi_appearance": _appearance,
    "multi_interior": partial(_places, pool=("room", "kitchen", "studio", "stage"), count=3, phrases=_ROOMS),
    "multi_view": partial(_views, words=("on the left", "in the middle", "on the right"), way="right"),
    "painting_undo_styles": _undo_styles,
    "painting_undo_subjects": _undo_subjects,
    "same_pose": _same_pose,
    "three-view": partial(_views, words=("at the top", "in the middle", "at the bottom"), way="down"),
    "children_book_one_character": partial(_tale, given_friends=False, page="page"),
    "children_book_two_characters": partial(_tale, given_friends=True, page="page"),
    "plant_growth_from_picture": partial(_growth, pool=PLANTS),
    "product_usage": _usage,
    "stop_motion": partial(_views, words=("on the right", "in the middle", "on the left"), way="left"),
}
