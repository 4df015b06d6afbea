"""I2I: one picture changed, or its subject shown again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from chatdit.evals.judges import checks as c
from chatdit.evals.suites.pocket_tasks.stage import (
    ANIMALS,
    FOODS,
    THINGS,
    Checks,
    Draft,
    Frame,
    Pixels,
    Stage,
    a,
    changed,
    elsewhere,
    exactly,
    how,
    in_words,
    looks,
    out,
    questions,
    seen,
    sized,
    there,
    with_sprites,
)
from chatdit.tools.pocket import world
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Thing, Worn
from chatdit.tools.pocket.wearing import bounds
from chatdit.tools.types import Box

OUT, IN = out(1), "in1"
UPRIGHT = ("castle", "house", "temple", "guitar", "umbrella", "candle", "tent", "trophy")
"""Subjects of which anybody sees that they are crooked."""


def _species(stage: Stage) -> Draft:
    before, other = _scene(stage, ANIMALS), stage.one(ANIMALS)
    while other == before.hero.subject:
        other = stage.one(ANIMALS)
    after = changed(before, subject=other)
    text = stage.say(
        f"Replace the {before.hero.subject} by {a(other)} and leave everything else as it is.",
        f"Turn the {before.hero.subject} in this picture into {a(other)}. Nothing else may change.",
    )
    return _edit(text, before, after, seen(OUT, Thing(other)), c.Absent(picture=OUT, subject=before.hero.subject))


def _posture(stage: Stage) -> Draft:
    before = stage.frame(Thing(stage.one(ANIMALS), size="small", position="left"), place=stage.place())
    sprite = before.sprites[0]
    after = changed(before, left=PICTURE_PIXELS - sprite.left - sprite.side)
    name = before.hero.subject
    text = stage.say(
        f"Move the {name} to the right side of the picture.", f"Let the {name} stand on the right instead of the left."
    )
    return _edit(text, before, after, seen(OUT, before.hero), c.At(picture=OUT, subject=name, position="right"))


def _hair(stage: Stage) -> Draft:
    return _dyed(stage, _scene(stage, ANIMALS), "fur")


def _couple_icon(stage: Stage) -> Draft:
    before = stage.frame(Thing(stage.one(ANIMALS), size="large", worn=Worn("bow", stage.tint())), place="studio")
    colour = stage.tint(before.hero.worn.colour if before.hero.worn else "")
    partner = Thing(before.hero.subject, size="large", worn=Worn("bow", colour))
    after = changed(before, worn=partner.worn)
    text = stage.say(
        f"Here is my profile picture. Draw the same {partner.subject} for my partner, with a bow that is {colour}.",
        f"Make a matching icon: {in_words(partner)}, in the same studio.",
    )
    return _edit(text, before, after, seen(OUT, partner), looks(OUT, partner))


def _id_photo(stage: Stage) -> Draft:
    before = stage.frame(Thing(stage.one(ANIMALS), worn=stage.worn()), place=stage.place())
    after = sized(elsewhere(before, "studio"), 176, (128, 140))
    name = before.hero.subject
    text = stage.say(
        f"Make an ID photo of this {name}: large, in the middle, in a studio.",
        f"I need a passport picture of the {name}. Show it large in a studio, exactly as it looks here.",
    )
    place = c.Place(picture=OUT, background="studio")
    large = c.Sized(picture=OUT, subject=name, at_least=0.55)
    return _same(text, before, after, place, large, looks(OUT, before.hero))


def _blur(stage: Stage, worsen: Callable[[Pixels], Pixels], what: str) -> Draft:
    after = _scene(stage, ANIMALS)
    before = replace(after, worsen=worsen)
    text = stage.say(f"This photo is {what}. Make it sharp.", f"Please repair this picture, it is {what}.")
    place = c.Place(picture=OUT, background=after.scene.background)
    both = tuple(seen(OUT, t) for t in after.scene.things)
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), both[0]), place, both, c.Sharper(before=IN, after=OUT),
            (exactly(OUT, after), c.Drawn(picture=OUT, style="plain")), c.Layout(before=IN, after=OUT),
        ),
        (before,),
    )  # fmt: skip


def _completion(stage: Stage) -> Draft:
    after = stage.frame(Thing(stage.one(ANIMALS), size="small", position="left"), place=stage.place())
    before = replace(after, worsen=_half_grey)
    text = stage.say(
        "The right half of this picture is missing. Complete it.",
        f"Fill in the grey half of this picture of {a(after.hero.subject)} {there(after.scene.background)}.",
    )
    known = c.Kept(before=IN, after=OUT, outside=(Box(x1=0.5, y1=0, x2=1, y2=1),))
    place, style = c.Place(picture=OUT, background=after.scene.background), c.Drawn(picture=OUT, style="plain")
    filled = c.Different(pictures=(IN, OUT))
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), seen(OUT, after.hero)), filled, place, (style, exactly(OUT, after)), known,
            (known, place, filled, exactly(OUT, after)),
        ),
        (before,),
    )  # fmt: skip


def _retouch(stage: Stage, kind: str) -> Draft:
    colour = stage.tint()
    before = stage.frame(Thing(stage.one(ANIMALS), worn=Worn(kind, colour)), place=stage.place())
    after = changed(before, worn=None)
    name = before.hero.subject
    text = stage.say(
        f"Remove the {kind} from the {name}.", f"Retouch this picture: the {name} should not wear the {colour} {kind}."
    )
    return _edit(text, before, after, seen(OUT, before.hero), c.Bare(picture=OUT, subject=name))


def _straighten(stage: Stage, size: str) -> Draft:
    thing = Thing(stage.one(UPRIGHT), size="large" if size == "large" else "medium")
    upright = stage.frame(thing, place=stage.place())
    before = changed(upright, rotation=stage.one((-16, -14, 14, 16)))
    text = stage.say(
        f"The {thing.subject} is crooked. Straighten it.", f"Turn the {thing.subject} in this picture upright."
    )
    straight = c.Turned(picture=OUT, subject=thing.subject, within=6)
    return _edit(text, before, upright, seen(OUT, thing), straight)


def _lighting(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    light = stage.one(("night", "sunset"))
    text = stage.say(
        f"What would this picture look like {there(light)}? Leave the subjects where they are.",
        f"Change the light: put the {before.hero.subject} and the rest of it {there(light)}.",
    )
    return _moved(text, before, elsewhere(before, light))


def _enlargement(stage: Stage) -> Draft:
    before = stage.frame(Thing(stage.one(ANIMALS + THINGS), size="small"), place=stage.place())
    after = sized(before, 192, (128, 140))
    name = before.hero.subject
    text = stage.say(f"Show the {name} large.", f"Come closer to the {name} in this picture, so that it gets large.")
    large = c.Sized(picture=OUT, subject=name, at_least=0.55)
    place = c.Place(picture=OUT, background=before.scene.background)
    return _same(text, before, after, place, large, (exactly(OUT, after), large))


def _background(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    place = stage.place(before.scene.background)
    text = stage.say(
        f"Put the {before.hero.subject} and the {before.scene.things[1].subject} {there(place)} instead.",
        f"Change the background of this picture: it should be {there(place)}. Keep everything else.",
    )
    return _moved(text, before, elsewhere(before, place))


def _add(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    names = [t.subject for t in before.scene.things]
    new = Thing(stage.one(FOODS + THINGS, *names), size="small")
    sprite = None
    while sprite is None:
        stood = replace(world.stand(new, stage.rng, (56, 72)), rotation=0)
        sprite = world.fits_in(stage.rng, stood, before.sprites)
    after = replace(before, sprites=(*before.sprites, sprite))
    after = replace(after, scene=replace(before.scene, things=(*before.scene.things, new), relation=None))
    text = stage.say(f"Add {in_words(Thing(new.subject))} to this picture.", f"There should be {a(new.subject)} too.")
    return _edit(text, before, after, seen(OUT, before.hero), seen(OUT, new), new=sprite)


def _remove(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    gone = before.scene.things[1].subject
    after = with_sprites(before, before.sprites[0])
    text = stage.say(f"Remove the {gone}.", f"Take the {gone} out of this picture and change nothing else.")
    return _edit(text, before, after, seen(OUT, before.hero), c.Absent(picture=OUT, subject=gone))


def _replace(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    old = before.scene.things[1].subject
    new = stage.one(FOODS + THINGS, old)
    after = changed(before, 1, subject=new)
    text = stage.say(f"Replace the {old} by {a(new)}.", f"I would like {a(new)} in place of the {old}. Keep the rest.")
    return _edit(text, before, after, seen(OUT, Thing(new)), c.Absent(picture=OUT, subject=old))


def _packaging(stage: Stage) -> Draft:
    before = stage.frame(Thing(stage.one(FOODS), size="large"), place="studio")
    name = before.hero.subject
    after = stage.frame(Thing(name), Thing("box"), place="studio", relation="above")
    text = stage.say(
        f"Design a packaging: this {name} above a box, in a studio.", f"Show the {name} above its box in a studio."
    )
    stands = c.Stands(picture=OUT, first=name, relation="above", second="box")
    return _same(text, before, after, c.Place(picture=OUT, background="studio"), stands, exactly(OUT, after))


def _restyled(stage: Stage, style: str) -> Draft:
    before = _scene(stage, ANIMALS)
    after = elsewhere(before, style=style)
    text = stage.say(f"Turn this picture into {_ARTS[style]}.", f"Draw the same picture {how(stage, style)}.")
    both = tuple(seen(OUT, t) for t in before.scene.things)
    made = c.Drawn(picture=OUT, style=style)
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), both[0]), made, both, c.Place(picture=OUT, background=before.scene.background),
            (exactly(OUT, after), made), (c.Layout(before=IN, after=OUT), made),
        ),
        (before,),
    )  # fmt: skip


def _time(stage: Stage) -> Draft:
    before = _scene(stage, ANIMALS)
    season = stage.one(("autumn", "snow"))
    text = stage.say(
        f"The same picture {there(season)}, please.", f"Show how this looks {there(season)}. Keep who is in it."
    )
    return _moved(text, before, elsewhere(before, season))


def _merchandise(stage: Stage) -> Draft:
    hero = Thing(stage.one(ANIMALS), tint=stage.tint())
    before = stage.frame(replace(hero, size="large"), place="studio")
    goods = stage.one(("shirt", "handbag", "umbrella"))
    after = stage.frame(hero, Thing(goods), place="studio", relation="left of")
    text = stage.say(
        f"Our mascot beside merchandise: this {hero.subject} left of {a(goods)} in a studio.",
        f"Show this very {hero.tint} {hero.subject} left of {a(goods)} in a studio.",
    )
    stands = c.Stands(picture=OUT, first=hero.subject, relation="left of", second=goods)
    return _same(text, before, after, seen(OUT, Thing(goods)), stands, (looks(OUT, hero), exactly(OUT, after)))


def _dyed(stage: Stage, before: Frame, what: str) -> Draft:
    tint, name = stage.tint(), before.hero.subject
    after = changed(before, tint=tint)
    text = stage.say(f"Make the {name} {tint}.", f"Give the {name} {tint} {what} and leave the rest as it is.")
    return _edit(text, before, after, seen(OUT, before.hero), looks(OUT, after.hero))


def _scene(stage: Stage, pool: tuple[str, ...]) -> Frame:
    """Two subjects, one of `pool` and another, side by side."""
    hero = stage.one(pool)
    other = stage.one(FOODS + THINGS, hero)
    relation = stage.relation("left of", "right of")
    return stage.frame(Thing(hero), Thing(other), place=stage.place(), relation=relation)


def _edit(text: str, before: Frame, after: Frame, basic: c.Check, made: c.Check, new: Placement | None = None) -> Draft:
    """What is edited and nothing else: from the edit itself to every pixel that should stay."""
    scene = before.scene
    touched = [s for s in before.sprites if s not in after.sprites]
    touched += [s for s in after.sprites if s not in before.sprites]
    touched += [new] if new else []
    gone = tuple(s.subject for s in before.sprites if s not in after.sprites)
    kept = c.Kept(before=IN, after=OUT, outside=tuple(_box(s) for s in touched))
    stay: Checks = (c.Layout(before=IN, after=OUT, but=gone), *(seen(OUT, t) for t in after.scene.things))
    place = c.Place(picture=OUT, background=scene.background)
    return Draft(
        text,
        (after,),
        questions((c.Count(outputs=1), basic), made, (place, exactly(OUT, after)), stay, kept, (kept, made, *stay)),
        (before,),
    )


def _moved(text: str, before: Frame, after: Frame) -> Draft:
    """The same subjects at the same spots before another background."""
    both = tuple(seen(OUT, t) for t in before.scene.things)
    place = c.Place(picture=OUT, background=after.scene.background)
    layout = c.Layout(before=IN, after=OUT)
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), both[0]), place, both, c.Drawn(picture=OUT, style="plain"),
            (exactly(OUT, after), place), (layout, place),
        ),
        (before,),
    )  # fmt: skip


def _same(text: str, before: Frame, after: Frame, where: c.Check, made: c.Check, hard: Checks | c.Check) -> Draft:
    """The subject of the given picture once more, in another picture."""
    company = tuple(t.subject for t in after.scene.things[1:])
    same = c.SameHero(pictures=(IN, OUT), company=company)
    hard = hard if isinstance(hard, tuple) else (hard,)
    return Draft(
        text,
        (after,),
        questions(
            (c.Count(outputs=1), seen(OUT, before.hero)), where, made, c.Drawn(picture=OUT, style="plain"), same,
            (same, made, *hard),
        ),
        (before,),
    )  # fmt: skip


def _box(sprite: Placement) -> Box:
    """The sprite's surroundings, generously."""
    left, top, right, bottom = bounds(sprite)
    x1, y1, x2, y2 = (v / PICTURE_PIXELS for v in (left - 8, top - 8, right + 8, bottom + 8))
    return Box(x1=max(0.0, x1), y1=max(0.0, y1), x2=min(1.0, x2), y2=min(1.0, y2))


