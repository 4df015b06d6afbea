"""Is2I: several pictures in, one out: what one has goes to another, or all meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.pocket_tasks.stage import (
    ANIMALS,
    FOODS,
    THINGS,
    VEHICLES,
    Checks,
    Draft,
    Frame,
    Stage,
    a,
    changed,
    elsewhere,
    exactly,
    looks,
    out,
    questions,
    seen,
    sized,
    there,
)
from chatdit.tools.pocket.scene import Position, RelationKind, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, Size

OUT = out(1)


def _age(stage: Stage) -> Draft:
    """As large as the other one."""
    first = _hero(stage, size="small")
    second = _hero(stage, size="large", but=first.hero.subject)
    name, other = first.hero.subject, second.hero.subject
    text = stage.say(
        f"Picture 1 shows {a(name)}, picture 2 {a(other)}. Make the {name} as large as the {other}.",
        f"Draw the {name} of the first picture as large as the {other} of the second.",
    )
    large = c.Sized(picture=OUT, subject=name, at_least=0.55)
    after = sized(first, 192, (128, 140))
    return _given(text, first, second, after, large, _here(first), large)


def _wearing(stage: Stage, kinds: tuple[str, ...]) -> Draft:
    """What the second wears, on the first."""
    worn = Worn(stage.one(kinds), stage.tint())
    first = _hero(stage)
    second = _hero(stage, worn=worn, but=first.hero.subject)
    name, other = first.hero.subject, second.hero.subject
    text = stage.say(
        f"The {name} of picture 1 should wear the {worn.kind} that the {other} of picture 2 wears.",
        f"Give the {name} the {worn.colour} {worn.kind} of the {other} in the second picture.",
    )
    after = changed(first, worn=worn)
    return _given(text, first, second, after, seen(OUT, first.hero), _here(first), looks(OUT, after.hero))


def _hair(stage: Stage) -> Draft:
    """The colour of the second, on the first."""
    first = _hero(stage)
    second = _hero(stage, tint=stage.tint(), but=first.hero.subject)
    name, other = first.hero.subject, second.hero.subject
    text = stage.say(
        f"Give the {name} of picture 1 the colour of the {other} of picture 2.",
        f"Make the {name} {second.hero.tint}, like the {other} in the second picture.",
    )
    after = changed(first, tint=second.hero.tint)
    return _given(text, first, second, after, seen(OUT, first.hero), _here(first), looks(OUT, after.hero))


def _pose(stage: Stage) -> Draft:
    """Where the second stands."""
    where: Position = stage.one(("left", "right"))
    first = _hero(stage, size="small")
    second = _hero(stage, size="small", position=where, but=first.hero.subject)
    name, other = first.hero.subject, second.hero.subject
    text = stage.say(
        f"Let the {name} of the first picture stand where the {other} of the second picture stands.",
        f"Put the {name} of picture 1 on the {where}, as the {other} in picture 2.",
    )
    sprite = second.sprites[0]
    after = changed(first, left=sprite.left, top=sprite.top)
    at = c.At(picture=OUT, subject=name, position=where)
    stays = c.Layout(before="in2", after=OUT)
    return _given(text, first, second, after, seen(OUT, first.hero), _here(first), (at, stays))


def _identity(stage: Stage) -> Draft:
    """The second's subject in the first picture."""
    first = _hero(stage)
    second = _hero(stage, tint=stage.tint(), but=first.hero.subject)
    old, new = first.hero.subject, second.hero
    text = stage.say(
        f"Replace the {old} of picture 1 by the {new.tint} {new.subject} of picture 2.",
        f"Put the {new.subject} of the second picture in the place of the {old} in the first.",
    )
    after = changed(first, subject=new.subject, tint=new.tint)
    gone = c.Absent(picture=OUT, subject=old)
    return _given(text, first, second, after, gone, _here(first), (looks(OUT, new), c.Layout(before="in1", after=OUT)))


def _body_paint(stage: Stage) -> Draft:
    """Colour and clothes of the second, on the first."""
    worn = stage.worn()
    first = _hero(stage)
    second = _hero(stage, tint=stage.tint(worn.colour), worn=worn, but=first.hero.subject)
    name, other = first.hero.subject, second.hero.subject
    text = stage.say(
        f"Dress and paint the {name} of picture 1 like the {other} of picture 2.",
        f"Make the {name} {second.hero.tint} and let it wear the {worn.kind} of the {other}.",
    )
    after = changed(first, tint=second.hero.tint, worn=worn)
    dyed = c.Shows(picture=OUT, subject=name, tint=second.hero.tint)
    return _given(text, first, second, after, dyed, _here(first), looks(OUT, after.hero))


