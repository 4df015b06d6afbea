"""The tool compose: sizes known beforehand, what it refuses and in which words, and a plan that uses it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import JsonValue, ValidationError

from chatdit.agents.executor import execute
from chatdit.agents.node_cache import NodeCache
from chatdit.agents.plan import Node, Plan, PlanOutput
from chatdit.agents.validator import check_plan
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.compose import Compose, ComposeInput, ComposeOutput
from chatdit.tools.dit.model import DiT
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Cancelled, ImageRef, MaskRef, Progress, ToolError

KINDS = ("grid", "stitch", "crop", "split", "pad", "resize", "paste", "rotate", "flip")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def unseen(width: int, height: int) -> ImageRef:
    """A picture that nobody has: sizes and faults are found without it."""
    return ImageRef(sha256="0" * 64, width=width, height=height)


def asked(images: list[ImageRef], kind: str, **options: object) -> ComposeInput:
    return ComposeInput.model_validate({"images": images, "operation": {"kind": kind, **options}})


def no_painter() -> DiT:
    raise AssertionError("compose needs no painter")


def run(request: ComposeInput, store: ArtifactStore) -> ComposeOutput:
    return Compose().run(request, RunContext(no_painter, store, lambda _: None))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """A store with the pictures of `pool`."""
    return ArtifactStore(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def pool(shelf: ArtifactStore) -> list[ImageRef]:
    sizes = [(1, 1), (1, 30), (45, 2), (16, 16), (17, 16), (33, 20), (20, 33), (40, 40), (8, 60)]
    return [shelf.put_image(noise(*size)) for size in sizes]


def some_box(chance: random.Random) -> JsonValue:
    x1, y1 = chance.uniform(0, 0.9), chance.uniform(0, 0.9)
    return {"x1": x1, "y1": y1, "x2": chance.uniform(x1 + 0.01, 1), "y2": chance.uniform(y1 + 0.01, 1)}


def some_side(chance: random.Random) -> int | None:
    return chance.choice([None, 1, 7, 30, 64])


def either(chance: random.Random, **ways: object) -> dict[str, object]:
    name = chance.choice(list(ways))
    return {name: ways[name]}


def some_sides(chance: random.Random) -> dict[str, object]:
    width, height = some_side(chance), some_side(chance)
    return {"width": width or (None if height else 9), "height": height}


def options_of(kind: str, chance: random.Random, store: ArtifactStore, images: list[ImageRef]) -> dict[str, object]:
    gap, aspect = chance.choice([0, 1, 8]), chance.choice([0.3, 1, 1.7])
    match kind:
        case "grid":
            labels = [chance.choice(["", "a", "Größe", "many words in a line"]) for _ in images]
            columns, fitted = chance.choice([None, 1, 2, 5]), chance.random() < 0.5
            return {"columns": columns, "gap": gap, "fit": fitted, "labels": chance.choice([[], labels])}
        case "stitch":
            ways = {"direction": ["horizontal", "vertical"], "match": ["first", "largest"]}
            return {"gap": gap, **{name: chance.choice(values) for name, values in ways.items()}}
        case "crop":
            anchor = chance.choice(["centre", "left", "right", "top", "bottom"])
            return {"anchor": anchor, **either(chance, box=some_box(chance), aspect=aspect)}
        case "split":
            return {"rows": chance.randint(1, 5), "columns": chance.randint(1, 5)}
        case "pad":
            fill = chance.choice(["edge", "blur", "teal"])
            return {"fill": fill, **(some_sides(chance) if chance.random() < 0.5 else {"aspect": aspect})}
        case "resize":
            return chance.choice([{"scale": chance.choice([0.1, 1, 2.5, 5])}, some_sides(chance)])
        case "paste":
            owner = chance.choice([0, 1])
            size = images[min(owner, len(images) - 1)]
            mask = store.put_mask(noise(size.width, size.height).convert("L")).model_dump()
            fit, words = chance.choice(["inside", "cover", "stretch"]), ("first", "second")[owner]
            drawn = {"mask": chance.choice([None, mask]), "mask_of": words}
            return {"box": some_box(chance), "fit": fit, "feather": chance.choice([0, 3]), **drawn}
        case "rotate":
            return {"degrees": chance.choice([90, 180, 270])}
        case _:
            return {"direction": chance.choice(["horizontal", "vertical"])}


def some_request(kind: str, chance: random.Random, store: ArtifactStore, pool: list[ImageRef]) -> ComposeInput:
    usual = {"split": 1, "paste": 2}.get(kind, chance.randint(1, 6))
    count = chance.randint(1, 4) if chance.random() < 0.1 else usual
    images = [chance.choice(pool) for _ in range(count)]
    return asked(images, kind, **options_of(kind, chance, store, images))


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_known_from_the_input_alone(kind: str, shelf: ArtifactStore, pool: list[ImageRef]) -> None:
    chance = random.Random(KINDS.index(kind))
    outcomes: Counter[str] = Counter()
    for _ in range(30):
        request = some_request(kind, chance, shelf, pool)
        sizes = request.sizes()
        assert sizes and all(width >= 1 and height >= 1 for width, height in sizes)
        if problems := Compose().validate(request):
            outcomes["refused"] += 1
            with pytest.raises(ToolError) as caught:
                run(request, shelf)
            assert str(caught.value) == "; ".join(map(str, problems)) and "\n" not in str(caught.value)
            continue
        outcomes["done"] += 1
        output = run(request, shelf)
        assert tuple((image.width, image.height) for image in output.images) == sizes, request.operation
        assert tuple(shelf.open_image(image).size for image in output.images) == sizes
    assert outcomes["done"] >= 10, outcomes


FAULTS: list[tuple[str, dict[str, object], list[tuple[int, int]], str]] = [
    ("split", {"columns": 2}, [(8, 8)] * 2, "images: expected one picture; split each .*, got 2 pictures"),
    ("split", {"rows": 5, "columns": 5}, [(80, 80)], "expected at most 24 parts; use fewer rows .*, got 5 x 5"),
    ("split", {"columns": 9}, [(8, 80)], "at least one pixel of a picture of 8x80; use fewer .*, got 1 x 9 parts"),
    ("paste", {}, [(8, 8)], "images: expected two pictures, the ground and what is laid on it.*, got 1 pictures"),
    ("paste", {}, [(8, 8)] * 3, "paste more by further calls, got 3 pictures"),
    ("grid", {"labels": ["a"]}, [(8, 8)] * 2, 'expected 2 labels, one for each .*; write "" .*, got 1 labels'),
    ("grid", {"background": "blurple"}, [(8, 8)], "background: .* CSS colour name or #rrggbb.*, got 'blurple'"),
    ("stitch", {"background": "#11223344"}, [(8, 8)], "operation.background: .*, got '#11223344'"),
    ("stitch", {"background": "rgb(300,0,0)"}, [(8, 8)], r"operation.background: .*, got 'rgb\(300,0,0\)'"),
    ("pad", {"fill": "mirror", "aspect": 1}, [(8, 8)], 'expected "edge", "blur", a CSS colour .*, got \'mirror\''),
    ("pad", {"width": 9, "aspect": 1}, [(8, 8)], "expected aspect or width and height; leave one out, got both"),
    ("pad", {}, [(8, 8)], "expected aspect or width and height; give one, got none"),
    ("crop", {}, [(8, 8)], "expected box or aspect; give one, got none"),
    ("resize", {"scale": 2, "height": 9}, [(8, 8)], "expected scale or width and height; leave one out, got both"),
    (
        "crop",
        {"box": {"x1": 0.5, "y1": 0, "x2": 0.51, "y2": 1}},
        [(200, 8), (20, 8)],
        "operation.box: expected a box of at least one pixel of picture 2, 20x8; make it larger, got 0x8 pixels",
    ),
    ("paste", {"box": {"x1": 0, "y1": 0.9, "x2": 1, "y2": 0.92}}, [(8, 10), (9, 9)], "of picture 1, 8x10.*got 8x0"),
    (
        "resize",
        {"scale": 64},
        [(8, 8), (2000, 1000)],
        "at most 64000000 pixels .*, got 128000x64000, 8192000000 pixels",
    ),
    ("stitch", {}, [(4096, 4096)] * 5, "at most 64000000 pixels .*scale .* down first, got 20480x4096"),
    ("rotate", {}, [(8000, 7000)] * 10, "at most 512000000 pixels in all results together; use several calls"),
]


@pytest.mark.parametrize(("kind", "options", "sizes", "words"), FAULTS)
def test_what_cannot_be_done_is_one_line(
    kind: str, options: dict[str, object], sizes: list[tuple[int, int]], words: str, store: ArtifactStore
) -> None:
    request = asked([unseen(*size) for size in sizes], kind, **options)
    (problem,) = Compose().validate(request)
    assert problem.path.startswith(("images", "operation")) and problem.code.islower()
    with pytest.raises(ToolError, match=words) as caught:
        run(request, store)
    assert "\n" not in str(caught.value)
    assert all(width >= 1 and height >= 1 for width, height in request.sizes())


def test_a_mask_has_the_size_of_its_own_picture(store: ArtifactStore) -> None:
    mask = MaskRef(sha256="0" * 64, width=20, height=30).model_dump()
    images = [unseen(40, 40), unseen(20, 30)]
    assert Compose().validate(asked(images, "paste", mask=mask)) == []
    (problem,) = Compose().validate(asked(images, "paste", mask=mask, mask_of="first"))
    assert (problem.path, problem.code, problem.got) == ("operation.mask", "mask_size", "20x30")
    assert problem.expected == "a mask of the first picture's size, 40x40; scale it or change mask_of"


def test_masks_come_from_the_store_as_masks_or_as_pictures(store: ArtifactStore) -> None:
    ground, laid = noise(30, 30), noise(30, 30, 1)
    mask = Image.new("L", (30, 30), 0)
    mask.paste(255, (5, 5, 25, 20))
    images = [store.put_image(ground), store.put_image(laid)]
    expected = ground.copy()
    expected.paste(laid.crop((5, 5, 25, 20)), (5, 5))
    for ref in (store.put_mask(mask), store.put_image(mask.convert("RGB"))):
        output = run(asked(images, "paste", mask=ref.model_dump()), store)
        assert output.images == (store.put_image(expected),) and output.warnings == ()
    black = store.put_mask(Image.new("L", (30, 30), 0))
    nothing = run(asked(images, "paste", mask=black.model_dump()), store)
    assert nothing.images == (images[0],) and nothing.warnings == ("the mask is black all over: nothing was pasted",)


@pytest.mark.parametrize(
    "operation",
    [
        {"kind": "blend"},
        {"kind": "rotate", "degrees": 45},
        {"kind": "flip", "axis": "x"},
        {"kind": "grid", "columns": 0},
        {"kind": "resize", "scale": float("nan")},
        {"kind": "resize", "width": 0},
        {"kind": "pad", "aspect": 1e9},
        {},
    ],
)
def test_types_refuse_what_is_no_operation(operation: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ComposeInput.model_validate({"images": [unseen(8, 8)], "operation": operation})


def test_one_to_twenty_four_pictures() -> None:
    for count, right in ((0, False), (1, True), (24, True), (25, False)):
        try:
            asked([unseen(8, 8)] * count, "grid")
        except ValidationError:
            assert not right, count
        else:
            assert right, count


WARNINGS: list[tuple[str, dict[str, object], list[str]]] = [
    ("resize", {"scale": 4}, []),
    ("resize", {"scale": 5}, ["picture 1, 20x10, is enlarged 5.0 times: no detail is added"]),
    ("resize", {"width": 20, "height": 20}, ["picture 1, 20x10, is stretched to 20x20: crop or pad to that shape"]),
    ("pad", {"width": 10}, ["picture 1, 20x10, is scaled down to fit into 10x10"]),
    ("pad", {"width": 30}, []),
    ("grid", {"labels": ["a  Bär"]}, ["label 'a  Bär' is written"]),
    ("grid", {"labels": ["a  b"]}, []),
]


@pytest.mark.parametrize(("kind", "options", "words"), WARNINGS)
def test_what_a_person_should_know_is_said(
    kind: str, options: dict[str, object], words: list[str], store: ArtifactStore
) -> None:
    output = run(asked([store.put_image(noise(20, 10))], kind, **options), store)
    assert len(output.warnings) == len(words)
    assert all(said.startswith(word) for said, word in zip(output.warnings, words, strict=True))


def test_a_small_picture_beside_a_large_one_is_said_to_gain_nothing(store: ArtifactStore) -> None:
    images = [store.put_image(noise(60, 60)), store.put_image(noise(10, 10))]
    (warning,) = run(asked(images, "stitch"), store).warnings
    assert warning == "picture 2, 10x10, is enlarged 6.0 times: no detail is added"


def test_cost_and_progress_count_the_pictures(store: ArtifactStore) -> None:
    request = asked([store.put_image(noise(9, 9, seed)) for seed in range(3)], "grid")
    seen: list[Progress] = []
    Compose().run(request, RunContext(no_painter, store, seen.append))
    assert [(report.step, report.total) for report in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("kind", ["grid", "flip"])
def test_cancelling_keeps_nothing(kind: str, store: ArtifactStore) -> None:
    request = asked([store.put_image(noise(9, 9, seed)) for seed in range(3)], kind)
    before = sorted(store.root.rglob("*"))

    def stop(report: Progress) -> None:
        if report.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        Compose().run(request, RunContext(no_painter, store, stop))
    assert sorted(store.root.rglob("*")) == before


def test_equal_input_gives_equal_bytes(shelf: ArtifactStore, pool: list[ImageRef]) -> None:
    request = asked(pool[3:6], "grid", labels=["a", "b", "c"])
    assert run(request, shelf).images == run(request, shelf).images


def test_a_picture_that_is_gone_is_one_clear_line(store: ArtifactStore) -> None:
    with pytest.raises(ToolError, match=r"artifact 000000000000 is not in .*make the picture again"):
        run(asked([unseen(8, 8)], "flip"), store)


def test_the_spec_names_every_operation() -> None:
    spec = json.loads(Compose().spec().model_dump_json())
    union = spec["input_schema"]["properties"]["operation"]
    assert union["discriminator"]["propertyName"] == "kind"
    assert set(union["discriminator"]["mapping"]) == set(KINDS)
    assert spec["input_schema"]["properties"]["images"]["maxItems"] == 24


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from chatdit.tools.compose import Compose; Compose().spec(); "
        "print('numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


def split_and_join(picture: ImageRef) -> Plan:
    """A picture cut into 2 x 3 parts, and those put together."""
    parts: list[JsonValue] = [{"$node": "cut", "index": i} for i in range(6)]
    cut: dict[str, JsonValue] = {"kind": "split", "rows": 2, "columns": 3}
    join: dict[str, JsonValue] = {"kind": "grid", "columns": 3, "gap": 0}
    return Plan(
        inputs={"input_1": picture},
        nodes=(
            Node(id="cut", tool="compose", args={"images": [{"$input": "input_1"}], "operation": cut}),
            Node(id="join", tool="compose", args={"images": parts, "operation": join}),
        ),
        outputs=(PlanOutput(id="output_1", node="join"),),
    )


@pytest.fixture
def execute_plan(store: ArtifactStore, tmp_path: Path) -> Callable[[Plan], ImageRef]:
    cache = NodeCache(tmp_path / "nodes", weights_hash=lambda: "0" * 64)

    def go(plan: Plan) -> ImageRef:
        made = execute(plan, {"compose": Compose()}, RunContext(no_painter, store, lambda _: None), cache)
        return made[plan.outputs[0].node].images[plan.outputs[0].index]

    return go


def test_a_plan_cuts_a_picture_and_puts_it_together(
    execute_plan: Callable[[Plan], ImageRef], store: ArtifactStore
) -> None:
    picture = store.put_image(noise(101, 67))
    plan = split_and_join(picture)
    assert check_plan(plan, {"compose": Compose()}) == []
    assert execute_plan(plan) == picture, "the very same picture"


def test_faults_of_a_plan_are_found_before_it_runs() -> None:
    plan = split_and_join(unseen(101, 67))
    wrong: dict[str, JsonValue] = {"kind": "split", "rows": 9, "columns": 9}
    cut = plan.nodes[0].model_copy(update={"args": {**plan.nodes[0].args, "operation": wrong}})
    problems = check_plan(plan.model_copy(update={"nodes": (cut, plan.nodes[1])}), {"compose": Compose()})
    assert [(problem.path, problem.code) for problem in problems][:1] == [("nodes.0.args.operation", "too_many_parts")]
