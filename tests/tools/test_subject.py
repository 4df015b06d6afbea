"""`subject`: references are looked at, captions told for pocket, and what cannot be drawn is said before sampling."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import tool
from chatdit.tools.dit.model import DiT
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import NAMELESS, Placement, Scene, Thing, Worn
from chatdit.tools.pocket.subject_words import Called, subject_spots, tokens_of_spots, told_subjects
from chatdit.tools.pocket.wearing import bounds
from chatdit.tools.subject import SubjectInput, SubjectOutput, SubjectReference, SubjectTool
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Box, Cancelled, ImageRef, MaskRef, Progress, Sampling, ToolError
from tests.tools.conftest import FLUX_LIKE, RecordingDiT


@dataclass
class SharingDiT(RecordingDiT):
    """A recorder that knows the words of squares."""

    takes_plans: bool = True
    layers: int = 8

    @property
    def token_size(self) -> int:
        return self.defaults.token_size

    def unknown_words(self, caption: str) -> tuple[str, ...]:
        return tuple(word for word in caption.split() if word.startswith("xy"))


def _pixels(name: str, tint: str | None = None, worn: Worn | None = None) -> Image.Image:
    scene = Scene((Thing(name, tint=tint, worn=worn),), "beach")
    sprite = Placement(name, tint, 60, 70, 150, worn=worn)
    return to_image(Renderer().pictures_of([scene], [(sprite,)], random.Random(0))[0])


@pytest.fixture(scope="module")
def otter() -> Image.Image:
    return _pixels("otter", "purple")


@pytest.fixture(scope="module")
def bison() -> Image.Image:
    return _pixels("bison")


@pytest.fixture
def middle(store: ArtifactStore) -> MaskRef:
    """A mask of the picture's middle, with which nothing need be looked for."""
    mask = Image.new("L", (256, 256))
    ImageDraw.Draw(mask).rectangle((64, 64, 191, 191), fill=255)
    return store.put_mask(mask)


def _asked(caption: str, *references: SubjectReference, **more: object) -> SubjectInput:
    return SubjectInput.model_validate({"caption": caption, "references": references, **more})


def _run(asked: SubjectInput, dit: RecordingDiT, store: ArtifactStore) -> SubjectOutput:
    return SubjectTool().run(asked, dit.context(store))


def test_one_who_has_no_name_can_wear_things() -> None:
    for kind in ("top hat", "badge"):
        left, top, right, bottom = bounds(Placement(NAMELESS, None, 60, 80, 100, worn=Worn(kind, "red")))
        assert left <= 60 and right >= 160 and bottom == 180 and (top < 80) == (kind == "top hat")


def test_it_is_in_the_catalogue() -> None:
    assert isinstance(tool("subject"), SubjectTool)
    spec = tool("subject").spec()
    assert "references" in str(spec.input_schema) and spec.summary.startswith("Draw the very subject")


def test_a_subject_is_shared_with_where_it_is_to_stand(store: ArtifactStore, otter: Image.Image) -> None:
    dit = SharingDiT()
    given = SubjectReference(image=store.put_image(otter), word="otter")
    made = _run(_asked("an otter in a cave", given, sampling=Sampling(seed=4, steps=2)), dit, store)
    target, reference = dit.rows
    assert target.seed == 4 and target.caption == made.caption and made.seeds == (4,)
    read = read_caption(target.caption)
    assert read is not None and [t.subject for t in read.scene.things] == [NAMELESS]
    assert read.scene.background == "cave"
    assert reference.trajectory == "noised" and reference.segments[0].panel == -1
    assert target.caption.startswith("a purple subject [")
    assert reference.caption.startswith("a subject [") and reference.caption.endswith("on the beach")
    plan = dit.plans[0]
    assert plan is not None
    (op,) = plan.ops
    assert op.mode == "concat" and op.tokens.image is not None and len(op.tokens.image) == made.shared_tokens[0]
    assert {27, 28, 35, 36} <= set(op.tokens.image) and 0 not in op.tokens.image, "the subject's tokens of 8 x 8"
    spots = subject_spots(target.caption)
    assert op.queries is not None and op.queries.image == tokens_of_spots(spots, 8)[0]
    assert SubjectTool().estimate(_asked("an otter", given), dit.defaults).rows == 2
    assert made.report["method"] == "sharing" and made.report["layers"] == "all"