def _light(stage: Stage) -> Draft:
    """The second's background."""
    first, second = _hero(stage), elsewhere(_hero(stage), stage.one(("night", "sunset", "stage")))
    name = first.hero.subject
    text = stage.say(
        f"The {name} of the first picture in the light of the second picture.",
        f"Put the {name} of picture 1 {there(second.scene.background)}, as in picture 2.",
    )
    after = elsewhere(first, second.scene.background)
    place = c.SamePlace(pictures=("in2", OUT))
    return _given(text, first, second, after, seen(OUT, first.hero), place, c.Layout(before="in1", after=OUT))


def _style(stage: Stage, to: tuple[str, ...], of: str = "plain") -> Draft:
    """The second's style."""
    first = elsewhere(_hero(stage), style=of)
    second = elsewhere(_hero(stage), style=stage.one(to))
    name = first.hero.subject
    text = stage.say(
        f"Draw the {name} of the first picture in the style of the second.",
        f"Picture 1 shows {a(name)}. Redraw it in the style of picture 2.",
    )
    after = elsewhere(first, style=second.scene.style)
    style = c.SameStyle(pictures=("in2", OUT))
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), seen(OUT, first.hero)), style, _here(first), (exactly(OUT, after), style),
            c.Layout(before="in1", after=OUT), (style, _here(first), c.Layout(before="in1", after=OUT)),
        ),
        (first, second),
    )  # fmt: skip


def _panorama(stage: Stage) -> Draft:
    """Two halves of one place."""
    first = _hero(stage)
    second = elsewhere(_hero(stage, but=first.hero.subject), first.scene.background)
    return _together(
        stage, (first, second), "left of", first.scene.background,
        "Join the two pictures to one: the {0} on the left, the {1} on the right.",
        "One wide view of both pictures: the {0} left of the {1}.",
    )  # fmt: skip


def _insert(stage: Stage, verb: str) -> Draft:
    """The second's thing in the first picture, on one side."""
    first = _hero(stage, size="small", position="left")
    second = stage.frame(Thing(stage.one(THINGS + FOODS), size="large"), place="studio")
    name, new = first.hero.subject, second.hero.subject
    text = stage.say(
        f"{verb} the {new} of picture 2 to the right of the {name} in picture 1.",
        f"Picture 2 shows {a(new)}. {verb} it in picture 1, to the right of the {name}.",
    )
    after = stage.frame(Thing(name), Thing(new), place=first.scene.background, relation="left of")
    stands = c.Stands(picture=OUT, first=name, relation="left of", second=new)
    return _given(text, first, second, after, seen(OUT, second.hero), _here(first), (stands, exactly(OUT, after)))


def _remove(stage: Stage) -> Draft:
    """What the second shows goes from the first."""
    hero, thing = stage.one(ANIMALS), stage.one(THINGS)
    first = stage.frame(Thing(hero), Thing(thing), place=stage.place(), relation="left of")
    second = stage.frame(Thing(thing, size="large"), place="studio")
    text = stage.say(
        f"Remove the {thing} that picture 2 shows from picture 1.",
        f"Take the {thing} out of the first picture. The second shows which one I mean.",
    )
    after = Frame(replace(first.scene, things=first.scene.things[:1], relation=None), first.sprites[:1])
    stays = c.Layout(before="in1", after=OUT, but=(thing,))
    return _given(text, first, second, after, c.Absent(picture=OUT, subject=thing), _here(first), stays)


def _blend(stage: Stage, relation: RelationKind) -> Draft:
    """Both subjects in a new place."""
    first = _hero(stage, tint=stage.tint())
    second = _hero(stage, but=first.hero.subject)
    return _together(
        stage, (first, second), relation, stage.place(first.scene.background, second.scene.background),
        "The {0} of picture 1 " + relation + " the {1} of picture 2, both {2}.",
        "Show the {0} of the first picture " + relation + " the {1} of the second, {2}.",
    )  # fmt: skip


