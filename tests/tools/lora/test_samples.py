"""Folders of sets to train on: read back as written, and every fault named with its sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.samples import LoraSample, read_samples, write_samples
from chatdit.tools.lora.world_sets import LEARNED, LEFT_OUT, SETS, render_samples
from chatdit.tools.types import ToolError

CARD = LoraCard(name="pair", columns=2)


def _sample(number: int) -> LoraSample:
    pictures = tuple(Image.new("RGB", (32, 48), (number * 20, i * 90, 0)) for i in range(2))
    return LoraSample(f"{number:04d}", pictures, (f"a cat {number}", "a dog"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_samples(tmp_path / "set", CARD, [_sample(n) for n in range(1, 6)])
    return tmp_path / "set"


def test_what_is_written_is_read(folder: Path) -> None:
    card, samples = read_samples(folder)
    assert card == CARD and len(samples) == 5
    assert samples[1].captions == ("a cat 2", "a dog")
    assert samples[1].pictures[1].getpixel((0, 0)) == (40, 90, 0)


def test_a_sheet_is_cut_and_one_caption_is_for_all(folder: Path) -> None:
    sheet = Image.new("RGB", (64, 48))
    sheet.paste(_sample(9).pictures[0], (32, 0))
    sheet.save(folder / "0006.png")
    (folder / "0006.txt").write_text("[PAIR] [LEFT] a fox\n")
    sample = read_samples(folder)[1][-1]
    assert sample.name == "0006" and sample.captions == ("a fox", "a fox")
    assert [p.size for p in sample.pictures] == [(32, 48)] * 2 and sample.pictures[1].getpixel((0, 0)) == (180, 0, 0)


def test_every_fault_names_its_sample(folder: Path) -> None:
    (folder / "0001" / "2.png").unlink()
    (folder / "0002" / "caption.txt").write_text("one\ntwo\nthree\n")
    (folder / "0003" / "1.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(folder / "0004" / "1.png")
    Image.new("RGB", (33, 48)).save(folder / "0007.png")
    with pytest.raises(ToolError) as told:
        read_samples(folder)
    for line in (
        "sample 0001: expected pictures 1 to 2, got 1",
        "sample 0002/caption.txt: 3 captions, expected 1 or 2",
        "sample 0003/1.png: no picture that can be read",
        "sample 0004: expected pictures of one size, got 9x9, 32x48",
        "sample 0007.png: 33x48 pixels do not divide into 1 rows of 2",
    ):
        assert line in str(told.value)


def test_too_few_samples_no_card_and_no_folder_are_told(tmp_path: Path, folder: Path) -> None:
    write_samples(tmp_path / "few", CARD, [_sample(1)])
    with pytest.raises(ToolError, match="holds 1 samples, expected at least 4"):
        read_samples(tmp_path / "few")
    (folder / "card.json").write_text(json.dumps({"name": "pair", "columns": 2, "captions": ["{}"]}))
    with pytest.raises(ToolError, match=r"card\.json: card: 1 captions for 2 panels"):
        read_samples(folder)
    (folder / "card.json").unlink()
    with pytest.raises(ToolError, match=r"card\.json cannot be read"):
        read_samples(folder)
    with pytest.raises(ToolError, match="is no folder"):
        read_samples(tmp_path / "nowhere")


@pytest.mark.parametrize("name", sorted(SETS))
def test_sets_of_the_world_are_the_same_every_time_and_leave_subjects_out(name: str) -> None:
    (card, first), (_, again) = (render_samples(name, 6, 3) for _ in range(2))
    assert [s.captions for s in first] == [s.captions for s in again]
    pixels, once_more = ([p.tobytes() for s in samples for p in s.pictures] for samples in (first, again))
    assert pixels == once_more
    assert all(len(s.pictures) == card.panels for s in first)
    assert not set(LEARNED) & set(LEFT_OUT) and len(LEFT_OUT) > 40
