"""The pocket benchmark: a small run, and what its record has to say."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

from chatdit.evals import bench_pocket, bench_pocket_speed, pocket_questions
from chatdit.evals.bench_pocket_speed import QUALITY_GUIDANCE, sampling_modes
from chatdit.evals.records import RECORDS, write_record
from chatdit.evals.sample_sheet import CAPTIONS, SET_CAPTIONS, failure_sheet
from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
from chatdit.tools.dit.loading import PocketDefaults, save_pocket_folder
from chatdit.tools.dit.model import DiT, Row, SampledRow, SamplingDefaults, SamplingOptions
from chatdit.tools.dit.storage import save_weights
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.detector import DetectorNetwork
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.vocabulary import HELD_OUT, caption_vocabulary
from chatdit.tools.types import ToolError

ASKED = {
    *("autoencoder_psnr_db", "recogniser_top1", "subject_top1", "subject_top1_few_step", "sprite_fidelity"),
    *("sprite_fidelity_few_step", "relation_accuracy", "count_accuracy", "background_accuracy", "style_accuracy"),
    *("panel_identity", "reference_identity_seen", "reference_identity_heldout", "seconds_few_step"),
    *("seconds_quality", "seconds_four_panel", "peak_memory_mb", "weights_mib"),
}
"""What a record has to say."""


def _told(record: dict[str, object]) -> dict[str, dict[str, float]]:
    """Every score of a record, those told besides too."""
    more = record["more"]
    assert isinstance(more, dict)
    return {name: s for name, s in (record | more).items() if isinstance(s, dict) and "ci_low" in s}


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A real pocket folder of small parts with random weights, which draws in two steps."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=256,
        out_channels=256 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=False,
        axes_dims_rope=(4, 6, 6),
    )
    autoencoder = PocketAutoencoder(AutoencoderConfig(16, (8, 8), (1, 1), (8, 8, 8), (1, 1, 1)))
    words = PocketTextEncoder(TextEncoderConfig(caption_vocabulary(), width=32, layers=1, heads=2))
    defaults = PocketDefaults(2, 1.0, 2.0, width=256, height=256, max_panels=4, horizon=0.5)
    save_pocket_folder(tmp_path / "small", transformer, autoencoder, words, defaults, quantize=False)
    return tmp_path / "small"


def test_a_small_run_reports_every_score_with_its_interval(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list[tuple[object, ...]]()

    def nothing(*asked: object) -> dict[str, object]:
        alone.append(asked)
        return {}

    monkeypatch.setattr(bench_pocket, "_measured_alone", nothing)
    weights = tmp_path / "detector.safetensors"
    save_weights(weights, DetectorNetwork().state_dict(), quantize=True)
    record = bench_pocket.run(model=str(small_model), reader=weights, cases=4)
    scores, accuracy = _told(record), record["recogniser_on_renders"]
    spared = ("seconds", "peak", "sprite_")
    assert alone == [(str(small_model), None)]
    assert {n for n in ASKED if not n.startswith(spared)} <= set(record)
    own, twice = {"steps": 2, "guidance": 1.0}, {"steps": 4, "guidance": 1.0}
    assert record["sampling"] == {**own, "few_step": own, "quality": twice}
    assert record["reader"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert isinstance(accuracy, dict) and {"subjects", "identity_heldout", "layout"} <= set(accuracy)
    assert {"subject_top1_large", "subject_top1_large_quality", "tint", "worn"} <= set(scores)
    assert all(s["ci_low"] <= s["value"] + 1e-9 and s["value"] <= s["ci_high"] + 1e-9 for s in scores.values())
    unseen = ("subject_top1", "relation", "count", "panel_identity", "reference", "context", "layout")
    assert {s["value"] for name, s in scores.items() if name.startswith(unseen)} == {0.0}, "it finds nothing yet"
    wanted = {"subject_top1": 4, "count_accuracy": 2, "panel_identity": 2, "panel_identity_alone": 2, "layout_copy": 2}
    assert {name: scores[name]["n"] for name in wanted} == wanted
    assert json.loads(write_record(record, tmp_path).read_text())["benchmark"] == "pocket"


def test_steps_of_ones_own_have_no_other_modes(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_pocket, "_measured_alone", lambda *asked: {})
    monkeypatch.setattr(bench_pocket, "_SETS", ())
    monkeypatch.setattr(pocket_questions, "restored_singles", lambda sitting, cases, seed: [None] * cases)
    record = bench_pocket.run(model=str(small_model), cases=3, steps=1)
    assert record["sampling"] == {"steps": 1, "guidance": 1.0}
    assert "subject_top1" in record and "subject_top1_few_step" not in record


def test_a_reader_that_is_not_there_is_said_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no detector weights at .*elsewhere"):
        bench_pocket.run(reader=tmp_path / "elsewhere")


def test_seconds_can_be_those_of_a_record_of_the_same_weights(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    told = {"seconds_few_step": [1.0, 1.2, 1.1], "seconds_quality": [2.0], "seconds_four_panels": [4.0]}
    record = {name: {"each": each} for name, each in told.items()} | {"peak_memory_mib": 1000}
    path.write_text(json.dumps(record | {"model": {"weights": "ab" * 32}}))
    found = bench_pocket._recorded(path, "ab" * 32, None)
    assert found["seconds_few_step"].value == 1.1 and found["seconds_few_step"].n == 3
    with pytest.raises(ToolError, match="is of the weights abababababab, expected cd"):
        bench_pocket._recorded(path, "cd" * 32, None)
    for other in ({}, record):
        path.write_text(json.dumps(other))
        with pytest.raises(ToolError, match="no record of `chatdit bench pocket-speed"):
            bench_pocket._recorded(path, "ab" * 32, None)
    with pytest.raises(ToolError, match="no record"):
        bench_pocket.run(cases=4, speed=tmp_path / "none.json")


def test_processes_that_do_nothing_else_tell_seconds_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"seconds_few_step": [1.0, 1.2], "seconds_quality": [2.0, 2.2], "seconds_four_panels": [4.0, 4.4]}
    answer = json.dumps({name: {"each": each} for name, each in told.items()} | {"peak_memory_mib": 1000})

    def run(command: list[str], **options: object) -> SimpleNamespace:
        assert command[0] == sys.executable and command[-2:] == ["pocket", "0"]
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr("subprocess.run", run)
    found = bench_pocket._measured_alone("pocket", None, processes=2)
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
    record = bench_pocket_speed.run(repeats=1, steps=1, guidance=1.0)
    one, four = record["seconds_per_picture"], record["seconds_four_panels"]
    assert isinstance(one, dict) and isinstance(four, dict)
    assert 0 < one["min"] <= one["median"] <= one["max"] and four["median"] > one["median"]
    assert record["sampling"] == {"steps": 1, "guidance": 1.0} and record["benchmark"] == "pocket-speed"
    assert "seconds_quality" not in record


def test_modes_are_few_passes_and_twice_as_many() -> None:
    plain = SamplingDefaults(8, 1.0, 2.0, 256, 256, 4, open_vocabulary=False, token_size=16)
    once = SamplingOptions(steps=8, guidance=1.0)
    assert sampling_modes(plain) == (once, SamplingOptions(steps=8, guidance=QUALITY_GUIDANCE))
    assert sampling_modes(replace(plain, guidance=3.0)) == (once, SamplingOptions(steps=8, guidance=3.0))
    few = replace(plain, steps=4, horizon=0.25)
    assert sampling_modes(few) == (SamplingOptions(steps=4, guidance=1.0), SamplingOptions(steps=8, guidance=1.0))


def test_the_record_says_what_was_asked() -> None:
    record = json.loads((RECORDS / "pocket.json").read_text())
    fields = {"value", "n", "ci_low", "ci_high"}
    assert all(set(record[name]) == fields for name in ASKED)
    assert record["weights_mib"]["value"] <= 33 and record["subject_top1"]["n"] >= 512
