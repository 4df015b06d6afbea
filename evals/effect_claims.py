"""The claims that `chatdit eval effects` measures, tool by tool. A tool adds its own beside its file's tests.

Pictures are drawn as the tools draw them, on cases that a seed freezes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from chatdit.evals.effect_edit_words import FLOW_EDIT
from chatdit.evals.effect_edits import EDITS
from chatdit.evals.effect_layout import LAYOUT
from chatdit.evals.effect_lora import LORAS
from chatdit.evals.effect_segment import SEGMENT
from chatdit.evals.effect_story import STORIES
from chatdit.evals.effect_subject import SUBJECTS
from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import hero_kept, one_identity
from chatdit.tools.in_context import Drawing, GivenPicture, Wanted, as_canvas, as_sequence, sampled_pictures
from chatdit.tools.pocket import world
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Scene, Thing, nameless
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, TINTS
from chatdit.tools.types import Sampling

SIZE = (PICTURE_PIXELS, PICTURE_PIXELS)
Pictures = list[Image.Image]


@dataclass(frozen=True)
class _Case:
    """A hero whom no caption names, where it should stand, and a picture of it."""

    target: Scene
    shown: Image.Image
    seed: int

    @property
    def wanted(self) -> Wanted:
        return Wanted(caption(nameless(self.target)), SIZE)


class _Timed(NamedTuple):
    pictures: Pictures
    seconds: float


def reference(bench: Bench, count: int, seed: int) -> Measured:
    """A picture is given; another is drawn whose caption calls its hero just "subject".

    Control: the picture of the next case's hero.
    """
    cases = _cases(bench, count, random.Random(f"effects-reference-{seed}"))
    base: list[float] = []
    treated: list[float] = []
    control: list[float] = []
    spent = {"base": 0.0, "treated": 0.0}
    for i, case in enumerate(cases):
        bench.notify("reference", i, len(cases))
        plain, with_it = _drawn(bench, case), _drawn(bench, case, case.shown)
        other = _drawn(bench, case, cases[(i + 1) % len(cases)].shown)
        spent["base"], spent["treated"] = spent["base"] + plain.seconds, spent["treated"] + with_it.seconds
        for found, made in ((base, plain), (treated, with_it), (control, other)):
            found.append(float(hero_kept(case.target, _read(bench, made.pictures)[0])))
    bench.notify("reference", len(cases), len(cases))
    trials = tuple(Trial(*three) for three in zip(base, treated, control, strict=True))
    return Measured(trials, _identity(bench, cases[0]), spent["treated"] / spent["base"])


def company(bench: Bench, count: int, seed: int) -> Measured:
    """Two panels are drawn in one row whose captions call the hero just "subject": do they show one identity?

    Base: the same captions as rows of one. Control: the first panel of a row beside the second of the next.
    """
    cases = _cases(bench, count, random.Random(f"effects-company-{seed}"))
    rows, alone = [], []
    spent = {"base": 0.0, "treated": 0.0}
    scenes = []
    for i, case in enumerate(cases):
        bench.notify("company", i, len(cases))
        second = replace(case.target, background=cases[(i + 1) % len(cases)].target.background)
        wanted = [case.wanted, Wanted(caption(nameless(second)), SIZE)]
        scenes.append((case.target, second))
        together = _timed(bench, as_sequence([], wanted, case.seed, bench.dit.defaults))
        apart = [_timed(bench, as_sequence([], [w], case.seed + k, bench.dit.defaults)) for k, w in enumerate(wanted)]
        spent["treated"] += together.seconds
        spent["base"] += sum(one.seconds for one in apart)
        rows.append(_read(bench, together.pictures))
        alone.append(_read(bench, [p for one in apart for p in one.pictures]))
    bench.notify("company", len(cases), len(cases))
    shuffled = [[row[0], rows[(i + 1) % len(rows)][1]] for i, row in enumerate(rows)]
    trials = tuple(
        Trial(*(float(one_identity(pair, readings)) for readings in three))
        for pair, *three in zip(scenes, alone, rows, shuffled, strict=True)
    )
    return Measured(trials, _identity(bench, cases[0]), spent["treated"] / spent["base"])


CLAIMS: Mapping[str, Claim] = {
    "generate-reference": Claim(
        "generate",
        "a subject that no word names is copied from a given picture",
        "identity kept (share of cases)",
        "In-Context LoRA, arXiv 2410.23775: panels of one context agree",
        reference,
    ),
    "generate-company": Claim(
        "generate",
        "two panels of one row show one identity that no word names",
        "one identity (share of pairs)",
        "Group Diffusion Transformers, arXiv 2410.15027: attention across a group",
        company,
    ),
    **EDITS,
    "edit-by-words": FLOW_EDIT,
    "segment-point": SEGMENT,
    **LORAS,
    **LAYOUT,
    **SUBJECTS,
    **STORIES,
}


def _cases(bench: Bench, count: int, rng: random.Random) -> list[_Case]:
    found = []
    for _ in range(count):
        hero = Thing(rng.choice(DRAWABLE), tint=rng.choice((None, *TINTS)))
        shown = Scene((replace(hero, size="large"),), "studio")
        sprite = world.presented(world.place(shown, rng)[0])
        picture = to_image(bench.renderer.pictures_of([shown], [(sprite,)], rng)[0])
        place = rng.choice([b for b in BACKGROUNDS if b != "studio"])
        found.append(_Case(Scene((hero,), place), picture, rng.randrange(2**31)))
    return found


def _drawn(bench: Bench, case: _Case, shown: Image.Image | None = None) -> _Timed:
    given = [] if shown is None else [GivenPicture(shown, caption(nameless(Scene(case.target.things, "studio"))))]
    return _timed(bench, as_sequence(given, [case.wanted], case.seed, bench.dit.defaults))


def _timed(bench: Bench, drawing: Drawing) -> _Timed:
    started = time.perf_counter()
    drawn = sampled_pictures(bench.dit, drawing, Sampling(), lambda progress: None, preview=False)
    return _Timed(list(drawn.pictures), time.perf_counter() - started)


def _read(bench: Bench, pictures: Pictures) -> list[Reading]:
    return [look.reading for look in look_at(bench.reader, pictures)]


def _identity(bench: Bench, case: _Case) -> float:
    """A context that holds one picture and nothing else is that picture alone, in a sequence and on a canvas."""
    routes: tuple[Callable[..., Drawing], ...] = (as_sequence, as_canvas)
    one, other = (_pixels(_timed(bench, way([], [case.wanted], case.seed, bench.dit.defaults))) for way in routes)
    return float(np.abs(one - other).max())


def _pixels(made: _Timed) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(made.pictures[0], np.float64) / 255


def tools_with_claims(claims: Mapping[str, Claim] = CLAIMS) -> Sequence[str]:
    """Names of the tools that claim something."""
    return sorted({claim.tool for claim in claims.values()})
