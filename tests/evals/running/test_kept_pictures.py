"""Pictures are kept as they were made, and in the layout that other people's scripts read."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chatdit.evals.running.kept_pictures import keep_pictures, pictures_of, systems_of
from chatdit.tools.types import ToolError


def _noise(seed: int) -> Image.Image:
    return Image.effect_noise((48, 32), 80 + seed).convert("RGB")


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_plain_png_keeps_its_bytes_and_its_recipe(tmp_path: Path) -> None:
    told = PngInfo()
    told.add_text("parameters", "a cat")
    _noise(0).save(tmp_path / "a.png", pnginfo=told)
    assert keep_pictures(tmp_path / "run", "ours", "c", [tmp_path / "a.png"]) == ("0001.png",)
    assert (tmp_path / "run/originals/c/0001.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    with Image.open(tmp_path / "run/outputs/ours/c/0001.jpg") as official:
        assert official.format == "JPEG" and official.size == (48, 32)
        assert set(official.layer) == {(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)}, "4:4:4"  # type: ignore[attr-defined]
        assert max(official.quantization[0]) < 20, "a quality of 95"  # type: ignore[attr-defined]


def test_other_pictures_are_kept_as_they_are_seen(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    picture, turned = _noise(1), Image.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=turned)
    picture.save(tmp_path / "plain.webp", lossless=True)
    sources = [tmp_path / name for name in ("clear.png", "turned.png", "plain.webp")]
    names = keep_pictures(tmp_path, "ours", "c", sources)
    clear, upright, plain = (Image.open(tmp_path / "originals" / "c" / name) for name in names)
    assert clear.mode == "RGB" and clear.getpixel((0, 0)) == (255, 255, 255)
    assert upright.size == (32, 48) and plain.tobytes() == picture.tobytes()


def test_pictures_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    for i in range(2):
        _noise(i).save(tmp_path / f"{i}.png")
    both = [tmp_path / "0.png", tmp_path / "1.png"]
    keep_pictures(tmp_path, "ours", "c", both)
    keep_pictures(tmp_path, "ours", "c", both[1:])
    assert _names(tmp_path / "originals" / "c") == ["0001.png"]
    assert _names(tmp_path / "outputs" / "ours" / "c") == ["0001.jpg"]
    assert pictures_of(tmp_path, "c")[0].read_bytes() == both[1].read_bytes()
    assert keep_pictures(tmp_path, "ours", "c", []) == () and pictures_of(tmp_path, "c") == ()
    assert _names(tmp_path / "originals") == [] and _names(tmp_path / "outputs" / "ours") == []


def test_what_is_no_picture_changes_nothing(tmp_path: Path) -> None:
    _noise(0).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    keep_pictures(tmp_path, "ours", "c", [tmp_path / "a.png"])
    for absent in ("b.png", "absent.png"):
        with pytest.raises(ToolError, match=absent):
            keep_pictures(tmp_path, "ours", "c", [tmp_path / "a.png", tmp_path / absent])
    assert len(pictures_of(tmp_path, "c")) == 1


def test_pictures_are_found_in_order_wherever_a_system_left_them(tmp_path: Path) -> None:
    for place in ("outputs/theirs/c", "d", "outputs/theirs/e", "originals/e"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("10.png", "2.jpg", "note.txt", "extra.png"):
            (tmp_path / place / name).touch()
    for case, place in (("c", "outputs/theirs/c"), ("d", "d"), ("e", "originals/e")):
        assert pictures_of(tmp_path, case) == (tmp_path / place / "2.jpg", tmp_path / place / "10.png")
    assert pictures_of(tmp_path, "absent") == ()
    assert systems_of(tmp_path) == ("theirs",) and systems_of(tmp_path / "d") == ()
