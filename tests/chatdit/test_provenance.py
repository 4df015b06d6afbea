"""What a PNG says of itself: deterministic, as private as asked, and never trusted when read."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, PngImagePlugin

from chatdit.provenance import (
    KEY,
    MAX_RECIPE_BYTES,
    SOURCE_TYPE,
    XMP,
    XMP_KEY,
    Ingredient,
    NoRecipe,
    Recipe,
    parameters_text,
    png_with_recipe,
    read_recipe,
    read_texts,
)
from chatdit.settings_model import MetadataLevel
from chatdit.tools.types import ImageRef

SECRET = "grüße an 王 <b>"


def recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "model": "pocket",
        "weights": "ab" * 32,
        "tool": "generate",
        "tool_version": "1",
        "seed": 41283,
        "steps": 8,
        "guidance": 4.0,
        "args": {"panels": [{"caption": SECRET, "width": None}]},
        "caption": SECRET,
        "instruction": SECRET,
    }
    return Recipe.model_validate(values | changes)


def picture() -> Image.Image:
    return Image.effect_noise((33, 17), 60).convert("RGB")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def with_text(path: Path, text: str, key: str = KEY) -> Path:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(key, text)
    Image.new("RGB", (4, 4)).save(path, pnginfo=texts)
    return path


def test_equal_pictures_and_recipes_give_equal_bytes() -> None:
    image = picture()
    image.info["comment"] = "dropped"
    once, again = png_with_recipe(image, recipe()), png_with_recipe(image.copy(), recipe())
    assert hashlib.sha256(once).digest() == hashlib.sha256(again).digest()
    assert png_with_recipe(image, recipe(seed=1)) != once


@pytest.mark.parametrize("level", ["full", "minimal", "none"])
def test_pixels_are_the_same_at_every_level(tmp_path: Path, level: MetadataLevel) -> None:
    image = picture()
    path = write(tmp_path / "a.png", png_with_recipe(image, recipe(), level))
    with Image.open(path) as read:
        assert read.tobytes() == image.tobytes()


def test_full_metadata_reads_back(tmp_path: Path) -> None:
    nested = recipe(seed=2, ingredients=(Ingredient(image=ImageRef(sha256="c" * 64, width=3, height=4)),))
    whole = recipe(ingredients=(Ingredient(image=ImageRef(sha256="d" * 64, width=1, height=2), recipe=nested),))
    path = write(tmp_path / "a.png", png_with_recipe(picture(), whole))
    assert read_recipe(path) == whole
    texts = read_texts(path)
    assert texts["parameters"] == parameters_text(whole, (33, 17))
    assert texts["parameters"].splitlines() == [
        SECRET,
        "Steps: 8, Sampler: Euler, CFG scale: 4.0, Seed: 41283, Size: 33x17, Model hash: ababababab, "
        f"Model: pocket, Version: {whole.software}",
    ]
    assert SOURCE_TYPE in texts[XMP_KEY]
    described = ElementTree.fromstring(XMP.split("?>", 1)[1].rsplit("<?", 1)[0])[0][0]
    assert list(described.attrib.values()) == ["", SOURCE_TYPE]


def test_minimal_says_what_drew_it_and_no_words(tmp_path: Path) -> None:
    data = png_with_recipe(picture(), recipe(), "minimal")
    path = write(tmp_path / "a.png", data)
    read = read_recipe(path)
    assert (read.model, read.seed, read.args, read.instruction, read.caption) == ("pocket", 41283, None, "", "")
    assert SECRET.encode() not in data and "parameters" not in read_texts(path)
    assert SOURCE_TYPE in read_texts(path)[XMP_KEY]


def test_none_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", png_with_recipe(picture(), recipe(), "none"))
    assert read_texts(path) == {}
    with pytest.raises(NoRecipe, match="carries no chatdit recipe"):
        read_recipe(path)


def test_a_long_lineage_is_cut_and_stays_readable(tmp_path: Path) -> None:
    line = recipe(instruction="x" * 60_000)
    for seed in range(20):
        ref = ImageRef(sha256=f"{seed:064x}", width=1, height=1)
        line = recipe(seed=seed, instruction="x" * 60_000, ingredients=(Ingredient(image=ref, recipe=line),))
    path = write(tmp_path / "a.png", png_with_recipe(picture(), line))
    read = read_recipe(path)
    assert read.seed == 19 and read.args == line.args
    assert read.ingredients[0].recipe is not None and read.ingredients[0].recipe.seed == 18
    assert len(read_texts(path)[KEY].encode()) <= MAX_RECIPE_BYTES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "damaged"),
        ('{"version": 2}', "version '2'"),
        ('{"version": 1, "tool": "x"}', "damaged recipe: at model"),
        ('{"version": 1, "model": "m", "tool": "t", "seed": 1, "run": "rm"}', "damaged recipe: at run"),
        ('{"version": 1, "model": "m", "tool": "t", "seed": 1, "pixels": "../../x"}', "damaged recipe: at pixels"),
        (" " * (MAX_RECIPE_BYTES + 1), "at most"),
    ],
)
def test_a_recipe_that_was_tampered_with_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(NoRecipe, match=words) as caught:
        read_recipe(with_text(tmp_path / "a.png", text))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_text_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    data = bytearray(with_text(tmp_path / "a.png", "x").read_bytes())
    bomb = KEY.encode() + b"\0\0" + zlib.compress(b"x" * 50_000_000, 9)
    chunk = len(bomb).to_bytes(4, "big") + b"zTXt" + bomb + zlib.crc32(b"zTXt" + bomb).to_bytes(4, "big")
    data[33:33] = chunk
    with pytest.raises(NoRecipe, match="cannot be read"):
        read_recipe(write(tmp_path / "b.png", bytes(data)))


@pytest.mark.parametrize("name", ["absent.png", "words.png", "empty.png", "photo.jpg", "."])
def test_what_is_no_png_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.jpg")
    with pytest.raises(NoRecipe) as caught:
        read_recipe(tmp_path / name)
    assert "\n" not in str(caught.value)
