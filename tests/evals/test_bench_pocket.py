"""The pocket benchmark: its questions on readings made by hand, and one small run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import Tensor

from chatdit.evals import bench_pocket, bench_pocket_speed
from chatdit.evals.bench_pocket import _agree, _all_named, _count_seen, _relation_holds, _tint_seen
from chatdit.evals.records import write_record
from chatdit.evals.sample_sheet import CAPTIONS, SET_CAPTIONS
from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket.recogniser import Reading, Sighting
from chatdit.tools.pocket.scene import RELATIONS, Scene, Thing
from chatdit.tools.pocket.vocabulary import caption_vocabulary
from chatdit.tools.types import Box


def _seen(subject: str, x: float, y: float, tint: str | None = None) -> Sighting:
    return Sighting(subject, tint, Box(x1=x, y1=y, x2=x + 0.25, y2=y + 0.25), 0.9)


def _reading(*sightings: Sighting) -> Reading:
    return Reading(sightings, "moon", "plain")


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_is_judged_by_where_things_stand(relation: str) -> None:
    scene = Scene((Thing("cat"), Thing("dog")), "moon", relation=relation)  # type: ignore[arg-type]
    spots = {"left of": (0, 0.4), "right of": (0.7, 0.4), "above": (0.3, 0), "below": (0.3, 0.7)}
    reading = _reading(_seen("cat", *spots[relation]), _seen("dog", 0.35, 0.35))
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    assert _relation_holds(scene, reading)
    assert not _relation_holds(Scene(scene.things, "moon", relation=opposite), reading)  # type: ignore[arg-type]
    assert not _relation_holds(scene, _reading(_seen("cat", 0, 0)))


def test_an_extra_or_missing_subject_is_not_right() -> None:
    scene = Scene((Thing("cat"), Thing("dog")), "moon", relation="above")
    assert _all_named(scene, _reading(_seen("dog", 0, 0.5), _seen("cat", 0, 0)))
    assert not _all_named(scene, _reading(_seen("cat", 0, 0)))
    assert not _all_named(scene, _reading(_seen("dog", 0, 0.5), _seen("cat", 0, 0), _seen("owl", 0.5, 0)))


def test_tint_count_and_agreement() -> None:
    red = Scene((Thing("cat", tint="red"),), "moon")
    assert _tint_seen(red, _reading(_seen("cat", 0, 0, "red")))
    assert not _tint_seen(red, _reading(_seen("cat", 0, 0)))
    three = Scene((Thing("cat", 3),), "moon")
    assert _count_seen(three, _reading(*(_seen("cat", x, 0) for x in (0, 0.3, 0.6))))
    assert not _count_seen(three, _reading(_seen("cat", 0, 0)))
    assert _agree([_reading(_seen("cat", 0, 0)), _reading(_seen("cat", 0.5, 0))])
    assert not _agree([_reading(_seen("cat", 0, 0)), _reading(_seen("dog", 0, 0))])
    assert not _agree([_reading(_seen("cat", 0, 0)), _reading()])


class OneAnswer:
    """A reader that sees a cat in every picture; the real one is tested where it lives."""

    def __init__(self, **others: object) -> None:
        self.pictures = 0

    def read(self, pictures: Tensor) -> list[Reading]:
        self.pictures += len(pictures)
        return [_reading(_seen("cat", 0.2, 0.3)) for _ in pictures]


def test_a_small_run_reports_every_score_with_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = OneAnswer()
    monkeypatch.setattr(bench_pocket, "load_recogniser", lambda bank: reader)
    monkeypatch.setattr(bench_pocket, "DRAWABLE", ("cat", "dog"))
    record = bench_pocket.run(cases=6, steps=1)
    scores = record["scores"]
    assert isinstance(scores, dict)
    asked = {"autoencoder_psnr_db", "single_top1", "pair_relation", "background", "style", "sprite_fidelity"}
    assert asked | {"panels4_agree", "given_panel_copied", "tint", "count"} <= set(scores)
    assert all(s["low"] <= s["value"] + 1e-9 and s["value"] <= s["high"] + 1e-9 for s in scores.values())
    assert all(s["n"] >= 2 for name, s in scores.items() if not name.startswith("sprite_"))  # those of found cats
    assert scores["panels4_agree"]["value"] == 1 and scores["pair_both_named"]["value"] == 0
    assert 0 < scores["single_top1"]["value"] < 1, "the cats among cats and dogs"
    assert all(0 <= s["value"] < 1.05 for name, s in scores.items() if name.startswith("sprite_fidelity"))
    assert reader.pictures == 2 * 6 + 2 * 6 + 3 + 3 * (2 + 4 + 2 + 2) + 24
    path = write_record(record, tmp_path)
    assert json.loads(path.read_text())["benchmark"] == "pocket"


def test_the_sheet_asks_for_known_words_only() -> None:
    tokenizer = PhraseTokenizer(caption_vocabulary(), 96)
    assert [tokenizer(c).unknown for c in (*CAPTIONS, *SET_CAPTIONS)] == [()] * 16


def test_speed_is_measured_with_its_settings() -> None:
    record = bench_pocket_speed.run(repeats=1, steps=1)
    one, four = record["seconds_per_picture"], record["seconds_four_panels"]
    assert isinstance(one, dict) and isinstance(four, dict)
    assert 0 < one["min"] <= one["median"] <= one["max"] and four["median"] > one["median"]
    assert record["sampling"] == {"steps": 1, "guidance": 3.0} and record["benchmark"] == "pocket-speed"
