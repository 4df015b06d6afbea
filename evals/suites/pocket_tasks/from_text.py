"""T2I: one picture from words alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.case import Question
from chatdit.evals.suites.pocket_tasks.stage import (
    ANIMALS,
    BUILDINGS,
    FOODS,
    THINGS,
    Checks,
    Draft,
    Frame,
    Stage,
    a,
    exactly,
    how,
    in_words,
    looks,
    out,
    questions,
    seen,
    side_of,
    there,
)
from chatdit.tools.pocket.scene import Thing


def _architectural_style(stage: Stage) -> Draft:
    style, place = stage.one(("sketch", "monochrome", "sepia")), stage.one(("mountains", "city", "lake", "garden"))
    building = Thing(stage.one(BUILDINGS), size="large")
    text = stage.say(
        f"{in_words(building).capitalize()} {there(place)}, {how(stage, style)}.",
        f"I write about architecture. Draw {in_words(building)} {there(place)} for me, {how(stage, style)}.",
    )
    return _picture(text, stage.frame(building, place=place, style=style))


def _business_card(stage: Stage) -> Draft:
    sign = Thing(stage.one(FOODS + THINGS), size="small", position="left")
    text = stage.say(
        f"A business card for my shop: {in_words(sign)} on the left, in a studio, and nothing else.",
        f"Design a business card with {in_words(sign)} on the left on a plain background.",
    )
    return _picture(text, stage.frame(sign, place="studio"))


def _game_ui(stage: Stage) -> Draft:
    hero, goal, place = stage.one(ANIMALS), stage.one(("castle", "crown", "key", "trophy")), stage.place()
    relation = stage.relation("left of", "right of")
    text = stage.say(
        f"A screen of a retro game: {a(hero)} {relation} {a(goal)} {there(place)}, in pixel art.",
        f"Draw {a(hero)} {relation} {a(goal)} {there(place)}, in pixel art style.",
    )
    return _picture(text, stage.frame(Thing(hero), Thing(goal), place=place, style="pixel art", relation=relation))


def _info_chart(stage: Stage) -> Draft:
    counts = stage.one(((2, 3, 1), (1, 2, 3), (2, 1, 2), (3, 1, 2)))
    things = tuple(Thing(s, n) for s, n in zip(stage.some(FOODS, 3), counts, strict=True))
    named = f"{in_words(things[0])}, {in_words(things[1])} and {in_words(things[2])}"
    text = stage.say(f"A counting chart for children: {named} in a studio.", f"Draw {named} on a plain background.")
    return _picture(text, stage.frame(*things, place="studio"))


def _interior(stage: Stage) -> Draft:
    first, second = stage.some(("piano", "guitar", "lantern", "television", "book", "teapot", "telephone"), 2)
    place, relation = stage.one(("room", "kitchen")), stage.relation("left of", "right of", "above")
    text = stage.say(
        f"Show me {a(first)} {relation} {a(second)} {there(place)}.",
        f"I furnish my home. Draw {there(place)} with {a(first)} {relation} {a(second)}.",
    )
    return _picture(text, stage.frame(Thing(first), Thing(second), place=place, relation=relation))


def _painting(stage: Stage) -> Draft:
    style, place = stage.one(("sepia", "monochrome", "sketch")), stage.place()
    first, second, relation = *stage.some(ANIMALS, 2), stage.relation("left of", "below")
    text = stage.say(
        f"Paint {a(first)} {relation} {a(second)} {there(place)}, {how(stage, style)}.",
        f"{a(first).capitalize()} {relation} {a(second)} {there(place)}, {how(stage, style)}, to hang above my sofa.",
    )
    return _picture(text, stage.frame(Thing(first), Thing(second), place=place, style=style, relation=relation))


def _sculpture(stage: Stage) -> Draft:
    statue = Thing(stage.one(ANIMALS), size="large", tint=stage.tint())
    place = stage.one(("garden", "city", "lake"))
    text = stage.say(
        f"A statue {there(place)}: {in_words(statue)}.", f"Draw {in_words(statue)} {there(place)}, like a sculpture."
    )
    return _picture(text, stage.frame(statue, place=place))


def _ticket(stage: Stage) -> Draft:
    first, second = stage.some(("whale", "fish", "turtle", "octopus", "dolphin", "shark", "crab"), 2)
    text = stage.say(
        f"A ticket for the aquarium: {a(first)} above {a(second)} under water.",
        f"Draw {a(first)} above {a(second)} under water for our entrance ticket.",
    )
    return _picture(text, stage.frame(Thing(first), Thing(second), place="underwater", relation="above"))


def _landmark(stage: Stage) -> Draft:
    building, place = Thing(stage.one(BUILDINGS), size="large"), stage.one(("sunset", "night", "snow", "desert"))
    text = stage.say(
        f"A postcard of {in_words(building)} {there(place)}.",
        f"{in_words(building).capitalize()} {there(place)}, please.",
    )
    return _picture(text, stage.frame(building, place=place))


def _logo(stage: Stage) -> Draft:
    sign = Thing(stage.one(FOODS + ANIMALS), size="large", tint=stage.tint(), worn=stage.worn())
    text = stage.say(
        f"A logo: {in_words(sign)} on a plain background.", f"Make me a logo that shows {in_words(sign)} in a studio."
    )
    return _picture(text, stage.frame(sign, place="studio"))


def _poster(stage: Stage) -> Draft:
    things = Thing(stage.one(("guitar", "violin", "trumpet", "drum", "rooster", "penguin")), stage.one((2, 3, 4)))
    text = stage.say(
        f"A poster for tonight's concert: {in_words(things)} on stage.", f"Draw {in_words(things)} on stage."
    )
    return _picture(text, stage.frame(things, place="stage"))


def _picture(text: str, frame: Frame) -> Draft:
    return Draft(text, (frame,), _questions(frame))


def _questions(frame: Frame) -> tuple[Question, ...]:
    """From what is there at all to everything that was said of it."""
    name, scene = out(1), frame.scene
    place = c.Place(picture=name, background=scene.background)
    style = c.Drawn(picture=name, style=scene.style)
    others = tuple(seen(name, thing) for thing in scene.things[1:])
    whole: Checks = (exactly(name, frame), place, style)
    return questions(
        (c.Count(outputs=1), seen(name, frame.hero)),
        others or place,
        (place, style),
        _arrangement(name, frame),
        exactly(name, frame),
        (*whole, *_looks(name, frame)),
    )


def _arrangement(name: str, frame: Frame) -> Checks:
    hero, scene = frame.hero, frame.scene
    if scene.relation is not None:
        return (c.Stands(picture=name, first=hero.subject, relation=scene.relation, second=scene.things[1].subject),)
    if len(frame.sprites) > 1:
        return tuple(c.Shows(picture=name, subject=t.subject, count=t.count) for t in scene.things)
    where = (c.At(picture=name, subject=hero.subject, position=hero.position),) if hero.position else ()
    return (*where, side_of(name, hero))


def _looks(name: str, frame: Frame) -> Checks:
    dressed = any(t.tint or t.worn for t in frame.scene.things)
    return tuple(looks(name, t) for t in frame.scene.things) if dressed else _arrangement(name, frame)


TASKS: Mapping[str, Callable[[Stage], Draft]] = {
    "architectural_style": _architectural_style,
    "business_card": _business_card,
    "game_ui": _game_ui,
    "info_chart": _info_chart,
    "interior": _interior,
    "painting": _painting,
    "sculpture": _sculpture,
    "ticket": _ticket,
    "landmark": _landmark,
    "logo": _logo,
    "poster": _poster,
}
