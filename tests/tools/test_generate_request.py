"""Requests: what is refused, which seeds and sizes follow, how many tokens they take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from chatdit.tools.dit.rows import SamplingDefaults
from chatdit.tools.generate import Generate
from chatdit.tools.generate_request import (
    Context,
    GenerateInput,
    PanelRequest,
    derived_seed,
    picture_seeds,
    picture_sizes,
    row_tokens,
)
from chatdit.tools.types import ImageRef, Reference, Sampling, ToolInput

POCKET = SamplingDefaults(
    steps=8, guidance=3.0, shift=2.0, width=256, height=256, max_panels=4, open_vocabulary=False, token_size=32
)
FLUX = replace(POCKET, steps=28, width=1024, height=1024, max_panels=12, open_vocabulary=True, token_size=16)


def reference(width: int = 100, height: int = 100) -> Reference:
    return Reference(image=ImageRef(sha256="a" * 64, width=width, height=height))


def request(panels: int, references: int = 0, context: Context = "sequence", seed: int = 5) -> GenerateInput:
    return GenerateInput(
        panels=tuple(PanelRequest(caption=f"scene {i}") for i in range(panels)),
        references=(reference(),) * references,
        context=context,
        sampling=Sampling(seed=seed),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"caption": ""},
        {"caption": " \n\t "},
        {"caption": "x" * 4001},
        {"caption": "a", "width": 0},
        {"caption": "a", "width": 5000},
        {"caption": "a", "aspect": 5},
        {"caption": "a", "aspect": float("nan")},
        {"caption": "a", "width": 64, "height": 64, "aspect": 1},
        {"caption": "a", "widht": 64},
    ],
)
def test_panels_that_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PanelRequest.model_validate(fields)


@pytest.mark.parametrize("count", [0, 13])
def test_one_to_twelve_panels(count: int) -> None:
    with pytest.raises(ValidationError):
        request(count)
    assert len(request(12).panels) == 12


def test_requests_survive_json() -> None:
    asked = request(3, references=2, context="canvas")
    assert GenerateInput.model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize(
    ("panels", "references", "context", "fits"),
    [
        (4, 0, "sequence", True),
        (5, 0, "sequence", False),
        (3, 1, "canvas", True),
        (3, 2, "canvas", False),
        (12, 0, "separate", True),
        (12, 3, "separate", True),
        (1, 4, "separate", False),
    ],
)
def test_a_painter_holds_so_many_panels(panels: int, references: int, context: Context, fits: bool) -> None:
    found = Generate().validate(request(panels, references, context), POCKET)
    assert [p.code for p in found] == ([] if fits else ["too_many_panels"])
    if not fits:
        assert "at most 4" in found[0].expected and found[0].path == (
            "references" if context == "separate" else "panels"
        )


def test_twelve_is_the_limit_whatever_the_painter() -> None:
    assert [p.code for p in Generate().validate(request(11, 2))] == ["too_many_panels"]
    assert Generate().validate(request(11, 1)) == []


def test_cells_of_one_size() -> None:
    sizes: list[dict[str, int]] = [{}, {"width": 64, "height": 64}, {}, {"width": 64, "height": 96}]
    panels = tuple(PanelRequest(caption="a", **size) for size in sizes)
    found = Generate().validate(GenerateInput(panels=panels, context="canvas"))
    assert [(p.path, p.code) for p in found] == [("panels.3", "size_mismatch")]
    assert Generate().validate(GenerateInput(panels=panels, context="sequence")) == []
    assert Generate().validate(GenerateInput(panels=panels[:3], context="canvas")) == []


def test_a_mask_is_no_reference() -> None:
    asked = request(1).model_copy(update={"references": (reference(), Reference(image=reference().image, role="mask"))})
    assert [(p.path, p.code) for p in Generate().validate(asked)] == [("references.1.role", "unsupported_role")]


def test_pictures_too_large_for_any_device() -> None:
    huge = GenerateInput(panels=(PanelRequest(caption="a", width=4096, height=4096),))
    assert [p.code for p in Generate().validate(huge, FLUX)] == ["too_large"]
    assert Generate().validate(huge.model_copy(update={"panels": (PanelRequest(caption="a"),)}), FLUX) == []


def test_input_of_another_tool_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="expected GenerateInput"):
        Generate().validate(ToolInput())


def test_separate_pictures_have_seeds_of_their_own_and_the_first_is_the_one_asked_for() -> None:
    seeds = picture_seeds(request(12, context="separate", seed=41))
    assert seeds[0] == 41 and len(set(seeds)) == 12
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds[:3] == picture_seeds(request(3, context="separate", seed=41))
    assert not set(seeds) & set(picture_seeds(request(12, context="separate", seed=42)))
    assert derived_seed(41, 1) == 1951091279


@pytest.mark.parametrize("context", ["sequence", "canvas"])
def test_pictures_of_one_context_share_its_seed(context: Context) -> None:
    assert picture_seeds(request(3, context=context, seed=9)) == (9, 9, 9)


@pytest.mark.parametrize("painter", [POCKET, FLUX])
@pytest.mark.parametrize("context", ["sequence", "canvas", "separate"])
@pytest.mark.parametrize("panels", range(1, 13))
def test_sizes_are_whole_tokens(painter: SamplingDefaults, context: Context, panels: int) -> None:
    for width, height in picture_sizes(request(panels, context=context), painter):
        assert width % painter.token_size == height % painter.token_size == 0


def test_tokens_of_the_largest_row() -> None:
    assert row_tokens(request(4, context="sequence"), POCKET) == 4 * 64
    assert row_tokens(request(3, 1, "canvas"), POCKET) == 4 * 64
    assert row_tokens(request(4, 1, "separate"), POCKET) == 2 * 64
    mixed = GenerateInput(
        panels=(PanelRequest(caption="a", width=64, height=64), PanelRequest(caption="b", width=128, height=64))
    )
    assert row_tokens(mixed, FLUX) == 32
    assert row_tokens(mixed.model_copy(update={"context": "sequence"}), FLUX) == 48
    assert row_tokens(mixed, POCKET) == 64, "it draws the size it knows"


def test_estimate_counts_steps_rows_and_tokens() -> None:
    cost = Generate().estimate(request(3, context="separate"), POCKET)
    assert (cost.steps, cost.rows, cost.tokens) == (8, 3, 64)
    few = request(3).model_copy(update={"sampling": Sampling(steps=2)})
    cost = Generate().estimate(few, POCKET)
    assert (cost.steps, cost.rows, cost.tokens) == (2, 1, 192)
