"""`ic_lora`: cards, the shelf, and what the tool asks of a painter."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import zeros

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.ic_lora import IcLora, IcLoraInput, KnownPanel, settled
from chatdit.tools.lora.card import RELEASED, LoraCard
from chatdit.tools.lora.shelf import CARD, WEIGHTS, find_lora, read_card, shelf
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.spots import told_spots
from chatdit.tools.types import Sampling, ToolError
from tests.tools.conftest import RecordingDiT


@pytest.fixture
def loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of the person's own."""
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "loras").mkdir(parents=True)
    return tmp_path / "home" / "loras"


def _put(folder: Path, card: LoraCard) -> None:
    (folder / card.name).mkdir()
    (folder / card.name / CARD).write_text(card.model_dump_json(exclude_defaults=True))
    save_file({"x": zeros(1)}, folder / card.name / WEIGHTS)


TRIO = LoraCard(name="trio", family="pocket", summary="three of a kind", columns=3, chained=True)
PAIR = LoraCard(
    name="pair", family="flux", trigger="[PAIR]", summary="a logo on things", rows=1, columns=2, given=(1,),
    captions=("the logo of {}", "{} on a mug"), width=256, height=128,
)  # fmt: skip


def test_the_released_ones_have_their_canvases() -> None:
    told = {name: (c.width, c.height, c.rows, c.columns) for name, c in RELEASED.items()}
    assert len(told) == 10
    assert told["film-storyboard"] == (1024, 1536, 3, 1) and told["couple-profile"] == (2048, 1024, 1, 2)
    assert told["font-design"] == (1792, 1216, 2, 2) and told["sandstorm-visual-effect"] == (1408, 1600, 2, 1)
    assert RELEASED["film-storyboard"].named_panels == ("SCENE-1", "SCENE-2", "SCENE-3")
    assert RELEASED["sparklers-visual-effect"].named_panels == ("TOP", "BOTTOM")