def test_several_subjects_each_have_their_own_square(
    store: ArtifactStore, otter: Image.Image, bison: Image.Image, middle: MaskRef
) -> None:
    dit, shown = SharingDiT(), ((otter, "otter"), (bison, "bison"))
    given = [SubjectReference(image=store.put_image(p), word=w, mask=middle) for p, w in shown]
    _run(_asked("a bison left of an otter on the moon", *given, k_scale=1.2, log_bias=0.5), dit, store)
    plan = dit.plans[0]
    assert plan is not None
    otters, bisons = plan.ops
    assert [op.source for op in plan.ops] == [1, 2] and otters.k_scale == 1.2 and otters.log_bias == 0.5
    assert otters.queries is not None and bisons.queries is not None
    columns = [[token % 8 for token in op.queries.image or ()] for op in plan.ops if op.queries is not None]
    assert sum(columns[0]) / len(columns[0]) > sum(columns[1]) / len(columns[1]), "the otter stands on the right"
    assert not set(otters.queries.image or ()) & set(bisons.queries.image or ())


def test_a_mask_says_where_it_is(store: ArtifactStore) -> None:
    dit = SharingDiT()
    picture, mask = Image.new("RGB", (256, 256), "grey"), Image.new("L", (256, 256))
    ImageDraw.Draw(mask).rectangle((0, 0, 63, 31), fill=255)
    given = SubjectReference(image=store.put_image(picture), mask=store.put_mask(mask))
    made = _run(_asked("on the beach", given), dit, store)
    plan = dit.plans[0]
    assert plan is not None and plan.ops[0].tokens.image == (0, 1) and made.caption.startswith("a subject [")


def test_any_painter_is_told_what_is_known_and_shares_on_one_grid(store: ArtifactStore) -> None:
    dit = SharingDiT(FLUX_LIKE, longest=400, layers=57)
    picture, mask = Image.new("RGB", (300, 300), "grey"), Image.new("L", (300, 300), 255)
    known, region = "a corgi with a blue collar", store.put_mask(mask)
    given = SubjectReference(image=store.put_image(picture), word="corgi", mask=region, description=known)
    asked = _asked("A corgi on a skateboard.", given, width=256, height=128)
    made = _run(asked, dit, store)
    assert made.caption == "A corgi on a skateboard. a corgi with a blue collar"
    plan = dit.plans[0]
    assert plan is not None
    assert [op.k_scale for op in plan.ops] == [1.1, 1.1] and made.report["layers"] == "0,1,2,17,18,25,28,53,54,56"
    assert [s.panel for row in dit.rows for s in row.segments] == [0, 0]
    assert (made.images[0].width, made.images[0].height) == (256, 128)
    plain = asked.model_copy(update={"describe": False, "method": "segments"})
    assert _run(plain, dit, store).caption.endswith("A corgi on a skateboard.") and dit.plans[1] is None


def test_segments_stand_in_the_pictures_own_context(store: ArtifactStore, otter: Image.Image, middle: MaskRef) -> None:
    dit = SharingDiT()
    given = SubjectReference(image=store.put_image(otter), mask=middle)
    made = _run(_asked("the otter on the moon", given, method="segments"), dit, store)
    (row,) = dit.rows
    assert [s.known is not None for s in row.segments] == [True, False] and made.report["method"] == "segments"
    assert made.caption.endswith("[panel2] a purple subject on the moon")


