"""When a check holds, by what a reader sees in the pictures and by their pixels.

Layout legend: H and W 256 pixels; pixels are uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatdit.evals.judges import checks as c
from chatdit.evals.pocket_scores import overlap
from chatdit.tools.pocket.captions import COLOURLESS
from chatdit.tools.pocket.reading import Reading, Sighting

SAME_SPOT = 0.5
"""Intersection over union from which on two boxes are the same spot."""
SAME_PICTURE = 2.0
"""Grey levels of 255: two pictures that differ less on average are one."""
RULES = "1"
"""Counted up whenever a rule answers differently, so that old verdicts are not taken for new ones."""
THIRD = 0.4
"""Share of the side within which a middle counts as left or at the top."""
_MIDDLE = (0.3, 0.7)


@dataclass(frozen=True, eq=False)
class Look:
    """A picture: what a reader says of it, and its pixels."""

    reading: Reading
    pixels: NDArray[np.uint8]
    """(256, 256, 3)"""


@dataclass(frozen=True)
class Seen:
    """All pictures of a case."""

    inputs: tuple[Look, ...]
    outputs: tuple[Look, ...]

    def look(self, picture: str) -> Look:
        """The picture called `in1`, `out2`, ... Raises Unmet when it is not there."""
        looks = self.inputs if picture.startswith("in") else self.outputs
        number = int(picture.removeprefix("in").removeprefix("out"))
        if number > len(looks):
            raise Unmet(f"there is no {picture}")
        return looks[number - 1]

    def sighting(self, picture: str, subject: str) -> Sighting:
        """The surest sighting of `subject`. Raises Unmet when it is not seen."""
        reading = self.look(picture).reading
        found = reading.find(subject)
        if found is None:
            raise Unmet(f"{picture} shows {tell(reading)}, no {subject}")
        return found


class Unmet(Exception):
    """Why a check does not hold."""


def why_not(checks: Iterable[c.Check], seen: Seen) -> str | None:
    """The reason why not all checks hold, or None when they do."""
    try:
        for check in checks:
            _RULES[check.kind](check, seen)
    except Unmet as reason:
        return str(reason)
    return None


def tell(reading: Reading) -> str:
    """What a reader sees, in words."""
    things = [_described(s) for s in reading.sightings] or ["nothing"]
    return f"{', '.join(things)} ({reading.background}, {reading.style})"


def _described(sighting: Sighting) -> str:
    worn = f" with {sighting.worn.colour} {sighting.worn.kind}" if sighting.worn else ""
    return f"{sighting.tint + ' ' if sighting.tint else ''}{sighting.subject}{worn}"


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Unmet(reason)


def _count(check: c.Count, seen: Seen) -> None:
    _require(len(seen.outputs) == check.outputs, f"{len(seen.outputs)} pictures, asked for {check.outputs}")


def _shows(check: c.Shows, seen: Seen) -> None:
    seen.sighting(check.picture, check.subject)
    reading = seen.look(check.picture).reading
    found = [s for s in reading.sightings if s.subject == check.subject]
    saw = f"{check.picture} shows {tell(reading)}"
    _require(check.count is None or len(found) == check.count, saw)
    for sighting in found if check.count else found[:1]:
        kind, colour = (sighting.worn.kind, sighting.worn.colour) if sighting.worn else (None, None)
        _require(check.tint is None or sighting.tint == check.tint, saw)
        _require(check.worn is None or kind == check.worn, saw)
        _require(check.worn_colour is None or colour == check.worn_colour, saw)


def _only(check: c.Only, seen: Seen) -> None:
    reading = seen.look(check.picture).reading
    found: dict[str, int] = {}
    for sighting in reading.sightings:
        found[sighting.subject] = found.get(sighting.subject, 0) + 1
    _require(found == check.things, f"{check.picture} shows {tell(reading)}")


def _absent(check: c.Absent, seen: Seen) -> None:
    reading = seen.look(check.picture).reading
    _require(reading.find(check.subject) is None, f"{check.picture} shows {tell(reading)}")


def _bare(check: c.Bare, seen: Seen) -> None:
    worn = seen.sighting(check.picture, check.subject).worn
    _require(worn is None, f"the {check.subject} in {check.picture} wears a {worn.kind if worn else ''}")


def _place(check: c.Place, seen: Seen) -> None:
    found = seen.look(check.picture).reading.background
    _require(found == check.background, f"{check.picture} has the background {found}")


def _drawn(check: c.Drawn, seen: Seen) -> None:
    found = seen.look(check.picture).reading.style
    _require(found == check.style, f"{check.picture} is in the style {found}")


def _stands(check: c.Stands, seen: Seen) -> None:
    first, second = (_middle(seen.sighting(check.picture, s)) for s in (check.first, check.second))
    across, down = second[0] - first[0], second[1] - first[1]
    along = {"left of": across, "right of": -across, "above": down, "below": -down}[check.relation]
    _require(along > 0, f"in {check.picture} the {check.first} is not {check.relation} the {check.second}")


def _at(check: c.At, seen: Seen) -> None:
    x, y = _middle(seen.sighting(check.picture, check.subject))
    holds = {
        "left": x < THIRD,
        "right": x > 1 - THIRD,
        "top": y < THIRD,
        "bottom": y > 1 - THIRD,
        "middle": all(_MIDDLE[0] < v < _MIDDLE[1] for v in (x, y)),
    }[check.position]
    _require(holds, f"the {check.subject} in {check.picture} has its middle at {x:.2f}, {y:.2f}")


def _sized(check: c.Sized, seen: Seen) -> None:
    side = _side(seen.sighting(check.picture, check.subject))
    holds = check.at_least <= side <= check.at_most
    _require(holds, f"the {check.subject} in {check.picture} takes {side:.0%} of the side")


def _turned(check: c.Turned, seen: Seen) -> None:
    angle = seen.sighting(check.picture, check.subject).rotation
    _require(abs(angle) <= check.within, f"the {check.subject} in {check.picture} is turned by {angle} degrees")


def _grows(check: c.Grows, seen: Seen) -> None:
    sides = [_side(seen.sighting(p, check.subject)) for p in check.pictures]
    ratios = [b / a if check.factor > 1 else a / b for a, b in pairwise(sides)]
    least = max(check.factor, 1 / check.factor)
    _require(all(r >= least for r in ratios), f"the {check.subject} takes {', '.join(f'{s:.0%}' for s in sides)}")


def _moves(check: c.Moves, seen: Seen) -> None:
    axis, sign = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1)}[check.way]
    at = [_middle(seen.sighting(p, check.subject))[axis] for p in check.pictures]
    steps = [sign * (b - a) for a, b in pairwise(at)]
    _require(all(s >= check.by for s in steps), f"the {check.subject} stands at {', '.join(f'{v:.2f}' for v in at)}")


def _same_hero(check: c.SameHero, seen: Seen) -> None:
    readings = [seen.look(p).reading for p in check.pictures]
    mains = [_main(reading, check.company) for reading in readings]
    saw = "; ".join(f"{p} shows {tell(r)}" for p, r in zip(check.pictures, readings, strict=True))
    for i, (reading, main) in enumerate(zip(readings, mains, strict=True)):
        _require(main is not None, saw)
        for other, its in zip(readings[:i], mains[:i], strict=True):
            _require(main is not None and its is not None and main.subject == its.subject, saw)
            if check.looks and main is not None and its is not None:
                coloured = COLOURLESS.count(reading.style) + COLOURLESS.count(other.style) == 0
                _require(_same_looks(main, its, coloured), saw)


def _main(reading: Reading, company: tuple[str, ...]) -> Sighting | None:
    found = [s for s in reading.sightings if s.subject not in company]
    return max(found, key=lambda s: s.score, default=None)


def _same_looks(a: Sighting, b: Sighting, coloured: bool) -> bool:
    if coloured:
        return (a.tint, a.worn) == (b.tint, b.worn)
    return (a.worn.kind if a.worn else None) == (b.worn.kind if b.worn else None)


def _same_place(check: c.SamePlace, seen: Seen) -> None:
    found = [seen.look(p).reading.background for p in check.pictures]
    _require(len(set(found)) == 1, f"backgrounds are {', '.join(found)}")


def _same_style(check: c.SameStyle, seen: Seen) -> None:
    found = [seen.look(p).reading.style for p in check.pictures]
    _require(len(set(found)) == 1, f"styles are {', '.join(found)}")


def _layout(check: c.Layout, seen: Seen) -> None:
    before, after = seen.look(check.before).reading, seen.look(check.after).reading
    for sighting in before.sightings:
        if sighting.subject not in check.but:
            stays = any(overlap(sighting.box, other.box) >= SAME_SPOT for other in after.sightings)
            _require(stays, f"nothing stands in {check.after} where the {sighting.subject} of {check.before} did")


def _kept(check: c.Kept, seen: Seen) -> None:
    before, after = seen.look(check.before).pixels, seen.look(check.after).pixels
    outside = np.ones(before.shape[:2], bool)
    height, width = before.shape[:2]
    for box in check.outside:
        outside[int(box.y1 * height) : int(box.y2 * height) + 1, int(box.x1 * width) : int(box.x2 * width) + 1] = False
    away = _distance(before[outside], after[outside]) if outside.any() else 0.0
    _require(away <= check.levels, f"what should stay differs by {away:.1f} levels on average")


def _sharper(check: c.Sharper, seen: Seen) -> None:
    before, after = (_detail(seen.look(p).pixels) for p in (check.before, check.after))
    _require(after >= check.factor * before, f"detail {after:.1f}, {before:.1f} before")


def _different(check: c.Different, seen: Seen) -> None:
    for a, b in combinations(check.pictures, 2):
        away = _distance(seen.look(a).pixels, seen.look(b).pixels)
        _require(away > SAME_PICTURE, f"{a} and {b} are the same picture")


def _distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


def _detail(pixels: NDArray[np.uint8]) -> float:
    """Mean size of the second difference, in levels."""
    grey = pixels.astype(np.float64).mean(axis=2)
    return float(np.abs(np.diff(grey, 2, axis=0)).mean() + np.abs(np.diff(grey, 2, axis=1)).mean())


def _middle(sighting: Sighting) -> tuple[float, float]:
    box = sighting.box
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def _side(sighting: Sighting) -> float:
    return max(sighting.box.x2 - sighting.box.x1, sighting.box.y2 - sighting.box.y1)


_RULES: Mapping[str, Callable[[Any, Seen], None]] = {
    "count": _count,
    "shows": _shows,
    "only": _only,
    "absent": _absent,
    "bare": _bare,
    "place": _place,
    "drawn": _drawn,
    "stands": _stands,
    "at": _at,
    "sized": _sized,
    "turned": _turned,
    "grows": _grows,
    "moves": _moves,
    "same_hero": _same_hero,
    "same_place": _same_place,
    "same_style": _same_style,
    "layout": _layout,
    "kept": _kept,
    "sharper": _sharper,
    "different": _different,
}
