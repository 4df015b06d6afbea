"""What the tool `edit` claims: it makes the change and nothing else, and a tenth edit in a row costs nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import as_asked
from chatdit.tools.editing import Asked, edited, order_for
from chatdit.tools.in_context import Wanted, as_sequence, sampled_pictures
from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.retouch import MARGIN
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, DRAWABLE, TINTS
from chatdit.tools.pocket.wearing import bounds
from chatdit.tools.types import Sampling

ROUNDS = 10
MOST_MOVED = 1 / 255
"""Mean difference outside of what may change up to which all of it was kept."""
_SIZE = (PICTURE_PIXELS, PICTURE_PIXELS)
Levels = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class _Case:
    """A picture of two, another scene that differs in the first of them, and where that one stands."""

    before: Scene
    after: Scene
    picture: Image.Image
    touched: Placement
    seed: int


def in_place(bench: Bench, count: int, seed: int) -> Measured:
    """One of two is recoloured, dressed, replaced or taken away; all else must keep its pixels.

    Base: the new caption, drawn. Control: the picture edited by the next case's caption.
    """
    cases = _cases(bench, count, random.Random(f"effects-edit-{seed}"))
    trials = []
    spent = {"base": 0.0, "treated": 0.0}
    for i, case in enumerate(cases):
        bench.notify("edit in place", i, len(cases))
        started = time.perf_counter()
        drawn = _drawn(bench, case)
        spent["base"] += time.perf_counter() - started
        started = time.perf_counter()
        made = _edited(bench, case.picture, case.after, case.seed)
        spent["treated"] += time.perf_counter() - started
        other = _edited(bench, case.picture, cases[(i + 1) % len(cases)].after, case.seed)
        trials.append(Trial(*(_right(bench, case, picture) for picture in (drawn, made, other))))
    bench.notify("edit in place", len(cases), len(cases))
    return Measured(tuple(trials), _identity(bench, cases), spent["treated"] / spent["base"])


def rounds(bench: Bench, count: int, seed: int) -> Measured:
    """A change and its opposite, five times: how much of what was touched has its first pixels again?

    Base: each edit starts from the last picture alone. Control: the versions are those of the next case.
    A quarter of the cases, since each takes thirty edits.
    """
    cases = _cases(bench, max(2, count // 4), random.Random(f"effects-rounds-{seed}"))
    trials, spent = [], [0.0, 0.0]
    for i, case in enumerate(cases):
        bench.notify("ten edits in a row", i, len(cases))
        other = cases[(i + 1) % len(cases)].picture
        found = []
        for earlier in (None, case.picture, other):
            started = time.perf_counter()
            found.append(_same_share(case, _in_a_row(bench, case, earlier)))
            spent[0 if earlier is None else 1] += time.perf_counter() - started if earlier is not other else 0.0
        trials.append(Trial(*found))
    bench.notify("ten edits in a row", len(cases), len(cases))
    return Measured(tuple(trials), _identity(bench, cases), spent[1] / spent[0])


EDITS = {
    "edit-in-place": Claim(
        "edit",
        "what words ask for is changed and every other pixel is kept",
        "change made and all else kept (share of cases)",
        "known latents at every step and compositing, as in RePaint, arXiv 2201.09865",
        in_place,
    ),
    "edit-rounds": Claim(
        "edit",
        "after ten edits in a row that undo each other the picture is the first again",
        "pixels of what was touched that are as they were (share)",
        "this project: what an earlier version shows as it is wanted is taken from there",
        rounds,
    ),
}


def _cases(bench: Bench, count: int, rng: random.Random) -> list[_Case]:
    found = []
    for _ in range(count):
        first, second = (Thing(name) for name in rng.sample(DRAWABLE, 2))
        before = Scene((first, second), rng.choice(list(BACKGROUNDS)), relation=rng.choice(("left of", "right of")))
        sprites = world.place(before, rng)
        picture = to_image(bench.renderer.pictures_of([before], [sprites], rng)[0])
        after = _changed(before, rng)
        touched = replace(sprites[0], worn=after.things[0].worn if len(after.things) == 2 else None)
        found.append(_Case(before, after, picture, touched, rng.randrange(2**31)))
    return found


def _changed(scene: Scene, rng: random.Random) -> Scene:
    """The scene with its first subject recoloured, dressed, replaced or gone."""
    first, second = scene.things
    match rng.randrange(4):
        case 0:
            return replace(scene, things=(replace(first, tint=rng.choice(list(TINTS))), second))
        case 1:
            worn = Worn(rng.choice(list(ACCESSORIES)), rng.choice(list(TINTS)))
            return replace(scene, things=(replace(first, worn=worn), second))
        case 2:
            others = [name for name in DRAWABLE if name not in (first.subject, second.subject)]
            return replace(scene, things=(Thing(rng.choice(others)), second))
        case _:
            return replace(scene, things=(second,), relation=None)


def _drawn(bench: Bench, case: _Case) -> Image.Image:
    drawing = as_sequence([], [Wanted(caption(case.after), _SIZE)], case.seed, bench.dit.defaults)
    return sampled_pictures(bench.dit, drawing, Sampling(), lambda _: None, preview=False).pictures[0]


def _edited(
    bench: Bench, picture: Image.Image, wanted: Scene, seed: int, earlier: Sequence[Image.Image] = ()
) -> Image.Image:
    order = order_for(bench.dit, Asked(picture, caption(wanted), tuple(earlier)), seed)
    return edited(bench.dit, order, Sampling(), lambda _: None, preview=False)


def _in_a_row(bench: Bench, case: _Case, first: Image.Image | None) -> Image.Image:
    """The picture after ten edits; with `first` each of them knows that version and those that followed."""
    picture = case.picture
    versions = [] if first is None else [first]
    for turn in range(ROUNDS):
        picture = _edited(bench, picture, case.before if turn % 2 else case.after, case.seed + turn, versions)
        if first is not None:
            versions.append(picture)
    return picture


def _right(bench: Bench, case: _Case, picture: Image.Image) -> float:
    reading = look_at(bench.reader, [picture])[0].reading
    moved = np.abs(levels(picture) - levels(case.picture)).mean(axis=2)
    return float(as_asked(case.after, reading) and moved[~_within(case.touched)].mean() <= MOST_MOVED)


def _same_share(case: _Case, picture: Image.Image) -> float:
    moved = np.abs(levels(picture) - levels(case.picture)).max(axis=2)
    return float((moved[_within(case.touched)] < 1 / 510).mean())


def _within(sprite: Placement) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """bool (256, 256): the square of the sprite, with what it wears and some room."""
    left, top, right, bottom = bounds(sprite)
    room = 2 * MARGIN
    inside = np.zeros(_SIZE, dtype=bool)
    inside[max(0, top - room) : bottom + room, max(0, left - room) : right + room] = True
    return inside


def _identity(bench: Bench, cases: Sequence[_Case]) -> float:
    """An edit that asks for what is shown already."""
    case = cases[0]
    made = _edited(bench, case.picture, case.before, case.seed)
    return float(np.abs(levels(made) - levels(case.picture)).max())


def levels(picture: Image.Image) -> Levels:
    """float (H, W, 3) in [0, 1]."""
    return np.asarray(picture, np.float64) / 255
