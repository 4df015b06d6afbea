"""The claim of edits by words: its cases and its score on pictures that are right, half right and wrong."""

from __future__ import annotations

import random
from typing import cast

import numpy as np
import pytest
from PIL import Image

from chatdit.evals import effect_edit_words
from chatdit.evals.effect_edit_words import FLOW_EDIT, flow_edit
from chatdit.evals.effects import Bench, effect_row
from chatdit.tools.dit.model import DiT
from chatdit.tools.editing_by_words import Words
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.types import ProgressCallback, Sampling


def test_cases_change_one_subject_and_are_told_in_the_painters_words(bench: Bench) -> None:
    cases = effect_edit_words._cases(bench, 6, random.Random(3))
    for case in cases:
        before, after = case.edit.scenes
        assert (before.background, before.style) == (after.background, after.style)
        assert sum(a != b for a, b in zip(before.things, after.things, strict=True)) == 1
        assert case.words.shown != case.words.wanted and len(told_spots(case.words.shown)) == len(before.things)
        outside = effect_edit_words._outside(case.edit)
        assert 0.3 < outside.mean() < 1
    again = effect_edit_words._cases(bench, 6, random.Random(3))
    assert [c.words for c in cases] == [c.words for c in again]


def test_only_a_change_that_keeps_the_rest_is_right(bench: Bench) -> None:
    (case,) = effect_edit_words._cases(bench, 1, random.Random(5))
    truth = _truth(bench, case)
    assert effect_edit_words._right(bench, case, truth) == 1
    assert effect_edit_words._right(bench, case, case.picture) == 0
    moved = np.asarray(truth).copy()
    moved[effect_edit_words._outside(case.edit)] ^= 3
    assert effect_edit_words._right(bench, case, Image.fromarray(moved)) == 0


def test_the_claim_is_measured_with_what_the_picture_shows_and_with_what_another_shows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A perfect editor that believes what is said of a picture: told of another, it changes nothing."""
    cases = effect_edit_words._cases(bench, 2, random.Random("effects-edit-words-7"))
    shown = {case.words.shown: case for case in cases}
    true_words = {case.words for case in cases}

    def perfect(
        dit: DiT, picture: Image.Image, words: Words, sampling: Sampling, progress: ProgressCallback
    ) -> Image.Image:
        return _truth(bench, shown[words.shown]) if words in true_words else picture

    monkeypatch.setattr(effect_edit_words, "edited_by_words", perfect)
    measured = flow_edit(bench, 2, 7)
    assert [t.treated for t in measured.trials] == [1, 1] and [t.control for t in measured.trials] == [0, 0]
    assert measured.identity_max_abs == 0
    row = effect_row(FLOW_EDIT, measured)
    assert row["n"] == 2 and row["tool"] == "edit"


def _truth(bench: Bench, case: object) -> Image.Image:
    """The picture with the change as the world draws it, and nothing else."""
    known = cast(effect_edit_words._Case, case)
    drawn = bench.renderer.pictures_of(known.edit.scenes[1:], known.edit.placements[1:], random.Random(0))[0]
    truth, before = np.asarray(to_image(drawn)).copy(), np.asarray(known.picture)
    outside = effect_edit_words._outside(known.edit)
    truth[outside] = before[outside]
    return Image.fromarray(truth)