IMAGE, WIDE = ImageRef(sha256="a" * 64, width=256, height=256), ImageRef(sha256="a" * 64, width=300, height=256)


@pytest.mark.parametrize(
    ("references", "more", "why"),
    [
        ([], {}, "at least 1 item"),
        ([SubjectReference(image=IMAGE)] * 5, {}, "at most 4 items"),
        ([SubjectReference(image=IMAGE)], {"method": "magic"}, "'sharing' or 'segments'"),
        ([SubjectReference(image=IMAGE)], {"caption": " "}, "at least 1 character"),
    ],
)
def test_what_no_painter_could_draw_is_no_input(
    references: list[SubjectReference], more: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        SubjectInput.model_validate({"caption": "a cat", "references": references, **more})


@pytest.mark.parametrize(
    ("references", "open_vocabulary", "more", "code"),
    [
        ([SubjectReference(image=WIDE, mask=MaskRef(sha256="b" * 64, width=9, height=9))], False, {}, "size_mismatch"),
        ([SubjectReference(image=IMAGE)] * 4, False, {}, "too_many_references"),
        ([SubjectReference(image=IMAGE)], True, {}, "nothing_meant"),
    ],
)
def test_faults_are_told_before_weights_load(
    references: list[SubjectReference], open_vocabulary: bool, more: dict[str, object], code: str
) -> None:
    painter = FLUX_LIKE if open_vocabulary else SharingDiT().defaults
    (problem,) = SubjectTool().validate(_asked("a cat", *references, **more), painter)
    assert problem.code == code and "expected" in str(problem)


@pytest.mark.parametrize(
    ("word", "masked", "why"),
    [
        ("zebra", False, "reference 1: 'zebra' is not there, and the picture shows a purple otter"),
        ("wug", False, "reference 1: 'wug' holds 'wug'"),
        ("", True, "the mask of reference 1 is empty: expected 255 on the subject"),
    ],
)
def test_a_subject_that_is_not_there_is_told_before_sampling(
    store: ArtifactStore, otter: Image.Image, word: str, masked: bool, why: str
) -> None:
    dit = SharingDiT()
    mask = store.put_mask(Image.new("L", (256, 256))) if masked else None
    given = SubjectReference(image=store.put_image(otter), word=word, mask=mask)
    with pytest.raises(ToolError, match=why):
        _run(_asked("on the moon", given), dit, store)
    assert not dit.rows


def test_a_picture_of_nothing_known_needs_a_mask(store: ArtifactStore) -> None:
    given = SubjectReference(image=store.put_image(Image.new("RGB", (256, 256), "white")))
    with pytest.raises(ToolError, match="reference 1: nothing that the painter knows was found there; give a mask"):
        _run(_asked("on the moon", given), SharingDiT(), store)


def test_a_real_painter_reports_and_stops_when_told(
    store: ArtifactStore, tiny: DiT, otter: Image.Image, middle: MaskRef
) -> None:
    given = SubjectReference(image=store.put_image(otter), word="otter", mask=middle)
    asked = _asked("a subject on the moon", given, sampling=Sampling(steps=2))
    told: list[Progress] = []
    made = SubjectTool().run(asked, RunContext(lambda: tiny, store, told.append))
    assert [p.step for p in told if p.stage == "sample"] == [1, 2] and made.images[0].width == 64

    def stop(progress: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        SubjectTool().run(asked, RunContext(lambda: tiny, store, stop))


@pytest.mark.parametrize(
    ("text", "told", "order"),
    [
        ("the otter on the beach", "a purple subject wearing a red bow on the beach", (0,)),
        ("a large blue otter in space", "a large blue subject wearing a red bow in space", (0,)),
        ("an otter wearing a red bow in space", "a purple subject wearing a red bow in space", (0,)),
        ("this character at night", "a purple subject wearing a red bow at night", (0,)),
        ("a cat in the snow", "a purple subject wearing a red bow and a cat in the snow", (0,)),
        ("a hero left of an otter", "a subject left of a purple subject wearing a red bow", (1, 0)),
    ],
)
def test_pocket_is_told_whom_no_word_names(text: str, told: str, order: tuple[int, ...]) -> None:
    called = [Called("otter", Thing(NAMELESS, tint="purple", worn=Worn("bow", "red"))), Called("", Thing(NAMELESS))]
    assert told_subjects(text, called[: len(order)]) == (told, order)


def test_of_several_it_is_not_told_what_they_wear(store: ArtifactStore, middle: MaskRef) -> None:
    dit = SharingDiT()
    dressed = SubjectReference(
        image=store.put_image(_pixels("otter", "purple", Worn("top hat", "red"))), word="otter", mask=middle
    )
    other = SubjectReference(image=store.put_image(Image.new("RGB", (256, 256))), mask=middle)
    alone = _run(_asked("the otter in a cave", dressed), dit, store).caption
    both = _run(_asked("the otter and a character in a cave", dressed, other), dit, store).caption
    assert "wearing a red top hat" in alone and "wearing" not in both and both.startswith("a purple subject [")


def test_without_models_to_look_with_a_real_picture_needs_a_mask(store: ArtifactStore) -> None:
    dit = SharingDiT(FLUX_LIKE, layers=57)
    given = SubjectReference(image=store.put_image(Image.new("RGB", (64, 64))), word="corgi")
    with pytest.raises(ToolError, match=r"reference 1: .*; or give a mask of the subject"):
        _run(_asked("a corgi", given), dit, store)
    assert not dit.rows


def test_each_subject_stands_in_its_own_box(store: ArtifactStore, otter: Image.Image, bison: Image.Image) -> None:
    dit = SharingDiT()
    left, right = Box(x1=0.05, y1=0.4, x2=0.45, y2=0.8), Box(x1=0.55, y1=0.3, x2=0.95, y2=0.7)
    first = SubjectReference(image=store.put_image(otter), word="otter", box=right)
    second = SubjectReference(image=store.put_image(bison), word="bison", box=left)
    made = _run(_asked("a bison and an otter in a cave", first, second), dit, store)
    bison_spot, otter_spot = subject_spots(made.caption)
    assert bison_spot.x < 128 < otter_spot.x
    plan = dit.plans[0]
    assert plan is not None and len(dit.plans) == 1, "layout and subjects in one run"
    tokens = tokens_of_spots([bison_spot, otter_spot], 8)
    assert [op.queries.image for op in plan.ops if op.queries is not None] == tokens[::-1], "in the order given"


@pytest.mark.parametrize(
    ("caption", "boxes", "why"),
    [
        ("an otter and a cat in a cave", (Box(x1=0.1, y1=0.1, x2=0.5, y2=0.5),), "names things that have no box"),
        ("an otter in a cave", (Box(x1=0.1, y1=0.1, x2=0.2, y2=0.2),), "make it larger"),
    ],
)
def test_boxes_that_do_not_suit_the_caption_are_told(
    store: ArtifactStore, otter: Image.Image, caption: str, boxes: Sequence[Box], why: str
) -> None:
    dit = SharingDiT()
    given = [SubjectReference(image=store.put_image(otter), word="otter", box=box) for box in boxes]
    with pytest.raises(ToolError, match=why):
        _run(_asked(caption, *given), dit, store)
    assert not dit.rows


def test_all_have_boxes_or_none(store: ArtifactStore, otter: Image.Image) -> None:
    image, box = store.put_image(otter), Box(x1=0.1, y1=0.1, x2=0.5, y2=0.5)
    mixed = _asked("two of them", SubjectReference(image=image, box=box), SubjectReference(image=image))
    segments = _asked("an otter", SubjectReference(image=image, box=box), method="segments")
    for asked in (mixed, segments):
        (problem,) = SubjectTool().validate(asked, None)
        assert problem.code == "some_boxes" and "a box for every reference or for none" in str(problem)
