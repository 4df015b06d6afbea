"""The pocket suite: its proportions, that every case can be won, and that it is frozen."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chatdit.evals.judges.accuracy import perfect
from chatdit.evals.judges.check_rules import Look, Seen, why_not
from chatdit.evals.judges.checks import read_checks
from chatdit.evals.suites.case import CATEGORIES, QUESTIONS, Suite
from chatdit.evals.suites.pocket_suite import POCKET_SHA256, Written, pocket_cases, rendered, write_pocket_suite
from chatdit.tools.pocket.renderer import Renderer

ALL = list(pocket_cases())
SHARES = {"T2I": 35, "I2I": 57, "Is2I": 63, "T2Is": 84, "IS2Is": 36}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return write_pocket_suite(tmp_path_factory.mktemp("pocket"))


def test_its_proportions_are_those_of_idea_bench() -> None:
    assert Counter(w.category for w in ALL) == SHARES
    assert Counter(w.category for w in {w.uid: w for w in ALL}.values()) == dict(
        zip(CATEGORIES, (11, 25, 25, 21, 18), strict=True)
    )
    assert len({w.id for w in ALL}) == len(ALL) == 275


def test_each_half_has_half_of_every_category() -> None:
    halves = Counter((w.category, w.split) for w in ALL)
    for category in CATEGORIES:
        count = SHARES[category]
        assert abs(halves[category, "dev"] - count / 2) <= 0.5


def test_inputs_and_outputs_are_of_their_category() -> None:
    for written in ALL:
        given, wanted = len(written.draft.inputs), len(written.draft.wanted)
        text, set_out = written.category.split("2")
        assert (given == 0) == (text == "T") and (wanted > 1) == (set_out == "Is"), written.id
        assert text != "Is" or given > 1


@pytest.mark.parametrize("written", ALL[::3], ids=lambda w: w.id)
def test_pictures_that_are_right_answer_all_six_questions(written: Written) -> None:
    seen = _seen(Renderer(), written)
    assert len(written.draft.questions) == QUESTIONS
    for question in written.draft.questions:
        assert why_not(read_checks(question.check), seen) is None, question.text


def test_no_picture_at_all_answers_none() -> None:
    for written in ALL:
        first = read_checks(written.draft.questions[0].check)
        assert why_not(first, Seen((), ())) is not None


def test_giving_the_input_back_never_answers_everything() -> None:
    renderer = Renderer()
    for written in ALL[1::4]:
        seen = _seen(renderer, written)
        if seen.inputs:
            lazy = Seen(seen.inputs, (seen.inputs[0],) * len(seen.outputs))
            assert any(why_not(read_checks(q.check), lazy) for q in written.draft.questions), written.id


def test_what_is_said_is_plain_english() -> None:
    for written in ALL:
        said = written.draft.instruction
        assert said[0].isupper() and said[-1] in ".!?" and "{" not in said and "  " not in said, said
        assert not re.search(r"\b[Aa] [aeiou]", said.replace("a unicorn", "")), said
        assert not re.search(r"\b[Aa]n [^aeiouI]", said), said


def test_it_is_the_suite_that_records_speak_of(suite: Suite) -> None:
    assert suite.problems == ()
    assert suite.sha256 == POCKET_SHA256, "a changed suite is another one: name it in LOG, and measure anew"


def test_it_is_written_the_same_again(suite: Suite, tmp_path: Path) -> None:
    assert write_pocket_suite(tmp_path).sha256 == suite.sha256


def test_cases_on_disk_are_those_that_were_written(suite: Suite) -> None:
    by_id = {case.id: case for case in suite.cases}
    for written in ALL:
        case = by_id[written.id]
        assert (case.category, case.split, case.task) == (written.category, written.split, written.uid)
        assert case.instruction == written.draft.instruction and case.questions == written.draft.questions
        assert len(case.pictures) == len(written.draft.inputs) and all(p.is_file() for p in case.pictures)


def _seen(renderer: Renderer, written: Written) -> Seen:
    sides = []
    for frames in (written.draft.inputs, written.draft.wanted):
        pictures = rendered(renderer, frames)
        sides.append(tuple(Look(perfect(f), np.asarray(p)) for f, p in zip(frames, pictures, strict=True)))
    return Seen(*sides)
