"""Word lists of the offline parser that are not about grammar."""

from __future__ import annotations

from collections.abc import Mapping

_FILLER = """
please pls kindly can could would will you i i'd i'll we me us my our your want wanna like need let let's to of
is are be being been was were has have having had there here which who that's now just so also too as well ok
okay hey hi hello thanks thank style background scene setting place somewhere itself themselves do does should
must might may shows showing show featuring depicting containing includes including but while still very really
quite rather more bit colour color coloured colored looks look looking get got go goes appears appear stands
standing sits placed positioned located shown seen done what how about by for version variant variation kind
sort type together side time actually maybe perhaps simply ones things thing everything else rest whole entire
set adventures adventure story day life remains remain stays stay remaining nice good great cool cute lovely
beautiful pretty awesome amazing wonderful perfect wow simple digital high quality detailed hd 4k
"""
_UNDRAWABLE = """
happy sad angry funny silly scary friendly sleepy tired sleeping asleep sitting standing running walking flying
jumping swimming dancing playing eating drinking reading singing smiling laughing crying floating riding driving
holding wearing carrying chasing watching sailing hiding waiting resting climbing falling landing young old baby
fat thin tall short fluffy furry shiny glowing sunny rainy cloudy stormy foggy misty warm cold bright dark
colorful colourful magical mysterious cozy cosy spooky majestic elegant realistic photorealistic cinematic
dramatic epic brave proud lonely hungry clean dirty wild fast slow strong quiet peaceful deep distant modern
fancy lush tropical lost curious gentle round fresh wooden stone plastic metal
"""
_COLOURS = "black white brown gray grey silver beige teal maroon tan bronze"

FILLER = frozenset(_FILLER.split())
"""Words that carry nothing a painter needs; ignored in silence."""

UNDRAWABLE = frozenset(_UNDRAWABLE.split())
"""Moods, actions and materials; left out with a notice."""

COLOURS = frozenset(_COLOURS.split())
"""Colours that the painter has no tint for; asked about."""

SIZES: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "tiny", "little", "mini", "miniature", "smallish", "small-sized"),
    "medium": ("medium", "medium-sized", "normal-sized", "mid-sized", "normal size", "medium size"),
    "large": ("large", "big", "huge", "giant", "enormous", "gigantic", "massive", "oversized"),
}
