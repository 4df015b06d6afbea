"""What the tool `subject` claims: subjects that the base never saw, elsewhere, without training and without mixing.

Cases show a held-out subject in one place and want it in another; no word names it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from PIL import Image

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import hero_kept, overlap, relation_holds
from chatdit.evals.sprite_fidelity import likeness
from chatdit.tools.dit.subject_sharing import POCKET, Sharing
from chatdit.tools.in_context import Wanted
from chatdit.tools.pixels import to_picture, to_tensor
from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import NAMELESS, PICTURE_PIXELS, Scene, Thing, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, HELD_OUT, TINTS
from chatdit.tools.subject_drawing import by_segments, sharing_call
from chatdit.tools.subject_reference import Given, Looked, look_at_pocket
from chatdit.tools.types import Box, Sampling

SIZE = (PICTURE_PIXELS, PICTURE_PIXELS)
IN_ITS_BOX = 0.5
"""Overlap from which a subject counts as being in its box."""
ALLOWED = 0.05
"""By which prompt adherence may be lower (FreeCus buys identity with it)."""


@dataclass(frozen=True)
class _Case:
    """What is wanted, with each of its things shown elsewhere."""

    target: Scene
    shown: tuple[Image.Image, ...]
    seed: int

    @property
    def wanted(self) -> Wanted:
        nobody = tuple(Thing(NAMELESS) for _ in self.target.things)
        return Wanted(caption(replace(self.target, things=nobody)), SIZE)

    @property
    def unrelated(self) -> Wanted:
        """The same where boxes say who stands where."""
        nobody = tuple(Thing(NAMELESS) for _ in self.target.things)
        return Wanted(caption(replace(self.target, things=nobody, relation=None)), SIZE)

    @property
    def boxes(self) -> tuple[Box, Box]:
        """A box for each of two things, on the side where the target has it."""
        rng = random.Random(self.seed)
        side, far, near = rng.uniform(0.32, 0.42), rng.uniform(0.02, 0.12), rng.uniform(0.55, 0.58)
        tops = (rng.uniform(0.1, 0.9 - side) for _ in range(2))
        left, right = (Box(x1=x, y1=top, x2=x + side, y2=top + side) for x, top in zip((far, near), tops, strict=True))
        return (left, right) if self.target.relation == "left of" else (right, left)


@dataclass(frozen=True, eq=False)
class _Seen:
    picture: Image.Image
    reading: Reading


_Draw = Callable[[Bench, _Case, Sequence[Looked]], Image.Image]
_Score = Callable[[Bench, _Case, _Seen], float]


@dataclass(frozen=True)
class _Trials:
    """How a claim's pictures are drawn, and what is counted.

    The control draws with the next case's reference, or with the two of a case exchanged.
    """

    base: _Draw
    treated: _Draw
    score: _Score
    subjects: int = 1
    by_next_case: bool = False
    """Whether the control is the treated picture scored as if the next case had asked for it."""
    allowed: float = 0.0
    """By how much the treated picture may be worse."""
    control: _Draw | None = None
    """Drawn instead, with the right references."""

    def measure(self, bench: Bench, count: int, seed: int) -> Measured:
        cases = _cases(bench, count, random.Random(f"effects-subject-{self.subjects}-{seed}"), self.subjects)
        looked = [_looked(bench, case) for case in cases]
        spent, rows = [0.0, 0.0], []
        for i, case in enumerate(cases):
            bench.notify("subject", i, len(cases))
            other = cases[(i + 1) % len(cases)]
            pictures = []
            for way, draw in enumerate((self.base, self.treated)):
                started = time.perf_counter()
                pictures.append(draw(bench, case, looked[i]))
                spent[way] += time.perf_counter() - started
            if self.control is not None:
                pictures.append(self.control(bench, case, looked[i]))
            elif not self.by_next_case:
                wrong = looked[i][::-1] if self.subjects > 1 else looked[(i + 1) % len(cases)]
                pictures.append(self.treated(bench, case, wrong))
            seen = [_Seen(p, look.reading) for p, look in zip(pictures, look_at(bench.reader, pictures), strict=True)]
            scores = [self.score(bench, case, one) for one in seen]
            if self.by_next_case:
                scores.append(self.score(bench, other, seen[1]))
            rows.append(Trial(scores[0] - self.allowed, *scores[1:]))
        bench.notify("subject", len(cases), len(cases))
        return Measured(tuple(rows), _identity(bench, cases[0], looked[0]), spent[1] / spent[0])


def _shared(how: Sharing | None) -> _Draw:
    """Drawn with the references shared so; None draws the same row alone."""

    def draw(bench: Bench, case: _Case, looked: Sequence[Looked]) -> Image.Image:
        call = sharing_call(bench.dit, case.wanted, looked, case.seed, how or POCKET, describe=True)
        if how is None:
            return to_picture(bench.dit.sample(call.rows[:1])[0].images[0])
        return to_picture(bench.dit.sample(call.rows, call.plan)[0].images[0])

    return draw


def _boxed(exchanged: bool = False) -> _Draw:
    """Drawn with a box told for each of two subjects, on its side."""

    def draw(bench: Bench, case: _Case, looked: Sequence[Looked]) -> Image.Image:
        boxes = case.boxes[::-1] if exchanged else case.boxes
        call = sharing_call(bench.dit, case.unrelated, looked, case.seed, POCKET, describe=True, boxes=boxes)
        return to_picture(bench.dit.sample(call.rows, call.plan)[0].images[0])

    return draw


def _unboxed(bench: Bench, case: _Case, looked: Sequence[Looked]) -> Image.Image:
    call = sharing_call(bench.dit, case.unrelated, looked, case.seed, POCKET, describe=True)
    return to_picture(bench.dit.sample(call.rows, call.plan)[0].images[0])


def _in_context(bench: Bench, case: _Case, looked: Sequence[Looked]) -> Image.Image:
    """The references as segments of the picture's own row."""
    sampling = Sampling(seed=case.seed)
    return by_segments(bench.dit, case.wanted, case.shown, looked, sampling, lambda _: None, describe=True).picture


