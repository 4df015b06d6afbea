"""The claims of `layout` and of LoRAs: their cases, their scores, and a small run on the model that ships."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from chatdit.evals import effect_layout, effect_lora
from chatdit.evals.effect_claims import CLAIMS
from chatdit.evals.effects import Bench, chosen, effect_row
from chatdit.tools.lora.shelf import CARD, WEIGHTS
from chatdit.tools.lora.world_sets import LEFT_OUT, SETS, in_sandstorm
from chatdit.tools.pixels import to_picture
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import Scene, Thing


def test_cases_hold_one_to_six_boxes_and_their_squares() -> None:
    cases = effect_layout._cases(24, random.Random(0))
    assert {len(case.boxes) for case in cases} >= {1, 2, 3, 4}
    assert all(len(c.asked.boxes) == len(c.things) == len(c.boxes) for c in cases)


def test_a_layout_is_told_by_where_things_are_seen() -> None:
    case = effect_layout._cases(1, random.Random(3))[0]
    seen = tuple(Sighting(t.subject, t.tint, box, 1.0) for t, box in zip(case.things, case.boxes, strict=True))
    assert effect_layout._overlaps(case, Reading(seen, "beach", "plain")) == 1.0
    assert effect_layout._right(case, Reading(seen, "beach", "plain")) == 1.0
    assert effect_layout._overlaps(case, Reading((), "beach", "plain")) == 0.0


def test_boxes_are_kept_and_mirrored_ones_are_not(bench: Bench) -> None:
    row = effect_row(CLAIMS["layout-boxes"], CLAIMS["layout-boxes"].measure(bench, 3, 0))
    assert row["identity_max_abs"] == 0.0 and float(str(row["effect"])) > 0.4
    assert float(str(row["control_effect"])) < float(str(row["effect"])) / 2


def test_a_lora_that_is_not_there_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path))
    assert "ic_lora" in {claim.tool for claim in chosen(CLAIMS, None)}, "two ship"
    monkeypatch.setattr("chatdit.evals.effect_lora.shelf", dict)
    assert "ic_lora" not in {claim.tool for claim in chosen(CLAIMS, None)}
    assert len(chosen(CLAIMS, "ic_lora")) == 2


def test_a_lora_is_measured_against_itself_exchanged(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path))
    folder = tmp_path / "loras" / "sandstorm"
    folder.mkdir(parents=True)
    name, width = "transformer.transformer_blocks.0.attn.to_q", 384
    pair = {f"{name}.lora_A.weight": torch.randn(2, width), f"{name}.lora_B.weight": torch.zeros(width, 2)}
    save_file(pair, folder / WEIGHTS)
    (folder / CARD).write_text(SETS["sandstorm"].model_dump_json())
    row = effect_row(CLAIMS["ic-lora-sandstorm"], CLAIMS["ic-lora-sandstorm"].measure(bench, 2, 0))
    assert row["effect"] == 0.0 and row["identity_max_abs"] == 0.0 and row["holds"] is False
    broken = load_file(effect_lora._exchanged(folder / WEIGHTS, tmp_path / "x.safetensors"))
    down = f"{name}.lora_A.weight"
    assert not torch.equal(broken[down], pair[down])
    assert torch.equal(broken[down].sort(dim=1).values, pair[down].sort(dim=1).values)


def test_the_second_panel_is_compared_with_the_first_in_the_storm() -> None:
    case = effect_lora._Case((Scene((Thing(LEFT_OUT[0]),), "beach"),), ("", ""), {}, 0)
    first = torch.rand(3, 64, 64)
    panels = [to_picture(first), to_picture(in_sandstorm(first[None] * 2 - 1)[0] / 2 + 0.5)]
    seen = Reading((Sighting(LEFT_OUT[0], None, effect_layout._fraction((0, 0, 128, 128)), 1.0),), "beach", "plain")
    assert effect_lora._stormed(case, panels, [seen, seen]) > 40
    assert effect_lora._stormed(case, [panels[0], Image.new("RGB", (64, 64))], [seen, seen]) < 20
    assert effect_lora._stormed(case, panels, [Reading((), "beach", "plain")] * 2) == 0
