"""`story`: pages in contexts, boxes for each page, and what pages see of each other."""

from __future__ import annotations

import random

import pytest
import torch
from PIL import Image

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.pages import page_biases
from chatdit.tools.dit.rows import Row, Segment
from chatdit.tools.layout import BoxedPhrase
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import Placement, Scene, Thing, Worn
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.story import Page, StoryInput, StoryTool
from chatdit.tools.story_pages import page_drawing, plan_of
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Box, Sampling, ToolError
from tests.tools.conftest import RecordingDiT

LEFT, RIGHT = Box(x1=0.05, y1=0.4, x2=0.45, y2=0.9), Box(x1=0.5, y1=0.5, x2=0.95, y2=0.95)
PLACES = ("on the beach", "in the forest", "at night", "in the snow", "under water")


def _pages(count: int, words: str = "a fox") -> tuple[Page, ...]:
    return tuple(Page(caption=f"{words} {place}") for place in PLACES[:count])


def _otter() -> Image.Image:
    scene = Scene((Thing("otter", tint="green", worn=Worn("bow", "red")),), "studio")
    sprite = Placement("otter", "green", 60, 70, 130, worn=scene.things[0].worn)
    return to_image(Renderer().pictures_of([scene], [(sprite,)], random.Random(0))[0])


def test_pages_that_fit_are_one_context_and_later_ones_stand_beside_the_first(
    store: ArtifactStore, pocket_like: RecordingDiT
) -> None:
    asked = StoryInput(pages=_pages(5), subject="fox", sampling=Sampling(seed=4))
    made = StoryTool().run(asked, pocket_like.context(store))
    first, second = pocket_like.rows
    assert [len(row.segments) for row in (first, second)] == [4, 2] and first.seed == 4 != second.seed
    assert not any(s.wholly_known for s in first.segments)
    assert [s.wholly_known for s in second.segments] == [True, False]
    assert len(made.images) == len(made.seeds) == 5 and made.captions == tuple(p.caption for p in asked.pages)
    assert second.caption.startswith("[panel1] a fox on the beach") and made.report["contexts"] == 2
    cost = StoryTool().estimate(asked, pocket_like.defaults)
    assert (cost.rows, cost.tokens) == (2, 4 * (256 // pocket_like.defaults.token_size) ** 2)


def test_a_given_subject_stands_beside_every_context(store: ArtifactStore, pocket_like: RecordingDiT) -> None:
    image = store.put_image(_otter())
    asked = StoryInput(pages=_pages(5, "an otter"), subject="otter", reference=image)
    StoryTool().run(asked, pocket_like.context(store))
    assert [[s.wholly_known for s in row.segments] for row in pocket_like.rows] == [
        [True, False, False, False], [True, False, False],
    ]  # fmt: skip
    assert "otter" not in pocket_like.rows[0].caption, "no word of this painter names it"
    assert pocket_like.rows[0].caption.count("a green subject wearing a red bow") == 3


def test_boxes_of_a_page_are_told_to_it_alone(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    boxes = (BoxedPhrase(phrase="a fox", box=LEFT), BoxedPhrase(phrase="a car", box=RIGHT))
    pages = (Page(caption="a fox on the beach"), Page(caption="a car and a fox at night", boxes=boxes))
    StoryTool().run(StoryInput(pages=pages), pocket_like.context(store))
    _, first, second = pocket_like.rows[0].caption.split("[panel")
    car, fox = told_spots(second)
    assert fox.x < car.x and not told_spots(first)


@pytest.mark.parametrize(
    ("caption", "phrase", "why"),
    [
        ("a fox and a cat on the beach", "a fox", "names not just what has a box"),
        ("a fox on the beach", "two foxes", "is no single subject"),
    ],
)
def test_boxes_that_do_not_fit_the_page_are_told_before_anything_is_drawn(
    store: ArtifactStore, pocket_like: RecordingDiT, caption: str, phrase: str, why: str
) -> None:
    page = Page(caption=caption, boxes=(BoxedPhrase(phrase=phrase, box=LEFT),))
    asked = StoryInput(pages=(*_pages(1), page))
    (problem,) = StoryTool().validate(asked, pocket_like.defaults)
    assert problem.path == "pages.1.boxes" and why in str(problem)
    with pytest.raises(ToolError, match="boxes that hold all"):
        StoryTool().run(asked, pocket_like.context(store))
    assert not pocket_like.rows


def test_flux_has_cells_of_a_canvas_with_regions(store: ArtifactStore, flux_like: RecordingDiT) -> None:
    boxed = Page(caption="the lamp at dusk", boxes=(BoxedPhrase(phrase="a brass lamp", box=RIGHT),))
    image = store.put_image(Image.new("RGB", (96, 96), "navy"))
    asked = StoryInput(pages=(Page(caption="the lamp at noon"), boxed), subject="lamp", reference=image)
    StoryTool().run(asked, flux_like.context(store))
    (row,) = flux_like.rows
    assert len(row.segments) == 3 and row.segments[0].wholly_known
    (region,) = row.regions
    assert (region.phrase, region.segment) == ("a brass lamp", 2)


def test_pages_see_the_subject_of_the_others_alone() -> None:
    grid = Grid(8, 2, 16)
    row = Row("", (Segment(64, 64, 0), Segment(64, 64, 1)), 0)
    (bias,) = page_biases(row, [(0, 0, 0.5, 0.5), None], grid)
    assert bias.queries.image == tuple(range(16, 32)), "the other page"
    assert bias.keys.image == tuple(t for t in range(16) if t not in (0, 1, 4, 5)), "all but the box"


def test_what_pages_see_is_settled_by_their_squares(store: ArtifactStore) -> None:
    dit = DiT.load("pocket", device="cpu")
    asked = StoryInput(pages=_pages(2), subject="fox", sight="subject", sampling=Sampling(seed=1, steps=1))
    drawing = page_drawing(dit, asked.pages, None, "", asked, 1)
    biases = plan_of(dit, drawing, asked.pages, asked).biases
    assert len(biases) == 2
    for bias, text in zip(biases, drawing.row.caption.split("[panel")[1:], strict=True):
        (spot,) = told_spots(text)
        hidden = {t % 256 for t in bias.keys.image or ()}
        middle = int(spot.y // 16) * 16 + int(spot.x // 16)
        assert middle not in hidden and 256 - len(hidden) == pytest.approx(
            (spot.side / 16) ** 2, abs=2 * spot.side / 16 + 4
        )
    context = RunContext(dit=lambda: dit, store=store, progress=lambda p: None)
    apart, together = (
        StoryTool().run(asked.model_copy(update={"sight": sight}), context) for sight in ("subject", "all")
    )
    first, second = (store.open_image(made.images[1]) for made in (apart, together))
    assert not torch.equal(torch.tensor(list(first.tobytes())), torch.tensor(list(second.tobytes())))
