"""What counts as an edit in place, on pictures whose truth is known."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chatdit.evals.effect_edits import EDITS, _Case, _cases, _right, _same_share, _within
from chatdit.evals.effects import Bench, effect_row
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import Placement, Scene, Thing

FOX, CAT = Placement("fox", None, 20, 130, 80), Placement("cat", None, 150, 120, 90)
BEFORE = Scene((Thing("fox"), Thing("cat")), "beach", relation="left of", view=0)


def _picture(bench: Bench, scene: Scene, *sprites: Placement) -> Image.Image:
    return to_image(bench.renderer.pictures_of([scene], [sprites], random.Random(1))[0])


def test_right_is_the_change_and_nothing_else(bench: Bench) -> None:
    after = replace(BEFORE, things=(Thing("fox", tint="blue"), Thing("cat")))
    case = _Case(BEFORE, after, _picture(bench, BEFORE, FOX, CAT), FOX, 0)
    blue = replace(FOX, tint="blue")
    assert _right(bench, case, _picture(bench, after, blue, CAT)) == 1
    assert _right(bench, case, case.picture) == 0, "nothing changed"
    assert _right(bench, case, _picture(bench, after, blue, replace(CAT, left=100))) == 0, "the cat has moved"
    night = _picture(bench, replace(after, background="night"), blue, CAT)
    assert _right(bench, case, night) == 0, "another place"


def test_shares_of_pixels_are_of_what_was_touched(bench: Bench) -> None:
    case = _Case(BEFORE, BEFORE, _picture(bench, BEFORE, FOX, CAT), FOX, 0)
    half = np.asarray(case.picture).copy()
    inside = _within(FOX)
    half[:, 60:][inside[:, 60:]] = 0
    expected = inside[:, :60].sum() / inside.sum()
    assert _same_share(case, case.picture) == 1
    assert _same_share(case, Image.fromarray(half)) == pytest.approx(expected, abs=0.01)


def test_cases_are_frozen_by_their_seed_and_change_one_thing(bench: Bench) -> None:
    one, other = (_cases(bench, 6, random.Random("x")) for _ in range(2))
    assert [c.after for c in one] == [c.after for c in other]
    assert all(c.after != c.before and c.after.things[-1] == c.before.things[-1] for c in one)


@pytest.mark.parametrize("name", EDITS)
def test_claims_are_measured(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatdit.evals.effect_edits.ROUNDS", 2)
    row = effect_row(EDITS[name], EDITS[name].measure(bench, 2, 0))
    assert row["identity_max_abs"] == 0 and row["n"] == 2 and float(str(row["effect"])) > 0
