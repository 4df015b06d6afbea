"""Rows as a model gets them, and their pictures as a reader does."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from chatdit.evals.pocket_asking import ModelArtist, chunks
from chatdit.evals.pocket_cases import Ask, ask, rows_of_one
from chatdit.tools.dit.model import DiT, Row, SampledRow, SamplingOptions
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import Scene, Thing


class Means:
    """A reader that says how bright each picture is."""

    def read(self, pictures: Tensor) -> list[Reading]:
        assert pictures.min() >= -1 and pictures.max() <= 1
        return [Reading((), f"{float(p.mean()):.6f}", "plain") for p in pictures]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """All rows that models have been asked for since."""
    asked: list[Row] = []
    drawn = DiT.sample

    def note(self: DiT, rows: Sequence[Row], *others: object, sampling: SamplingOptions) -> list[SampledRow]:
        asked.extend(rows)
        return drawn(self, rows, sampling=sampling)

    monkeypatch.setattr(DiT, "sample", note)
    return asked


def _without_spots(caption: str) -> str:
    """As it was asked, before it was settled where sprites stand."""
    return re.sub(r" \[\d+x\d+\] \[\d+r\d+\]", "", caption)


def _artist() -> ModelArtist:
    return ModelArtist(DiT.load("pocket", device="cpu"), Means(), SamplingOptions(steps=1), lambda *told: None)


def test_panels_share_a_row_and_the_control_does_not(rows: list[Row]) -> None:
    artist, rng = _artist(), random.Random(0)
    scenes = [Scene((Thing("cat"),), place) for place in ("beach", "moon", "forest")]
    together = [ask(scenes, named=False)]
    readings = artist.draw("sets", together, rng)
    assert [len(r.segments) for r in rows] == [3] and len(readings[0]) == 3
    assert [s.panel for s in rows[0].segments] == [0, 1, 2]
    assert _without_spots(rows[0].caption) == together[0].caption != rows[0].caption
    rows.clear()
    alone = artist.draw("alone", rows_of_one(together), rng)
    assert [len(r.segments) for r in rows] == [1, 1, 1] and [len(r) for r in alone] == [1, 1, 1]
    assert [_without_spots(r.caption) for r in rows] == list(together[0].captions)
    assert len({r.seed for r in rows}) == 3 and all(s.known is None for r in rows for s in r.segments)


def test_a_given_panel_comes_back_as_it_is(rows: list[Row]) -> None:
    given = torch.linspace(-1, 1, 3 * 256 * 256).view(3, 256, 256)
    scenes = (Scene((Thing("cat"),), "beach"), Scene((Thing("cat"),), "moon"))
    seen: list[tuple[Scene, Tensor, Reading]] = []
    one = Ask(scenes, ("a cat on the beach", "a cat on the moon"), given)
    readings = _artist().draw("given", [one], random.Random(0), lambda *shown: seen.append(shown))
    assert [s.known is None for s in rows[0].segments] == [False, True]
    assert [scene for scene, _, _ in seen] == list(scenes) and [r for _, _, r in seen] == readings[0]
    assert torch.allclose(seen[0][1], given, atol=1e-6)


def test_chunks_leave_nothing_out() -> None:
    assert [list(part) for part in chunks(range(5), 2)] == [[0, 1], [2, 3], [4]]
