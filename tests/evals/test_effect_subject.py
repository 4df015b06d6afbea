"""The claims of `subject`: cases of subjects never shown, scores, and a small run on the model that ships."""

from __future__ import annotations

import random
from dataclasses import replace

from chatdit.evals import effect_subject
from chatdit.evals.effect_claims import CLAIMS, tools_with_claims
from chatdit.evals.effects import Bench, effect_row
from chatdit.evals.sprite_fidelity import sighting_of
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import Placement
from chatdit.tools.pocket.vocabulary import HELD_OUT


def test_cases_want_elsewhere_what_no_training_showed(bench: Bench) -> None:
    for subjects in (1, 2):
        cases = effect_subject._cases(bench, 2, random.Random(0), subjects)
        assert all(t.subject in HELD_OUT for case in cases for t in case.target.things)
        assert all(len(case.shown) == len(case.target.things) == subjects for case in cases)
        assert all(not set(case.wanted.caption.split()) & set(HELD_OUT) for case in cases)
    assert {case.target.relation for case in cases} == {"left of", "right of"}


def test_scores_tell_right_from_mixed(bench: Bench) -> None:
    case = effect_subject._cases(bench, 1, random.Random(1), 2)[0]
    first, second = case.target.things
    left, right = (
        sighting_of(Placement(t.subject, t.tint, x, 80, 90, worn=t.worn)) for t, x in ((second, 10), (first, 150))
    )
    seen = effect_subject._Seen(case.shown[0], Reading((left, right), case.target.background, "plain"))
    assert case.target.relation == "right of" and effect_subject._beside(bench, case, seen) == 1.0
    mixed = Reading((left, replace(right, subject=second.subject)), "moon", "plain")
    assert effect_subject._beside(bench, case, replace(seen, reading=mixed)) == 0.0
    assert effect_subject._placed_right(bench, case, seen) == 1.0


def test_a_subject_is_kept_and_another_reference_does_not_help(bench: Bench) -> None:
    row = effect_row(CLAIMS["subject-identity"], CLAIMS["subject-identity"].measure(bench, 2, 0))
    assert row["identity_max_abs"] == 0.0 and row["base"] == 0.0
    assert float(str(row["effect"])) >= 0.5 and float(str(row["control_effect"])) == 0.0
    assert "subject" in tools_with_claims()
