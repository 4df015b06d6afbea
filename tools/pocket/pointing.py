"""Which of the things in a picture are meant: by a phrase, or by a box around them.

Boxes and points are in fractions of the picture, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image
from torch import Tensor

from chatdit.tools.pocket.captions import COLOURLESS, noun_phrase
from chatdit.tools.pocket.phrase_reader import Named, read_phrase
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Position, RelationKind, Thing, Worn
from chatdit.tools.pocket.sprites import atlas_tiles
from chatdit.tools.pocket.vocabulary import COUNT_WORDS, PERSON, SUBJECTS
from chatdit.tools.types import Box, ToolError

NATURAL_SHARE = 0.25
"""Of a sprite's pixels in one hue, from which on people would call it by that colour."""
INSIDE = 0.5
"""Of a thing's box inside another box, from which on that box means it."""

NEAR = 6 / PICTURE_PIXELS
"""How far beside a thing's box a point may lie to mean it."""


@dataclass(frozen=True)
class Pick:
    """A thing that is meant, or only what it wears."""

    sighting: Sighting
    worn: bool = False


def named_picks(reading: Reading, phrase: str) -> tuple[Pick, ...]:
    """What `phrase` names in the picture, each once.

    Raises:
        ToolError: it names something that is not there; the line says what is.
    """
    read = read_phrase(phrase)
    if read.unknown or not read.named:
        words = f"holds {read.unknown[0]!r}" if read.unknown else "names nothing"
        raise ToolError(f"{phrase!r} {words}, and {told(reading)}: expected words for some of that")
    found: dict[Pick, None] = {}
    for noun in read.named:
        picks = _meant(noun, reading)
        if not picks:
            raise ToolError(f"{phrase!r} is not there, and {told(reading)}: expected one of them")
        found |= dict.fromkeys(picks)
    return tuple(found)


def picks_of(reading: Reading, phrase: str | None) -> tuple[Pick, ...]:
    """What a phrase names, or, without one, everything; raises as `named_picks` does."""
    return tuple(map(Pick, reading.sightings)) if phrase is None else named_picks(reading, phrase)


def inside(sightings: Sequence[Sighting], box: Box) -> tuple[Sighting, ...]:
    """Those of which most lies in the box; where it is smaller than they are, those of which it shows most."""
    kept = tuple(s for s in sightings if shared(s.box, box) >= INSIDE * area(s.box))
    return kept or tuple(s for s in sightings if shared(s.box, box) >= INSIDE * area(box))


def nearest(
    point: tuple[float, float], picks: Sequence[Pick], mask_of: Callable[[Sighting], Tensor]
) -> Sighting | None:
    """The thing on whose mask, bool (H, W), a point lies, else the one whose box is nearest; None far from all."""
    near = sorted((off, i) for i, pick in enumerate(picks) if (off := _beside(point, pick.sighting.box)) <= NEAR)
    things = [picks[i].sighting for _, i in near]
    if len(things) > 1:
        for thing in things:
            mask = mask_of(thing)
            x, y = (min(side - 1, int(v * side)) for v, side in zip(point, (mask.shape[1], mask.shape[0]), strict=True))
            if mask[y, x]:
                return thing
    return next(iter(things), None)


def told(reading: Reading) -> str:
    """What a picture shows, as a clause: "the picture shows a fox and two red cats"."""
    if not reading.sightings:
        return "nothing that the painter knows was found in the picture"
    return f"the picture shows {called([Pick(s) for s in reading.sightings], reading.style)}"


