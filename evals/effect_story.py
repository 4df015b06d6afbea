"""What the tool `story` claims: one subject on all pages, new to the painter, and in its box where one is told."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import hero_kept, overlap
from chatdit.tools.in_context import GivenPicture, Wanted, as_sequence, sampled_pictures
from chatdit.tools.layout import BoxedPhrase
from chatdit.tools.pocket import world
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import NAMELESS, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, HELD_OUT, TINTS
from chatdit.tools.story import Page, StoryInput
from chatdit.tools.story_pages import page_drawing
from chatdit.tools.types import Box, ImageRef, Sampling

PAGES = 3
IN_ITS_BOX = 0.5
"""Overlap from which the subject counts as being in its box."""
_GIVEN = ImageRef(sha256="0" * 64, width=256, height=256)
"""Says that there is a reference; its pixels are handed over."""


@dataclass(frozen=True)
class _Case:
    hero: Thing
    shown: Image.Image
    places: tuple[str, ...]
    boxes: tuple[Box, ...]
    seed: int

    def scene(self, page: int) -> Scene:
        return Scene((self.hero,), self.places[page])


_Draw = Callable[[Bench, _Case, Image.Image], list[Image.Image]]
_Score = Callable[[_Case, int, Reading], float]


def _together(boxed: bool = False, turned: bool = False) -> _Draw:
    """All pages beside the reference, in one run."""

    def draw(bench: Bench, case: _Case, shown: Image.Image) -> list[Image.Image]:
        pages = _pages(case, boxed, turned)
        asked = StoryInput(pages=tuple(pages), reference=_GIVEN)
        drawing = page_drawing(bench.dit, pages, shown, "", asked, case.seed)
        how = Sampling(seed=case.seed)
        return sampled_pictures(bench.dit, drawing, how, lambda _: None, preview=False, compose=False).pictures

    return draw


def _alone(bench: Bench, case: _Case, shown: Image.Image) -> list[Image.Image]:
    """Each page by itself, without the reference."""
    size, how = (bench.dit.defaults.width, bench.dit.defaults.height), Sampling(seed=case.seed)
    drawings = [
        as_sequence([], [Wanted(page.caption, size)], case.seed + number, bench.dit.defaults)
        for number, page in enumerate(_pages(case, boxed=False, turned=False))
    ]
    return [
        sampled_pictures(bench.dit, drawing, how, lambda _: None, preview=False).pictures[0] for drawing in drawings
    ]


def _kept(case: _Case, page: int, reading: Reading) -> float:
    return float(hero_kept(case.scene(page), reading) and reading.background == case.places[page])


def _kept_in_box(case: _Case, page: int, reading: Reading) -> float:
    seen = reading.find(case.hero.subject)
    there = seen is not None and overlap(seen.box, case.boxes[page]) >= IN_ITS_BOX
    return float(there and hero_kept(case.scene(page), reading))


@dataclass(frozen=True)
class _Trials:
    base: _Draw
    treated: _Draw
    score: _Score
    control: _Draw | None = None
    """None is the treated way with another case's reference."""

    def measure(self, bench: Bench, count: int, seed: int) -> Measured:
        cases = _cases(bench, count, random.Random(f"effects-story-{seed}"))
        trials, spent = [], [0.0, 0.0]
        for i, case in enumerate(cases):
            bench.notify("story", i, len(cases))
            other = cases[(i + 1) % len(cases)].shown
            wrong = self.control or self.treated
            scores = []
            for way, draw in enumerate((self.base, self.treated, wrong)):
                started = time.perf_counter()
                pictures = draw(bench, case, other if way == 2 and self.control is None else case.shown)
                if way < len(spent):
                    spent[way] += time.perf_counter() - started
                readings = [look.reading for look in look_at(bench.reader, pictures)]
                scores.append(float(np.mean([self.score(case, n, r) for n, r in enumerate(readings)])))
            trials.append(Trial(*scores))
        bench.notify("story", len(cases), len(cases))
        return Measured(tuple(trials), _identity(bench, cases[0]), spent[1] / spent[0])


STORIES = {
    "story-identity": Claim(
        "story",
        "a given subject that the base never saw is itself on every page, in the place that the page asks for",
        "subject and place right (share of pages)",
        "Lay2Story, arXiv 2508.08949: one subject across the frames",
        _Trials(_alone, _together(), _kept).measure,
    ),
    "story-boxes": Claim(
        "story",
        "with a layout told, the given subject is itself and stands in its box on every page, in one run",
        f"itself, IoU {IN_ITS_BOX} with its box (share of pages)",
        "Lay2Story, arXiv 2508.08949: a layout that is on or off for each page",
        _Trials(_together(), _together(boxed=True), _kept_in_box, _together(boxed=True, turned=True)).measure,
    ),
}


def _pages(case: _Case, boxed: bool, turned: bool) -> list[Page]:
    pages = []
    for place, box in zip(case.places, case.boxes, strict=True):
        if turned:
            box = box.model_copy(update={"x1": 1 - box.x2, "x2": 1 - box.x1})
        held = (BoxedPhrase(phrase=f"a {NAMELESS}", box=box),) if boxed else ()
        pages.append(Page(caption=f"a {NAMELESS} {BACKGROUNDS[place].phrase}", boxes=held))
    return pages


def _cases(bench: Bench, count: int, rng: random.Random) -> list[_Case]:
    found = []
    for _ in range(count):
        worn = Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS))) if rng.random() < 0.3 else None
        hero = Thing(rng.choice(HELD_OUT), tint=rng.choice((None, None, *TINTS)), worn=worn)
        shown = Scene((replace(hero, size="large"),), "studio")
        sprite = world.presented(world.place(shown, rng)[0])
        picture = to_image(bench.renderer.pictures_of([shown], [(sprite,)], rng)[0])
        boxes = tuple(_box(rng) for _ in range(PAGES))
        places = tuple(rng.sample(list(BACKGROUNDS), PAGES))
        found.append(_Case(hero, picture, places, boxes, rng.randrange(2**31)))
    return found


def _box(rng: random.Random) -> Box:
    """A square at one side of the picture, so that its mirror image is elsewhere."""
    side = rng.uniform(0.32, 0.45)
    left = rng.choice((rng.uniform(0.02, 0.08), rng.uniform(0.92, 0.98) - side))
    top = rng.uniform(0.1, 0.9 - side)
    return Box(x1=left, y1=top, x2=left + side, y2=top + side)


def _identity(bench: Bench, case: _Case) -> float:
    """Without boxes, against a set of `generate` by the same captions."""
    asked = StoryInput(pages=tuple(_pages(case, boxed=False, turned=False)), reference=_GIVEN)
    drawing = page_drawing(bench.dit, asked.pages, case.shown, "", asked, case.seed)
    captions = _told(drawing.row.caption)
    size = bench.dit.defaults.width, bench.dit.defaults.height
    given = [GivenPicture(case.shown, captions[0])]
    plain = as_sequence(given, [Wanted(text, size) for text in captions[1:]], case.seed, bench.dit.defaults)
    how = Sampling(seed=case.seed)
    both = [
        sampled_pictures(bench.dit, one, how, lambda _: None, preview=False, compose=compose).pictures
        for one, compose in ((drawing, False), (plain, True))
    ]
    pairs = zip(*both, strict=True)
    return max(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in pairs) / 255


def _told(caption: str) -> Sequence[str]:
    """What a joint caption says of each panel."""
    return [text.split("] ", 1)[1].strip() for text in caption.split("[panel")[1:]]
