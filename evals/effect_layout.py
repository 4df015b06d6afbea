"""What the tool `layout` claims: each thing stands in its own box, in its own colour, also among many."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import numpy as np
from PIL import Image

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import overlap
from chatdit.evals.sprite_fidelity import sighting_of
from chatdit.tools.dit.model import Row, Segment
from chatdit.tools.in_context import Drawing, sampled_pictures
from chatdit.tools.layout import BoxedPhrase, LayoutInput, regional_row, settled, told_row
from chatdit.tools.pocket import world
from chatdit.tools.pocket.boxed import LEAST_SIDE, visible
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import caption, noun_phrase
from chatdit.tools.pocket.composer import settled as composed
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Scene, Thing
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, TINTS
from chatdit.tools.types import Box, Sampling

IN_ITS_BOX = 0.5
"""Overlap from which a thing counts as being in its box."""


@dataclass(frozen=True)
class _Case:
    """What is asked, and the square in which each sprite was put, as the reader tells them."""

    asked: LayoutInput
    things: tuple[Thing, ...]
    boxes: tuple[Box, ...]


_Way = Callable[[Bench, _Case], Image.Image]


def _words(bench: Bench, case: _Case) -> Image.Image:
    """By the same words without boxes; the composer settles where things stand."""
    return _drawn(bench, _plain(bench, case))


def _bare(bench: Bench, case: _Case) -> Image.Image:
    """By the same words, nothing being settled."""
    return _drawn(bench, _plain(bench, case), compose=False)


def _channels(bench: Bench, case: _Case) -> Image.Image:
    return _drawn(bench, told_row(case.asked, bench.dit.defaults))


def _mask(bench: Bench, case: _Case) -> Image.Image:
    row = regional_row(case.asked, bench.dit.defaults, _plain(bench, case).caption)
    return _drawn(bench, row, compose=False)


def _mirrored(way: _Way) -> _Way:
    return lambda bench, case: way(bench, replace(case, asked=_turned(case.asked)))


_BY_CHANNELS = (_words, _channels, _mirrored(_channels))


def _measured(
    bench: Bench, count: int, seed: int, score: Callable[[_Case, Reading], float], ways: tuple[_Way, _Way, _Way]
) -> Measured:
    """One to six boxes, drawn without the method, with it, and with its boxes mirrored."""
    cases = _cases(count, random.Random(f"effects-layout-{seed}"))
    trials, spent = [], [0.0, 0.0]
    for i, case in enumerate(cases):
        bench.notify("layout", i, len(cases))
        scores = []
        for number, way in enumerate(ways):
            started = time.perf_counter()
            picture = way(bench, case)
            if number < len(spent):
                spent[number] += time.perf_counter() - started
            scores.append(score(case, look_at(bench.reader, [picture])[0].reading))
        trials.append(Trial(*scores))
    bench.notify("layout", len(cases), len(cases))
    identity = _identity(bench, cases[0]) if ways is _BY_CHANNELS else _no_regions(bench, cases[0])
    return Measured(tuple(trials), identity, spent[1] / spent[0])


def _overlaps(case: _Case, reading: Reading) -> float:
    """Mean overlap of each box with the best sighting of its subject; 0 where there is none."""
    return fmean(
        max((overlap(s.box, box) for s in reading.sightings if s.subject == thing.subject), default=0.0)
        for thing, box in zip(case.things, case.boxes, strict=True)
    )


def _right(case: _Case, reading: Reading) -> float:
    """Share of boxes in which the thing stands, in its colour."""
    return fmean(
        float(
            any(
                s.subject == thing.subject and s.tint == thing.tint and overlap(s.box, box) >= IN_ITS_BOX
                for s in reading.sightings
            )
        )
        for thing, box in zip(case.things, case.boxes, strict=True)
    )


LAYOUT = {
    "layout-boxes": Claim(
        "layout",
        "each thing stands in its box, one to six of them in a picture",
        "mean overlap of asked and found boxes (IoU)",
        "CreatiLayout, arXiv 2412.03859",
        partial(_measured, score=_overlaps, ways=_BY_CHANNELS),
    ),
    "layout-mask": Claim(
        "layout",
        "a mask of attention alone moves things towards their boxes",
        "mean overlap of asked and found boxes (IoU)",
        "EliGen, arXiv 2501.01097",
        partial(_measured, score=_overlaps, ways=(_bare, _mask, _mirrored(_mask))),
    ),
    "layout-channels-over-mask": Claim(
        "layout",
        "layout channels hold things in their boxes where a mask of attention alone does not",
        "mean overlap of asked and found boxes (IoU)",
        "the baseline that a trained layout branch has to beat",
        partial(_measured, score=_overlaps, ways=(_mask, _channels, _mirrored(_channels))),
    ),
    "layout-attributes": Claim(
        "layout",
        "in each box stands its own thing in its own colour",
        f"right in its box, IoU {IN_ITS_BOX} (share of boxes)",
        "CreatiLayout, arXiv 2412.03859",
        partial(_measured, score=_right, ways=_BY_CHANNELS),
    ),
}


def _cases(count: int, rng: random.Random) -> list[_Case]:
    found: list[_Case] = []
    while len(found) < count:
        kinds = rng.sample(DRAWABLE, rng.randint(1, 3))
        things = [Thing(name, rng.randint(1, 2), tint=rng.choice((None, *TINTS))) for name in kinds]
        scene = Scene(tuple(things), rng.choice(list(BACKGROUNDS)))
        sprites = [s for s in world.place(scene, rng) if s.side >= LEAST_SIDE]
        each = [thing for thing in things for _ in range(thing.count)]
        if len(sprites) < len(each):
            continue
        named = [Thing(thing.subject, tint=thing.tint) for thing in each]
        boxes = [_fraction(visible(s)) for s in sprites]
        phrases = tuple(BoxedPhrase(phrase=noun_phrase(t), box=b) for t, b in zip(named, boxes, strict=True))
        seed = rng.randrange(2**31)
        asked = LayoutInput(boxes=phrases, background=scene.background, sampling=Sampling(seed=seed))
        stands = tuple(sighting_of(sprite).box for sprite in settled(asked)[1])
        found.append(_Case(asked, tuple(named), stands))
    return found


def _fraction(box: Sequence[float]) -> Box:
    x1, y1, x2, y2 = (min(1.0, max(0.0, v / PICTURE_PIXELS)) for v in box)
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def _turned(asked: LayoutInput) -> LayoutInput:
    turned = [
        entry.model_copy(update={"box": entry.box.model_copy(update={"x1": 1 - entry.box.x2, "x2": 1 - entry.box.x1})})
        for entry in asked.boxes
    ]
    return asked.model_copy(update={"boxes": tuple(turned)})


def _plain(bench: Bench, case: _Case) -> Row:
    read = read_caption(settled(case.asked)[0])
    assert read is not None
    return Row(caption(read.scene), _segments(bench), case.asked.sampling.seed)


def _segments(bench: Bench) -> tuple[Segment, ...]:
    return (Segment(bench.dit.defaults.width, bench.dit.defaults.height),)


def _drawn(bench: Bench, row: Row, *, compose: bool = True) -> Image.Image:
    how = Sampling(seed=row.seed)
    drawn = sampled_pictures(bench.dit, Drawing(row, 0), how, lambda _: None, preview=False, compose=compose)
    return drawn.pictures[0]


def _identity(bench: Bench, case: _Case) -> float:
    """A picture told where the composer would have put everything, against the composer's own."""
    (row,) = composed(bench.dit, [_plain(bench, case)])
    told, own = (np.asarray(_drawn(bench, r), float) for r in (row, _plain(bench, case)))
    return float(np.abs(told - own).max()) / 255


def _no_regions(bench: Bench, case: _Case) -> float:
    """A mask of no regions against none."""
    told = _plain(bench, case)
    empty = regional_row(case.asked, bench.dit.defaults, told.caption)
    rows = (replace(empty, regions=()), told)
    masked, own = (np.asarray(_drawn(bench, row, compose=False), float) for row in rows)
    return float(np.abs(masked - own).max()) / 255