def called(picks: Sequence[Pick], style: str) -> str:
    """The picks in words, those alike together: "a fox, two red cats and the bow of a dog"."""
    counts: dict[str, int] = {}
    wholes: dict[str, Thing] = {}
    for pick in picks:
        thing = _thing(pick.sighting, style)
        words = _worn_words(thing) if pick.worn else noun_phrase(thing)
        counts[words] = counts.get(words, 0) + 1
        if not pick.worn:
            wholes[words] = thing
    parts = [words if n == 1 or words not in wholes else _several(wholes[words], n) for words, n in counts.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def natural_tints(subject: str) -> frozenset[str]:
    """The names of the colours that a subject has where nobody dyed it."""
    return frozenset() if subject == PERSON else _natural_tints()[SUBJECTS[subject].index]


def _meant(noun: Named, reading: Reading) -> list[Pick]:
    """The things that a noun names: every one that is so, or the one furthest where it says where."""
    kept = [s for s in reading.sightings if noun.subject in (None, s.subject)]
    kept = _worn_by(noun, kept, colours=reading.style not in COLOURLESS)
    if noun.tint is not None and reading.style not in COLOURLESS:
        kept = _tinted(noun.tint, kept)
    if noun.beside is not None:
        relation, other = noun.beside
        others = [pick.sighting for pick in _meant(other, reading)]
        kept = [s for s in kept if any(o is not s and _stands(relation, s.box, o.box) for o in others)]
    kept = _placed(noun, _sized(noun, kept))
    return [Pick(s, worn=bool(noun.part)) for s in kept]


def _worn_by(noun: Named, sightings: list[Sighting], *, colours: bool) -> list[Sighting]:
    if not noun.wears:
        return sightings
    if noun.bare:
        return [s for s in sightings if s.worn is None or s.worn.kind not in noun.wears]
    kept = [s for s in sightings if s.worn is not None and s.worn.kind in noun.wears]
    if noun.wears_tint is None or not colours:
        return kept
    return [s for s in kept if s.worn is not None and s.worn.colour == noun.wears_tint]


def _tinted(tint: str, sightings: list[Sighting]) -> list[Sighting]:
    """Those dyed so; else those that are so by nature."""
    dyed = [s for s in sightings if s.tint == tint]
    return dyed or [s for s in sightings if s.tint is None and tint in natural_tints(s.subject)]


def _sized(noun: Named, sightings: list[Sighting]) -> list[Sighting]:
    """The largest or smallest; of several, the larger or smaller half of the range."""
    if noun.size not in ("small", "large") or len(sightings) < 2:
        return sightings
    sign = -1 if noun.size == "large" else 1
    return _first(sightings, lambda s: sign * area(s.box), several=noun.several)


def _placed(noun: Named, sightings: list[Sighting]) -> list[Sighting]:
    """The one that lies furthest on that side; of several, those on that half of them."""
    if not noun.places or len(sightings) < 2:
        return sightings
    return _first(sightings, lambda s: sum(_FURTHER[p](*centre(s.box)) for p in noun.places), several=noun.several)


def _first(sightings: list[Sighting], rank: Callable[[Sighting], float], *, several: bool) -> list[Sighting]:
    ranks = [rank(s) for s in sightings]
    limit = (min(ranks) + max(ranks)) / 2 if several else min(ranks)
    return [s for s, r in zip(sightings, ranks, strict=True) if r <= limit]


_FURTHER: Mapping[Position, Callable[[float, float], float]] = {
    "left": lambda x, y: x,
    "right": lambda x, y: -x,
    "top": lambda x, y: y,
    "bottom": lambda x, y: -y,
    "middle": lambda x, y: max(abs(x - 0.5), abs(y - 0.5)),
}


def _stands(relation: RelationKind, first: Box, second: Box) -> bool:
    (x1, y1), (x2, y2) = centre(first), centre(second)
    return {"left of": x2 - x1, "right of": x1 - x2, "above": y2 - y1, "below": y1 - y2}[relation] > 0


def centre(box: Box) -> tuple[float, float]:
    """Middle of a box, x and y."""
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def area(box: Box) -> float:
    """Of a box, as a share of the picture's."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def shared(a: Box, b: Box) -> float:
    """Area that two boxes have in common."""
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    return max(0.0, width) * max(0.0, height)


def _beside(point: tuple[float, float], box: Box) -> float:
    """How far a point lies beside a box; 0 inside of it."""
    x, y = point
    return max(box.x1 - x, x - box.x2, box.y1 - y, y - box.y2, 0.0)


def _thing(sighting: Sighting, style: str) -> Thing:
    """The sighting as a caption would name it, without colours that the style hides."""
    worn, tint = sighting.worn, sighting.tint
    if style in COLOURLESS:
        worn, tint = worn and Worn(worn.kind, ""), None
    return Thing(sighting.subject, tint=tint, worn=worn)


def _worn_words(thing: Thing) -> str:
    assert thing.worn is not None
    kind = f"{thing.worn.colour} {thing.worn.kind}".strip()
    return f"the {kind} of {noun_phrase(replace(thing, worn=None))}"


def _several(thing: Thing, count: int) -> str:
    if thing.subject not in SUBJECTS:
        return f"{count} times {noun_phrase(thing)}"
    return noun_phrase(replace(thing, count=2)).replace(COUNT_WORDS[2], COUNT_WORDS.get(count, str(count)), 1)


@cache
def _natural_tints() -> tuple[frozenset[str], ...]:
    return tuple(_hues(tile[tile[..., 3] > 127]) for tile in atlas_tiles())


_HUES = (("red", 10), ("orange", 29), ("yellow", 46), ("green", 118), ("blue", 178), ("purple", 215), ("pink", 242))
"""The last hue, of 255, that people call so; beyond the last it is red again."""
_VIVID, _BRIGHT = 90, 70


def _hues(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> frozenset[str]:
    """The names of hues that a good part of pixels (n, 4) has."""
    image = Image.fromarray(np.ascontiguousarray(pixels[None, :, :3])).convert("HSV")
    hue, vivid, bright = np.asarray(image)[0].T.astype(int)
    names = np.array([name for name, _ in _HUES] + ["red"])
    seen = names[np.searchsorted([last for _, last in _HUES], hue)]
    clear = (vivid > _VIVID) & (bright > _BRIGHT)
    return frozenset(str(n) for n in set(names) if (clear & (seen == n)).mean() >= NATURAL_SHARE)
