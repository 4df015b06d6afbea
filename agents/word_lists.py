"""Word lists of the offline parser that are not about grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FILLER = """
please pls kindly can could would will you i i'd i'll we me us my our your want wanna like need let let's to of is are
be being been was were has have having had there here which who that's now just so also too as well ok okay hey hi
hello thanks thank style background scene setting place somewhere itself themselves do does should must might may
different see tell use using back cartoon shows showing show featuring depicting containing includes including but
while still very really quite rather bit colour color coloured colored looks look looking get got go goes appears
appear stands standing sits placed positioned located shown seen done what how about by for version variant variation
kind sort type together side time actually maybe perhaps simply ones things thing else rest whole entire set
adventures adventure story day life remains remain stays stay remaining nice good great cool cute lovely beautiful
pretty awesome amazing wonderful perfect wow simple digital high quality detailed hd 4k
"""
_UNDRAWABLE = """
happy sad angry funny silly scary friendly sleepy tired asleep awake young old baby fat thin tall short fluffy furry
shiny glowing sunny rainy cloudy stormy foggy misty warm cold bright dark light colorful colourful magical mysterious
cozy cosy spooky majestic elegant realistic photorealistic cinematic dramatic epic brave proud lonely hungry clean
statue sculpture retro matching fur hair coat feathers skin
dirty wild fast slow strong quiet peaceful deep distant modern fancy lush tropical lost curious gentle round fresh
wooden stone plastic metal
"""
_ACTIONS = """
sleep wake sit stand run walk fly jump swim dance play eat drink read sing smile laugh cry float ride drive hold
wear carry chase follow meet find catch hug kiss fight watch visit sail hide wait rest climb fall land dream travel
"""
_COLOURS = "black white brown gray grey silver beige teal maroon tan bronze"

FILLER = frozenset(_FILLER.split())
"""Words that carry nothing a painter needs; ignored in silence."""


def _inflected(verb: str) -> tuple[str, str, str]:
    """ "chase", "chases", "chasing"; a last consonant after one short vowel is doubled ("running")."""
    hisses = verb.endswith(("s", "sh", "ch"))
    third = f"{verb[:-1]}ies" if re.search("[^aeo]y$", verb) else f"{verb}{'es' if hisses else 's'}"
    stem = verb.removesuffix("e") + verb[-1] * bool(re.fullmatch("[^aeiou]*[aeiou][^aeiouwxy]", verb))
    return verb, third, f"{stem}ing"


UNDRAWABLE = frozenset(_UNDRAWABLE.split()) | {form for verb in _ACTIONS.split() for form in _inflected(verb)}
"""Moods, actions and materials; left out with a notice."""

COLOURS = frozenset(_COLOURS.split())
"""Colours that the painter has no tint for; asked about."""

SIZES: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "tiny", "little", "mini", "miniature", "smallish", "small-sized"),
    "medium": ("medium", "medium-sized", "normal-sized", "mid-sized", "normal size", "medium size"),
    "large": ("large", "big", "huge", "giant", "enormous", "gigantic", "massive", "oversized"),
}

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "animal": ("cat", "fox", "elephant"),
    "bird": ("owl", "parrot", "duck"),
    "insect": ("bee", "ant", "butterfly"),
    "pet": ("cat", "dog", "rabbit"),
    "flower": ("rose", "tulip", "sunflower"),
    "plant": ("seedling", "cactus", "tulip"),
    "fruit": ("apple", "banana", "strawberry"),
    "vegetable": ("carrot", "tomato", "broccoli"),
    "food": ("pizza", "hamburger", "cake"),
    "drink": ("beer", "cocktail"),
    "vehicle": ("car", "bus", "truck"),
    "toy": ("robot", "kite", "balloon"),
    "instrument": ("guitar", "piano", "drum"),
    "building": ("house", "castle", "temple"),
    "clothes": ("shirt", "jeans", "dress"),
    "hat": ("crown",),
}
"""What the painter knows of a kind of thing, to offer when the kind is asked for."""

_PEOPLE = """
man men woman women boy boys girl girls person people child children kid kids human guy lady mother father mom dad
knight king queen prince princess pirate wizard witch astronaut doctor farmer soldier
"""
PEOPLE = frozenset(_PEOPLE.split())
"""Nobody of these is among the subjects."""
