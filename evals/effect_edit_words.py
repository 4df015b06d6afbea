"""What edits from words alone claim: without a box, what words ask for is changed and the rest is kept."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chatdit.evals.effect_edits import MOST_MOVED, levels
from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_scores import as_asked
from chatdit.tools.editing_by_words import Words, edited_by_words, words_for
from chatdit.tools.in_context import Wanted, as_sequence, sampled_pictures
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.edits import Edit, random_edit
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.retouch import MARGIN
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.wearing import bounds
from chatdit.tools.types import Sampling, ToolError

_SIZE = (PICTURE_PIXELS, PICTURE_PIXELS)


@dataclass(frozen=True, eq=False)
class _Case:
    """A picture, the edit that is asked for, and both captions as the painter reads them."""

    edit: Edit
    picture: Image.Image
    words: Words
    seed: int


def flow_edit(bench: Bench, count: int, seed: int) -> Measured:
    """One subject of one or two is recoloured, dressed or replaced; no box says where.

    Base: the new caption is drawn, with everything on its spot and the same seed. Control: of the picture is said what
    the next case's picture shows.
    """
    cases = _cases(bench, count, random.Random(f"effects-edit-words-{seed}"))
    trials = []
    spent = {"base": 0.0, "treated": 0.0}
    for i, case in enumerate(cases):
        bench.notify("edit by words", i, len(cases))
        started = time.perf_counter()
        drawn = _drawn(bench, case)
        spent["base"] += time.perf_counter() - started
        started = time.perf_counter()
        made = _edited(bench, case, case.words)
        spent["treated"] += time.perf_counter() - started
        other = _edited(bench, case, Words(cases[(i + 1) % len(cases)].words.shown, case.words.wanted))
        trials.append(Trial(*(_right(bench, case, picture) for picture in (drawn, made, other))))
    bench.notify("edit by words", len(cases), len(cases))
    return Measured(tuple(trials), _identity(bench, cases[0]), spent["treated"] / spent["base"])


FLOW_EDIT = Claim(
    "edit",
    "without a box or a mask, what words ask for is changed and the rest is kept",
    "change made and all else kept (share of cases)",
    "FlowEdit, arXiv 2412.08629: the difference of two velocities, without inversion",
    flow_edit,
)


def _cases(bench: Bench, count: int, rng: random.Random) -> list[_Case]:
    found: list[_Case] = []
    while len(found) < count:
        edit = random_edit(rng)
        if not _is_local(edit):
            continue
        picture = to_image(bench.renderer.pictures_of(edit.scenes[:1], edit.placements[:1], rng)[0])
        number = rng.randrange(2**31)
        try:
            words = words_for(bench.dit, picture, caption(edit.scenes[1]), seed=number)
        except ToolError:
            continue
        found.append(_Case(edit, picture, words, number))
    return found


def _is_local(edit: Edit) -> bool:
    """Whether one subject looks different afterwards, and nothing else."""
    before, after = edit.scenes
    same = (before.background, before.style) == (after.background, after.style)
    return same and len(before.things) == len(after.things)


def _drawn(bench: Bench, case: _Case) -> Image.Image:
    drawing = as_sequence([], [Wanted(case.words.wanted, _SIZE)], case.seed, bench.dit.defaults)
    return sampled_pictures(bench.dit, drawing, Sampling(), lambda _: None, preview=False).pictures[0]


def _edited(bench: Bench, case: _Case, words: Words) -> Image.Image:
    return edited_by_words(bench.dit, case.picture, words, Sampling(seed=case.seed), lambda _: None)


def _right(bench: Bench, case: _Case, picture: Image.Image) -> float:
    """1 if the picture is read as it was asked for and is the old one wherever nothing was to change."""
    apart = np.abs(levels(picture) - levels(case.picture)).mean(axis=2)
    kept = float(apart[_outside(case.edit)].mean()) <= MOST_MOVED
    return float(kept and as_asked(case.edit.scenes[1], look_at(bench.reader, [picture])[0].reading))


def _outside(edit: Edit) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(H, W): False around every sprite that is there only before or only after."""
    before, after = edit.placements
    outside = np.ones((PICTURE_PIXELS, PICTURE_PIXELS), dtype=bool)
    for sprite in (*before, *after):
        if sprite not in before or sprite not in after:
            left, top, right, bottom = bounds(sprite)
            outside[max(0, top - MARGIN) : bottom + MARGIN, max(0, left - MARGIN) : right + MARGIN] = False
    return outside


def _identity(bench: Bench, case: _Case) -> float:
    """A picture that shall show what it shows is that picture."""
    made = _edited(bench, case, Words(case.words.shown, case.words.shown))
    return float(np.abs(levels(made) - levels(case.picture)).max())
