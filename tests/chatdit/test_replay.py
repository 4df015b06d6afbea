"""A picture's recipe draws the same pixels again, here or where nothing else is known of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chatdit.config import Settings
from chatdit.painter import LazyPainter
from chatdit.provenance import NoRecipe, png_with_recipe, read_recipe
from chatdit.replay import first_difference, replay
from chatdit.session import Session
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Progress, ToolError
from chatdit.workshop import Workshop

MakeSession = Callable[..., Session]


@pytest.fixture
def elsewhere(painter: LazyPainter, tmp_path: Path) -> RunContext:
    """The same painter with an empty artifact store."""
    return Workshop(Settings(), painter=painter).run_context(ArtifactStore(tmp_path / "elsewhere"))


def test_a_picture_replays_with_equal_pixels(new_session: MakeSession, elsewhere: RunContext) -> None:
    turn = new_session(seed=9, steps=1).send("a cat on the beach, then the same cat on the moon")
    for picture in turn.images:
        reports: list[Progress] = []
        again = replay(picture.path, elsewhere, TOOLS, reports.append)
        assert again.equal and again.difference is None and again.notes == ()
        assert str(again) == "the pixels are equal"
        assert reports


def test_a_lineage_replays_where_its_pictures_are_not(new_session: MakeSession, elsewhere: RunContext) -> None:
    session = new_session(seed=9)
    session.send("a cat on the beach")
    session.send("the same cat on the moon")
    last = session.send("the same in the forest").images[0]
    recipe = read_recipe(last.path)
    assert recipe.ingredients and recipe.ingredients[0].recipe is not None
    assert recipe.ingredients[0].recipe.ingredients[0].recipe is not None
    assert replay(last.path, elsewhere, TOOLS).equal


def test_a_changed_file_gives_the_first_difference(
    new_session: MakeSession, elsewhere: RunContext, tmp_path: Path
) -> None:
    picture = new_session().send("a cat").images[0]
    with Image.open(picture.path) as image:
        changed = image.convert("RGB")
    was = changed.getpixel((5, 3))
    assert isinstance(was, tuple)
    now = (was[0] ^ 255, was[1], was[2])
    changed.putpixel((5, 3), now)
    changed.putpixel((0, 60), (1, 2, 3))
    (tmp_path / "changed.png").write_bytes(png_with_recipe(changed, read_recipe(picture.path)))
    again = replay(tmp_path / "changed.png", elsewhere, TOOLS)
    assert not again.equal and again.difference is not None
    found = again.difference
    assert (found.x, found.y, found.expected, found.got, found.pixels) == (5, 3, now, was, 2)
    assert found.largest >= abs(now[0] - was[0])
    assert "the first at (5, 3)" in str(again)


def test_other_weights_are_said(new_session: MakeSession, elsewhere: RunContext, tmp_path: Path) -> None:
    picture = new_session().send("a cat").images[0]
    other = read_recipe(picture.path).model_copy(update={"weights": "0" * 64, "tool_version": "0"})
    with Image.open(picture.path) as image:
        (tmp_path / "other.png").write_bytes(png_with_recipe(image.convert("RGB"), other))
    notes = replay(tmp_path / "other.png", elsewhere, TOOLS).notes
    assert len(notes) == 2 and "0000000000" in notes[0] and "version 0" in notes[1]


def test_what_cannot_be_replayed_says_why(new_session: MakeSession, elsewhere: RunContext, tmp_path: Path) -> None:
    session = new_session(metadata="minimal")
    with pytest.raises(NoRecipe, match="minimal"):
        replay(session.send("a cat").images[0].path, elsewhere, TOOLS)
    attached = new_session().send("a cat on the beach", images=[Image.new("RGB", (64, 64), "red")]).images[0]
    with pytest.raises(ToolError, match="is not here"):
        replay(attached.path, elsewhere, TOOLS)
    recipe = read_recipe(new_session().send("a dog").images[0].path)
    for change, words in (({"tool": "melt"}, "'melt'"), ({"args": {}}, "panels"), ({"index": 5}, "image 5 of")):
        path = tmp_path / f"{words[1:4]}.png"
        path.write_bytes(png_with_recipe(Image.new("RGB", (64, 64)), recipe.model_copy(update=change)))
        with pytest.raises(NoRecipe, match=words):
            replay(path, elsewhere, TOOLS)


def test_first_difference_is_in_reading_order() -> None:
    a = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    assert first_difference(a, a) is None
    assert first_difference(a, Image.new("RGB", (5, 4))) is None
    b = a.copy()
    b.putpixel((1, 2), (0, 0, 9))
    b.putpixel((4, 1), (0, 7, 0))
    found = first_difference(a, b)
    assert found is not None
    assert (found.x, found.y, found.got, found.pixels, found.largest) == (4, 1, (0, 7, 0), 2, 9)
