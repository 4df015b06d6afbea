"""Regional prompts: a phrase reaches its region's tokens, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.forward import Forward
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.painter import Settings
from chatdit.tools.dit.regions import region_biases, region_tokens
from chatdit.tools.dit.rows import Region, Row, SamplingOptions, Segment
from chatdit.tools.types import ToolError

LEFT, RIGHT = Region("red cat", (0, 0, 0.5, 1)), Region("dog", (0.5, 0, 1, 1))
ROW = Row("cat on beach", (Segment(64, 64),), 3, regions=(LEFT, RIGHT))
STEPS = SamplingOptions(steps=1)


def _picture(model: DiT, row: Row, guidance: float = 1.0) -> torch.Tensor:
    return model.sample([row], sampling=replace(STEPS, guidance=guidance))[0].images[0]


def test_a_box_holds_the_tokens_whose_middles_lie_in_it(pocket: DiT) -> None:
    grid = pocket.painter.grid
    side = 64 // grid.token_size
    assert region_tokens(LEFT, ROW, grid) == tuple(y * side + x for y in range(side) for x in range(side // 2))
    small = Region("dog", (0.9, 0.9, 0.91, 0.91), 1)
    two = replace(ROW, segments=(Segment(64, 64), Segment(64, 64)))
    assert region_tokens(small, two, grid) == (2 * side * side - 1,), "a small box has one token of its own picture"


def test_texts_do_not_see_each_other_nor_foreign_tokens(pocket: DiT) -> None:
    biases = list(region_biases(0, ROW, [4, 2, 1], pocket.painter.grid))
    between = [b for b in biases if b.queries.image == () and b.keys.image == ()]
    assert [(b.queries.text, b.keys.text) for b in between] == [
        ((0, 1, 2, 3), (4, 5, 6)), ((4, 5), (0, 1, 2, 3, 6)), ((6,), (0, 1, 2, 3, 4, 5)),
    ]  # fmt: skip
    (seen,) = [b for b in biases if b.keys.text == (4, 5) and b.queries.image]
    assert seen.queries.image == region_tokens(RIGHT, ROW, pocket.painter.grid)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_phrase_changes_the_picture_and_no_regions_change_nothing(pocket: DiT, guidance: float) -> None:
    plain = _picture(pocket, replace(ROW, regions=()), guidance)
    assert torch.equal(plain, _picture(pocket, Row(ROW.caption, ROW.segments, 3), guidance))
    one, other = (_picture(pocket, replace(ROW, regions=(r, RIGHT)), guidance) for r in (LEFT, Region("fox", LEFT.box)))
    assert not torch.equal(one, plain) and not torch.equal(one, other)


def test_in_one_block_a_phrase_reaches_its_region_alone(pocket: DiT) -> None:
    painter = replace(pocket.painter, layers=1)
    settings = Settings(1, 1.0, 2.0, "clean", preview=False)
    noise = torch.randn(1, 16, painter.grid.elements, generator=torch.Generator().manual_seed(0))
    singles = painter.transformer.single_transformer_blocks
    painter.transformer.single_transformer_blocks = torch.nn.ModuleList()
    try:
        outputs = []
        for phrase in ("red cat", "moon"):
            row = replace(ROW, regions=(Region(phrase, LEFT.box), RIGHT))
            forward = Forward(painter, [row], AttentionPlan(), settings, [1.0])
            outputs.append(forward.output(noise[:, : len(forward.ids)], torch.ones(1), 0)[0])
    finally:
        painter.transformer.single_transformer_blocks = singles
    moved = (outputs[0] - outputs[1]).abs().amax(dim=1) > 0
    inside = torch.zeros_like(moved)
    inside[list(region_tokens(LEFT, ROW, painter.grid))] = True
    assert torch.equal(moved, inside)


def test_flux_reads_phrases_too(flux_folder: Callable[[bool], Path]) -> None:
    for distilled in (True, False):
        model = DiT.load(flux_folder(distilled), device="cpu")
        row = Row("a cat", (Segment(64, 64),), 1, regions=(Region("red", (0, 0, 0.5, 0.5)),))
        other = replace(row, regions=(Region("blue", (0, 0, 0.5, 0.5)),))
        assert not torch.equal(_picture(model, row), _picture(model, other))


def test_regions_of_no_picture_are_refused(pocket: DiT) -> None:
    with pytest.raises(ToolError, match="a region lies in segment 2; the row has 1, from 0"):
        _picture(pocket, replace(ROW, regions=(replace(LEFT, segment=2),)))
