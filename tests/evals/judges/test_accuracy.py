"""How often the pocket judge is right, and that spoilt pictures are told from right ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from chatdit.evals.judges.accuracy import Confusion, judge_accuracy, perfect, spoilt
from chatdit.evals.suites.pocket_suite import pocket_cases
from chatdit.tools.pocket.closer_look import CloserLook
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.reading import Reading

CASES = 24


def test_the_judge_is_right_on_what_is_right_and_on_what_is_spoilt() -> None:
    found = judge_accuracy(CloserLook(load_detector()), limit=CASES)
    assert found.overall.right.n == 2 * 6 * CASES
    assert found.overall.right.value >= 0.97
    right, wrong = found.parts["right"], found.parts["spoilt"]
    assert right.true_no == right.false_yes == 0, "pictures that are right make every answer a yes"
    assert wrong.true_no > CASES, "most spoilt pictures break some question"


class _Blind:
    """Sees nothing anywhere."""

    def read(self, pictures: Tensor) -> list[Reading]:
        return [Reading((), "moon", "negative") for _ in range(len(pictures))]


def test_a_judge_that_sees_nothing_is_found_out() -> None:
    found = judge_accuracy(_Blind(), limit=8)
    assert found.parts["right"].right.value < 0.2 and found.parts["right"].false_no > 30


def test_a_confusion_counts_all_four_ways() -> None:
    counts = Confusion()
    for truth, said in ((True, True), (True, False), (False, True), (False, False), (False, False)):
        counts.add(truth, said)
    assert (counts.true_yes, counts.false_no, counts.false_yes, counts.true_no) == (1, 1, 1, 2)
    assert counts.right.value == 3 / 5


def test_spoilt_pictures_differ_and_are_the_same_for_the_same_seed() -> None:
    for written in list(pocket_cases())[::20]:
        wanted = written.draft.wanted
        first, again = (spoilt(wanted, random.Random(5)) for _ in range(2))
        assert [perfect(f) for f in first] == [perfect(f) for f in again]
    differ = [_differs(w.draft.wanted) for w in list(pocket_cases())[::20]]
    assert sum(differ) >= 0.8 * len(differ)


def _differs(frames: Sequence[object]) -> bool:
    return list(spoilt(frames, random.Random(7))) != list(frames)  # type: ignore[arg-type]
