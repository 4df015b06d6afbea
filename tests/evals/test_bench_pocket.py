"""The pocket benchmark: its questions on readings made by hand, and one small run."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import Tensor

from chatdit.evals import bench_pocket, bench_pocket_speed
from chatdit.evals.bench_pocket import _agree, _all_named, _count_seen, _relation_holds, _tint_seen
from chatdit.evals.bench_pocket_speed import quality_mode
from chatdit.evals.records import RECORDS, write_record
from chatdit.evals.sample_sheet import CAPTIONS, SET_CAPTIONS, failure_sheet
from chatdit.tools.dit.model import DiT, Row, SampledRow, SamplingOptions
from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket.recogniser import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import RELATIONS, Scene, Thing
from chatdit.tools.pocket.vocabulary import HELD_OUT, caption_vocabulary
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


ASKED = {
    *("autoencoder_psnr_db", "recogniser_top1", "subject_top1", "subject_top1_few_step", "sprite_fidelity"),
    *("sprite_fidelity_few_step", "relation_accuracy", "count_accuracy", "background_accuracy", "style_accuracy"),
    *("panel_identity", "reference_identity_seen", "reference_identity_heldout", "seconds_few_step"),
    *("seconds_quality", "seconds_four_panel", "peak_memory_mb", "weights_mib"),
}
"""What a record has to say."""


class OneAnswer:
    """A reader that sees a cat in every picture; the real one is tested where it lives."""

    def __init__(self, **others: object) -> None:
        self.pictures = 0

    def read(self, pictures: Tensor) -> list[Reading]:
        self.pictures += len(pictures)
        return [_reading(_seen("cat", 0.2, 0.3)) for _ in pictures]


def test_a_small_run_reports_every_score_with_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, alone = OneAnswer(), list[tuple[object, ...]]()

    def nothing(*asked: object, few: bool) -> dict[str, object]:
        alone.append((*asked, few))
        return {}

    monkeypatch.setattr(bench_pocket, "load_recogniser", lambda bank: reader)
    monkeypatch.setattr(bench_pocket, "_measured_alone", nothing)
    monkeypatch.setattr(bench_pocket, "DRAWABLE", ("cat", "dog"))
    record = bench_pocket.run(cases=6)
    assert alone == [("pocket", None, True)] and record["sampling"] == {"steps": 4, "guidance": 1.0, "steps_quality": 8}
    more = record["more"]
    assert isinstance(more, dict)
    scores = {name: s for name, s in (record | more).items() if isinstance(s, dict) and "ci_low" in s}
    assert ASKED - {n for n in ASKED if n.startswith(("seconds", "peak"))} <= set(record)
    assert {"subject_top1_large", "subject_top1_large_quality", "panels2_agree", "tint"} <= set(more)
    assert all(s["ci_low"] <= s["value"] + 1e-9 and s["value"] <= s["ci_high"] + 1e-9 for s in scores.values())
    assert all(
        s["n"] >= 2 for name, s in scores.items() if not name.startswith(("sprite_", "weights"))
    )  # those of found cats
    assert scores["panel_identity"]["value"] == 1 and scores["pair_both_named"]["value"] == 0
    assert 0 < scores["subject_top1"]["value"] < 1, "the cats among cats and dogs"
    assert scores["reference_identity_heldout"]["value"] == 0, "no cat is held out"
    assert all(0 <= s["value"] < 1.05 for name, s in scores.items() if name.startswith("sprite_fidelity"))
    assert reader.pictures == 3 * 6 + 2 * 6 + 3 + 3 * (2 + 4 + 2 + 2 + 2) + 24
    path = write_record(record, tmp_path)
    assert json.loads(path.read_text())["benchmark"] == "pocket"


def test_steps_of_ones_own_have_no_quality_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_pocket, "load_recogniser", lambda bank: OneAnswer())
    monkeypatch.setattr(bench_pocket, "_measured_alone", lambda *asked, few: {})
    record = bench_pocket.run(cases=4, steps=1)
    assert record["sampling"] == {"steps": 1, "guidance": 1.0}
    assert "subject_top1" in record and "subject_top1_few_step" not in record


def test_processes_that_do_nothing_else_tell_seconds_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"seconds_per_picture": [1.0, 1.2], "seconds_quality": [2.0, 2.2], "seconds_four_panels": [4.0, 4.4]}
    answer = json.dumps({name: {"each": each} for name, each in told.items()} | {"peak_memory_mib": 1000})

    def run(command: list[str], **options: object) -> SimpleNamespace:
        assert command[0] == sys.executable and command[-2:] == ["pocket", "0"]
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr("subprocess.run", run)
    found = bench_pocket._measured_alone("pocket", None, few=True, processes=2)
    assert {name: round(e.value, 3) for name, e in found.items()} == {
        "seconds_few_step": 1.1, "seconds_quality": 2.1, "seconds_four_panel": 4.2, "peak_memory_mb": 1048.576,
    }  # fmt: skip
    assert found["seconds_few_step"].n == 4 and found["peak_memory_mb"].n == 2


def test_the_sheet_asks_for_known_words_only() -> None:
    tokenizer = PhraseTokenizer(caption_vocabulary(), 96)
    assert [tokenizer(c).unknown for c in (*CAPTIONS, *SET_CAPTIONS)] == [()] * 16


def test_a_sheet_of_failures_gives_a_panel_and_leaves_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = DiT.sample

    def quickly(self: DiT, rows: Sequence[Row], *options: object) -> list[SampledRow]:
        return drawn(self, rows, sampling=SamplingOptions(steps=1))

    monkeypatch.setattr(DiT, "sample", quickly)
    sheet = failure_sheet()
    assert sheet.size == (1024, 2 * (256 + 22))
    beaver = Renderer().pictures([Scene((Thing(HELD_OUT[0]),), "beach")], random.Random(0))[0]
    shown = np.asarray(sheet.crop((0, 278, 256, 534))).transpose(2, 0, 1)
    assert np.abs(shown - beaver.add(1).mul(127.5).round().numpy()).max() <= 1


def test_speed_is_measured_with_its_settings() -> None:
    record = bench_pocket_speed.run(repeats=1, steps=1)
    one, four = record["seconds_per_picture"], record["seconds_four_panels"]
    assert isinstance(one, dict) and isinstance(four, dict)
    assert 0 < one["min"] <= one["median"] <= one["max"] and four["median"] > one["median"]
    assert record["sampling"] == {"steps": 1, "guidance": 1.0} and record["benchmark"] == "pocket-speed"
    assert "seconds_quality" not in record
    assert quality_mode(DiT.load("pocket", device="cpu")) == SamplingOptions(steps=8)


def test_the_record_says_what_was_asked() -> None:
    record = json.loads((RECORDS / "pocket.json").read_text())
    fields = {"value", "n", "ci_low", "ci_high"}
    assert all(set(record[name]) == fields for name in ASKED)
    assert record["weights_mib"]["value"] <= 33 and record["subject_top1"]["n"] >= 512