def _kept(bench: Bench, case: _Case, seen: _Seen) -> float:
    return float(hero_kept(case.target, seen.reading))


def _like(bench: Bench, case: _Case, seen: _Seen) -> float:
    """SSIM to the true sprite where the likest thing stands; 0 where nothing does."""
    hero = case.target.things[0]
    found = seen.reading.find(hero.subject) or next(iter(seen.reading.sightings), None)
    if found is None:
        return 0.0
    meant = replace(found, subject=hero.subject, tint=hero.tint, worn=hero.worn)
    return likeness(bench.renderer, to_tensor(seen.picture), case.target, meant).ssim


def _placed_right(bench: Bench, case: _Case, seen: _Seen) -> float:
    return float(seen.reading.background == case.target.background)


def _beside(bench: Bench, case: _Case, seen: _Seen) -> float:
    """Whether both subjects are themselves, each on its own side."""
    both = all(hero_kept(replace(case.target, things=(thing,)), seen.reading) for thing in case.target.things)
    return float(both and relation_holds(case.target, seen.reading))


def _in_boxes(bench: Bench, case: _Case, seen: _Seen) -> float:
    """Share of the subjects that are themselves, each in its own box."""
    found = []
    for thing, box in zip(case.target.things, case.boxes, strict=True):
        sighting = seen.reading.find(thing.subject)
        there = sighting is not None and overlap(sighting.box, box) >= IN_ITS_BOX
        found.append(float(there and hero_kept(replace(case.target, things=(thing,)), seen.reading)))
    return fmean(found)


_SOURCE = "FreeCus, arXiv 2507.15249"
SUBJECTS: dict[str, Claim] = {
    "subject-identity": Claim(
        "subject",
        "a subject that the base never saw is drawn elsewhere with its colour and what it wears",
        "identity kept (share of cases)",
        _SOURCE,
        _Trials(_shared(None), _shared(POCKET), _kept).measure,
    ),
    "subject-likeness": Claim(
        "subject",
        "what is drawn looks like the given subject",
        "SSIM to the true sprite",
        _SOURCE,
        _Trials(_shared(None), _shared(POCKET), _like).measure,
    ),
    "subject-adherence": Claim(
        "subject",
        "the place that the caption asks for is there as often as without sharing",
        f"place right (share of cases), {ALLOWED} allowed",
        _SOURCE,
        _Trials(_shared(None), _shared(POCKET), _placed_right, by_next_case=True, allowed=ALLOWED).measure,
    ),
    "subject-shift": Claim(
        "subject",
        "references that are cleaner than the model is told keep more than those at its own shift",
        "identity kept (share of cases)",
        _SOURCE,
        _Trials(_shared(replace(POCKET, noise_shift=1.0)), _shared(POCKET), _kept).measure,
    ),
    "subject-company": Claim(
        "subject",
        "two given subjects stand in one picture and do not mix, where one context mixes them",
        "both themselves, each on its side (share of cases)",
        "ChatDiT's goal for several references",
        _Trials(_in_context, _shared(POCKET), _beside, subjects=2).measure,
    ),
    "subject-boxes": Claim(
        "subject",
        "two given subjects are themselves, each in a box of its own, in one run",
        f"itself, IoU {IN_ITS_BOX} with its box (share of subjects)",
        "layout and subjects fused: CreatiLayout, arXiv 2412.03859, and FreeCus",
        _Trials(_unboxed, _boxed(), _in_boxes, subjects=2, control=_boxed(exchanged=True)).measure,
    ),
}  # fmt: skip


def _cases(bench: Bench, count: int, rng: random.Random, subjects: int) -> list[_Case]:
    found: list[_Case] = []
    for i in range(count):
        names = rng.sample(HELD_OUT, subjects)
        heroes = [_hero(name, rng) for name in names]
        pictures = []
        places = rng.sample(list(BACKGROUNDS), subjects + 1)
        for hero, place in zip(reversed(heroes), places, strict=False):
            shown = Scene((hero,), place)
            (sprite,) = world.place(shown, rng)
            pictures.append(to_image(bench.renderer.pictures_of([shown], [(sprite,)], rng)[0]))
        relation = None if subjects == 1 else "left of" if i % 2 else "right of"
        target = Scene(tuple(heroes), places[-1], relation=relation)  # type: ignore[arg-type]
        found.append(_Case(target, tuple(pictures[::-1]), rng.randrange(2**31)))
    return found


def _hero(name: str, rng: random.Random) -> Thing:
    worn = Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS))) if rng.random() < 0.3 else None
    return Thing(name, tint=rng.choice((None, None, *TINTS)), worn=worn)


def _looked(bench: Bench, case: _Case) -> list[Looked]:
    """Each reference as the tool looks at it, without a word."""
    side = bench.dit.token_size
    return [
        look_at_pocket(Given(i, picture, "", None, ""), SIZE, side) for i, picture in enumerate(case.shown, start=1)
    ]


def _identity(bench: Bench, case: _Case, looked: Sequence[Looked]) -> float:
    """References without a token beside the picture, against the picture alone."""
    nothing = [replace(one, tokens=()) for one in looked]
    alone, beside = (np.asarray(_shared(how)(bench, case, nothing), float) for how in (None, POCKET))
    return float(np.abs(alone - beside).max()) / 255
