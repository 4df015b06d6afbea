"""Captions of pocket scenes: the sentences the text encoder is trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from chatdit.tools.pocket.scene import NAMELESS, Garment, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.spots import spot_words
from chatdit.tools.pocket.vocabulary import (
    BACKGROUNDS,
    COUNT_WORDS,
    SUBJECTS,
    TINT_SYNONYMS,
    caption_synonyms,
)

COLOURLESS: tuple[str, ...] = ("sketch", "monochrome", "sepia")
"""Styles in which nobody could see a colour that a caption names."""
SHORT_SHARE = 0.2
SYNONYM_SHARE = 0.15
REORDERED_SHARE = 0.25
POSITION_PHRASES = {
    "left": "on the left",
    "right": "on the right",
    "middle": "in the middle",
    "top": "at the top",
    "bottom": "at the bottom",
}


def caption(scene: Scene, spots: Sequence[Placement] = ()) -> str:
    """One sentence that says everything about `scene`; with `spots`, its sprites, also where each stands."""
    style = "" if scene.style == "plain" else f", {scene.style} style"
    return f"{_subjects(scene, None, spots)} {BACKGROUNDS[scene.background].phrase}{style}"


def loose_caption(scene: Scene, rng: random.Random, spots: Sequence[Placement] = ()) -> str:
    """The same in words as people vary them: a fifth leaves things out, some use synonyms or another order.

    Colours are named only where the style shows them. With `spots`, its sprites, it also tells where each stands.
    """
    if scene.style in COLOURLESS:
        scene = replace(scene, things=tuple(_uncoloured(thing) for thing in scene.things))
    if rng.random() < SHORT_SHARE:
        return _short(scene, rng, spots)
    named, place, style = _subjects(scene, rng, spots), BACKGROUNDS[scene.background].phrase, f"{scene.style} style"
    parts = [named, place] if scene.style == "plain" else [named, place, style]
    if rng.random() < REORDERED_SHARE:
        rng.shuffle(parts)
        return ", ".join(parts)
    return f"{named} {place}" + "".join(f", {part}" for part in parts[2:])


def joint_caption(captions: Sequence[str]) -> str:
    """One caption for a set of panels, each introduced by its tag; a lone caption stays as it is."""
    if len(captions) == 1:
        return captions[0]
    return " ".join(f"[panel{i}] {text}" for i, text in enumerate(captions, start=1))


def noun_phrase(thing: Thing, rng: random.Random | None = None) -> str:
    """What a thing is called, with its count, size and tint; `rng` may choose synonyms."""
    one, many = _names(thing.subject, rng)
    tint = _tint(thing.tint, rng)
    if thing.count > 1:
        phrase = " ".join(w for w in (COUNT_WORDS[thing.count], tint, many) if w)
    else:
        size = None if thing.size == "medium" else thing.size
        phrase = _with_article(" ".join(w for w in (size, tint, one) if w))
    clothes = [] if thing.worn is None else [_worn(thing.worn, rng)]
    if thing.outfit is not None:
        clothes = [_garment(thing.outfit.top, rng), _garment(thing.outfit.bottom, rng), *clothes]
    return f"{phrase} wearing {' and '.join(clothes)}" if clothes else phrase


def _subjects(scene: Scene, rng: random.Random | None, spots: Sequence[Placement]) -> str:
    names = [noun_phrase(thing, rng) for thing in scene.things]
    if spots:
        words = iter([spot_words(sprite) for sprite in spots])
        names = [" ".join([n, *islice(words, t.count)]) for n, t in zip(names, scene.things, strict=True)]
    if scene.relation is not None:
        named = f"{names[0]} {scene.relation} {names[1]}"
    elif len(names) == 1:
        named = names[0]
    else:
        named = f"{', '.join(names[:-1])} and {names[-1]}"
    position = scene.things[0].position
    return named if position is None else f"{named} {POSITION_PHRASES[position]}"


def _short(scene: Scene, rng: random.Random, spots: Sequence[Placement]) -> str:
    """Without sizes and positions, and without the place and clothes in half.

    Tints, things worn and styles are never left out, since who does not ask for them does not want them.
    """
    dressed = rng.random() < 0.5
    bare = [replace(t, size="medium", position=None, outfit=t.outfit if dressed else None) for t in scene.things]
    parts = [_subjects(replace(scene, things=tuple(bare)), rng, spots)]
    parts += [BACKGROUNDS[scene.background].phrase] if rng.random() < 0.5 else []
    return " ".join(parts) + ("" if scene.style == "plain" else f", {scene.style} style")


def _uncoloured(thing: Thing) -> Thing:
    worn = thing.worn and replace(thing.worn, colour="")
    outfit = thing.outfit
    if outfit is not None:
        outfit = replace(outfit, top=replace(outfit.top, colour=""), bottom=replace(outfit.bottom, colour=""))
    return replace(thing, tint=None, worn=worn, outfit=outfit)


def _names(subject: str, rng: random.Random | None) -> tuple[str, str]:
    if subject == NAMELESS:
        return NAMELESS, f"{NAMELESS}s"
    if rng is not None and subject in caption_synonyms() and rng.random() < SYNONYM_SHARE:
        return rng.choice(caption_synonyms()[subject])
    return subject, SUBJECTS[subject].plural if subject in SUBJECTS else subject


def _tint(tint: str | None, rng: random.Random | None) -> str | None:
    if not tint or rng is None or rng.random() >= SYNONYM_SHARE:
        return tint
    return rng.choice(TINT_SYNONYMS[tint])


def _worn(worn: Worn, rng: random.Random | None) -> str:
    return _with_article(f"{_tint(worn.colour, rng)} {worn.kind}".strip())


def _garment(garment: Garment, rng: random.Random | None) -> str:
    texture = "" if garment.texture == "plain" else garment.texture
    phrase = " ".join(w for w in (texture, _tint(garment.colour, rng), garment.kind) if w)
    return phrase if garment.kind.endswith("s") else _with_article(phrase)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