def _out_of_focus(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3)))


def _shaken(pixels: Pixels) -> Pixels:
    return _mean([np.roll(pixels, k, axis=1) for k in range(-5, 6)])


def _spun(pixels: Pixels) -> Pixels:
    picture = Image.fromarray(pixels)
    return _mean([np.asarray(picture.rotate(k, Image.Resampling.BILINEAR)) for k in range(-8, 9)])


def _mean(pictures: Sequence[Pixels]) -> Pixels:
    mean: Pixels = np.rint(np.mean(np.stack(pictures).astype(np.float64), axis=0)).astype(np.uint8)
    return mean


def _half_grey(pixels: Pixels) -> Pixels:
    grey = pixels.copy()
    grey[:, PICTURE_PIXELS // 2 :] = 127
    return grey


_ARTS = {
    "sketch": "a pencil sketch",
    "sepia": "an old sepia photo",
    "negative": "a negative",
    "monochrome": "a black and white photo",
    "pixel art": "pixel art",
}

TASKS: Mapping[str, Callable[[Stage], Draft]] = {
    "animal_attribute_species": _species,
    "animal_attribute_posture": _posture,
    "animal_attribute_hair": _hair,
    "couple_icon": _couple_icon,
    "id_photo": _id_photo,
    "image_blur_field": partial(_blur, worsen=_out_of_focus, what="out of focus"),
    "image_blur_motion": partial(_blur, worsen=_shaken, what="blurred by motion"),
    "image_blur_rotation": partial(_blur, worsen=_spun, what="blurred by a turn of the camera"),
    "image_completion": _completion,
    "image_retouching_portrait": partial(_retouch, kind="badge"),
    "image_retouching_landscape": partial(_retouch, kind="flower"),
    "image_straightening_clip": partial(_straighten, size="large"),
    "image_straightening_complete": partial(_straighten, size="medium"),
    "lighting_adjustment": _lighting,
    "local_enlargement": _enlargement,
    "object_editing_background": _background,
    "object_editing_adding": _add,
    "object_editing_removing": _remove,
    "object_editing_replacing": _replace,
    "packaging_design": _packaging,
    "style_editing_art": partial(_restyled, style="sketch"),
    "style_editing_era": partial(_restyled, style="sepia"),
    "style_editing_material": partial(_restyled, style="pixel art"),
    "style_editing_time": _time,
    "brand_merchandise": _merchandise,
}
