"""The claim of `segment`: its cases, its score, and a short measurement."""

from __future__ import annotations

import pytest
import torch

from chatdit.evals.effect_segment import SEGMENT, Case, cases, iou, segment_iou
from chatdit.evals.effects import Bench, effect_row
from chatdit.tools.pocket.vocabulary import STYLES
from chatdit.tools.segment import GROUNDING_VARIABLE, SAM_VARIABLE


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (GROUNDING_VARIABLE, SAM_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def test_iou() -> None:
    left, top = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    left[:, :2], top[:2] = True, True
    assert iou(left, left) == 1 and iou(left, ~left) == 0 == iou(None, left)
    assert iou(left, top) == pytest.approx(4 / 12)


def test_cases_point_into_one_thing_and_into_another(bench: Bench) -> None:
    found = list(cases(bench, 12, 3))
    assert [case.style for case in found] == [*STYLES] * 2
    for case in found:
        assert case.truth.sum() > 50
        assert _at(case, case.point) and not _at(case, case.wrong_point)
    again = list(cases(bench, 12, 3))
    assert [c.point for c in found] == [c.point for c in again]
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(found, again, strict=True))


def test_the_tools_mask_is_better_than_the_box_and_another_things_mask_is_none(bench: Bench) -> None:
    measured = segment_iou(bench, 2, 1)
    assert len(measured.trials) == 2 and measured.identity_max_abs == 0
    assert all(t.treated > t.base > t.control for t in measured.trials)
    row = effect_row(SEGMENT, measured)
    assert row["tool"] == "segment" and row["n"] == 2


def _at(case: Case, point: tuple[float, float]) -> bool:
    x, y = point
    return bool(case.truth[int(y * 256), int(x * 256)])