def _effect(stage: Stage) -> Draft:
    """An effect beside the first's subject, in the first's place."""
    first = stage.frame(Thing(stage.one(VEHICLES), size="small"), place=stage.place())
    second = stage.frame(Thing(stage.one(("explosion", "rainbow", "star", "sun")), size="large"), place="studio")
    return _together(
        stage, (first, second), "right of", first.scene.background,
        "Add the effect of picture 2 to picture 1: the {0} right of the {1}, {2}.",
        "The {0} of picture 1 should be right of the {1} of picture 2, {2}.",
    )  # fmt: skip


def _together(stage: Stage, given: tuple[Frame, Frame], relation: RelationKind, place: str, *phrases: str) -> Draft:
    first, second = (replace(f.hero, size="medium", position=None) for f in given)
    after = stage.frame(first, second, place=place, relation=relation)
    text = stage.say(*phrases).format(first.subject, second.subject, there(place))
    stands = c.Stands(picture=OUT, first=first.subject, relation=relation, second=second.subject)
    where = c.Place(picture=OUT, background=place)
    both = (looks(OUT, first), looks(OUT, second))
    alike: Checks = (
        c.SameHero(pictures=("in1", OUT), company=(second.subject,)),
        c.SameHero(pictures=("in2", OUT), company=(first.subject,)),
    )
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), seen(OUT, first)), seen(OUT, second), (stands, where), (exactly(OUT, after)),
            alike, (*alike, *both, stands, where),
        ),
        given,
    )  # fmt: skip


def _hero(
    stage: Stage,
    size: Size = "medium",
    position: Position | None = None,
    tint: str | None = None,
    worn: Worn | None = None,
    but: str = "",
) -> Frame:
    """One animal in a place of its own."""
    thing = Thing(stage.one(ANIMALS, but), 1, size, tint, position, worn=worn)
    return stage.frame(thing, place=stage.place())


def _here(first: Frame) -> c.Place:
    return c.Place(picture=OUT, background=first.scene.background)


def _given(
    text: str, first: Frame, second: Frame, after: Frame, basic: c.Check, where: c.Check, made: Checks | c.Check
) -> Draft:
    """The first picture with something of the second: from the subject to all of it at once."""
    made = made if isinstance(made, tuple) else (made,)
    style = c.Drawn(picture=OUT, style="plain")
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), basic), where, (style, *_all_there(after)), made, (exactly(OUT, after), where),
            (*made, where, style, exactly(OUT, after)),
        ),
        (first, second),
    )  # fmt: skip


def _all_there(after: Frame) -> Checks:
    return tuple(seen(OUT, thing) for thing in after.scene.things)


HATS = ("top hat", "party hat", "halo")

TASKS: Mapping[str, Callable[[Stage], Draft]] = {
    "human_attribute_age": _age,
    "human_attribute_clothes": partial(_wearing, kinds=HATS),
    "human_attribute_hair": _hair,
    "human_attribute_pose": _pose,
    "human_attribute_sex": _identity,
    "human_attribute_tattoo": partial(_wearing, kinds=("badge",)),
    "human_attribute_body_paint": _body_paint,
    "image_transfer_makeup": partial(_wearing, kinds=("flower", "bow")),
    "image_transfer_id": _identity,
    "image_transfer_light": _light,
    "image_transfer_posture": _pose,
    "image_transfer_style": partial(_style, to=("sketch", "sepia", "pixel art", "negative")),
    "panorama": _panorama,
    "text_editing_insertion": partial(_insert, verb="Add"),
    "text_editing_removal": _remove,
    "text_editing_replacement": _identity,
    "text_editing_style": partial(_style, to=("pixel art", "monochrome")),
    "3d_effect_generation_placement": partial(_insert, verb="Place"),
    "3d_effect_generation_three-view_reference": partial(_blend, relation="above"),
    "image_blending_artistic_collage": partial(_blend, relation="left of"),
    "image_blending_scene": partial(_blend, relation="right of"),
    "special_effect_adding": _effect,
    "real_and_anime_real_to_anime": partial(_style, to=("sketch",)),
    "real_and_anime_anime_to_real": partial(_style, to=("plain",), of="sketch"),
    "real_and_anime_blending": partial(_wearing, kinds=ACCESSORIES),
}