def test_a_caption_follows_the_grammar_of_the_paper() -> None:
    assert PAIR.joint((PAIR.told("a fox", 1), PAIR.told("a fox", 2))) == (
        "[PAIR] a logo on things; [LEFT] the logo of a fox; [RIGHT] a fox on a mug."
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"columns": 1}, "1 rows of 1 are 1 panels"),
        ({"rows": 4, "columns": 4}, "expected 2 to 12"),
        ({"columns": 2, "tags": ("A",)}, "1 tags for 2 panels"),
        ({"columns": 2, "captions": ("{}",) * 3}, "3 captions for 2 panels"),
        ({"columns": 2, "given": (3,)}, r"given panels \[3\], expected numbers from 1 to 2"),
        ({"columns": 2, "name": "My LoRA"}, "String should match pattern"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        LoraCard.model_validate({"name": "x", **wrong})


def test_the_shelf_holds_folders_and_released_files(loras: Path) -> None:
    _put(loras, TRIO)
    save_file({"x": zeros(1)}, loras / "couple-profile.safetensors")
    save_file({"x": zeros(1)}, loras / "unknown.safetensors")
    assert {"trio", "couple-profile"} <= set(shelf()) and "unknown" not in shelf()
    assert find_lora("trio").card == TRIO and find_lora("couple-profile").card == RELEASED["couple-profile"]
    with pytest.raises(ToolError, match="no LoRA called 'tria'; did you mean 'trio'"):
        find_lora("tria")
    with pytest.raises(ToolError, match=r"'font-design' is not here: download font-design\.safetensors into .*loras"):
        find_lora("font-design")
    (loras / "trio" / CARD).write_text(json.dumps({"name": "trio", "columns": 9}))
    assert "couple-profile" in shelf() and "trio" not in shelf(), "a damaged card takes no other away"
    with pytest.raises(ToolError, match=r"trio/card\.json: columns"):
        find_lora("trio")
    with pytest.raises(ToolError, match="columns: Input should be less than or equal to 4"):
        read_card(loras / "trio" / CARD)
    (loras / "trio" / CARD).write_text("{")
    with pytest.raises(ToolError, match="is not JSON"):
        read_card(loras / "trio" / CARD)


def test_pocket_draws_segments_and_keeps_what_is_given(
    loras: Path, store: ArtifactStore, pocket_like: RecordingDiT
) -> None:
    _put(loras, TRIO)
    given = store.put_image(Image.new("RGB", (256, 256), (10, 200, 30)))
    asked = IcLoraInput(
        lora="trio",
        captions=("a cat",),
        known=(KnownPanel(panel=2, image=given),),
        strength=0.5,
        sampling=Sampling(seed=4),
    )
    made = IcLora().run(asked, pocket_like.context(store))
    (row,) = pocket_like.rows
    assert row.caption == "[panel1] a cat [panel2] a cat [panel3] a cat" and row.seed == 4
    assert [s.panel for s in row.segments] == [0, 1, 2] and [s.known is None for s in row.segments] == [
        True,
        False,
        True,
    ]
    (options,) = pocket_like.options
    assert options.adapter is not None
    assert options.adapter.file == loras / "trio" / WEIGHTS and options.adapter.strength == 0.5
    assert made.panels == (1, 3) and made.seeds == (4, 4) and len(made.images) == 2
    assert made.report["lora"] == "trio" and not made.warnings
    (loras / "trio" / CARD).write_text(TRIO.model_copy(update={"base_weights": "0" * 64}).model_dump_json())
    again = IcLora().run(asked, pocket_like.context(store))
    assert again.warnings == ("trio was trained on other weights of recorder",)


def test_what_stands_on_one_spot_in_all_panels_is_told_which() -> None:
    card = LoraCard(name="storm", family="pocket", columns=2, given=(1,), alike=True)
    asked = ("a cat on the beach",) * 2
    first, second = settled(card, (1, 2), asked, {}, seed=4)
    assert first == second and len(told_spots(first)) == 1
    cat = Placement("cat", None, 80, 90, 128)
    given = to_image(Renderer().pictures_of([Scene((Thing("cat"),), "beach")], [(cat,)], random.Random(0))[0])
    first, second = settled(card, (1, 2), ("a subject", "a cat"), {1: given}, seed=4)
    (spot,), (same,) = told_spots(first), told_spots(second)
    assert spot == same and max(abs(spot.x - cat.centre[0]), abs(spot.y - cat.centre[1]), abs(spot.side - 128)) <= 8
    for other in (card.model_copy(update={"alike": False}), card.model_copy(update={"family": "flux"})):
        assert settled(other, (1, 2), asked, {}, seed=4) == asked


def test_flux_draws_cells_of_one_canvas(loras: Path, store: ArtifactStore, flux_like: RecordingDiT) -> None:
    _put(loras, PAIR)
    logo = store.put_image(Image.new("RGB", (300, 300)))
    asked = IcLoraInput(lora="pair", captions=("a fox",), known=(KnownPanel(panel=1, image=logo),))
    made = IcLora().run(asked, flux_like.context(store))
    (row,) = flux_like.rows
    assert [(s.width, s.height, s.panel, s.origin) for s in row.segments] == [
        (128, 128, 0, (0, 0)),
        (128, 128, 0, (0, 8)),
    ]
    assert row.caption.startswith("[PAIR] ") and "[RIGHT] a fox on a mug" in row.caption
    assert flux_like.options[0].given == "noised", "as inpainting has it, which is how it was trained"
    assert made.panels == (2,) and made.images[0].width == 128


def test_more_than_the_panels_go_on_group_by_group_from_the_first(
    loras: Path, store: ArtifactStore, pocket_like: RecordingDiT
) -> None:
    _put(loras, TRIO)
    words = tuple(f"a cat {i}" for i in range(1, 7))
    heard: list[tuple[str, int, int]] = []
    context = pocket_like.context(store, lambda p: heard.append((p.stage, p.step, p.total)))
    made = IcLora().run(IcLoraInput(lora="trio", captions=words, sampling=Sampling(seed=9, steps=2)), context)
    captions = [row.caption for row in pocket_like.rows]
    assert captions == [
        "[panel1] a cat 1 [panel2] a cat 2 [panel3] a cat 3",
        "[panel1] a cat 1 [panel2] a cat 4 [panel3] a cat 5",
        "[panel1] a cat 1 [panel2] a cat 5 [panel3] a cat 6",
    ]
    assert [[s.known is not None for s in row.segments] for row in pocket_like.rows[1:]] == [
        [True, False, False],
        [True, True, False],
    ]
    assert made.panels == (1, 2, 3, 4, 5, 6) and made.seeds[:3] == (9, 9, 9) and len(set(made.seeds)) == 3
    assert heard[-1] == ("group 3 of 3", 6, 6)
    assert IcLora().estimate(IcLoraInput(lora="trio", captions=words), pocket_like.defaults).rows == 3


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"lora": "none"}, "unknown_lora"),
        ({"lora": "pair"}, "wrong_painter"),
        ({"captions": ("a", "b")}, "wrong_count"),
        ({"known": (0, 4)}, "bad_panel"),
        ({"known": (1, 1)}, "bad_panel"),
        ({"known": (1, 2, 3)}, "nothing_to_draw"),
    ],
)
def test_contradictions_are_told_before_weights_load(
    loras: Path, store: ArtifactStore, pocket_like: RecordingDiT, asked: dict[str, object], code: str
) -> None:
    _put(loras, TRIO)
    _put(loras, PAIR)
    image = store.put_image(Image.new("RGB", (64, 64)))
    panels = asked.pop("known", ())
    assert isinstance(panels, tuple)
    known = [{"panel": panel or 1, "image": image} for panel in panels]
    request = IcLoraInput.model_validate({"lora": "trio", "captions": ("a cat",), "known": known, **asked})
    assert [p.code for p in IcLora().validate(request, pocket_like.defaults)] == [code]
    with pytest.raises(ToolError):
        IcLora().run(request, pocket_like.context(store))
    assert not pocket_like.rows


def test_another_lora_of_the_name_is_another_surrounding(loras: Path) -> None:
    _put(loras, TRIO)
    before = IcLora().surroundings()
    save_file({"x": zeros(2)}, loras / "trio" / WEIGHTS)
    assert IcLora().surroundings() != before
