"""Panel geometry: layouts for 1 to 12, sizes within the budget, captions with tags."""

from __future__ import annotations

import math

import pytest

from chatdit.tools.panels import (
    CONTEXT_TOKENS,
    MAX_PANELS,
    Layout,
    cells,
    joint_caption,
    layout_for,
    numbered_tags,
    panel_size,
    rounded_size,
    tags,
)

COUNTS = range(1, MAX_PANELS + 1)
ASPECTS = (1.0, 2 / 3, 3 / 2, 16 / 9, 9 / 16, 2.39, 0.25, 4.0)


def test_square_panels() -> None:
    expected = ["1x1", "1x2", "1x3", "2x2", "2x3", "2x3", "2x4", "2x4", "3x3", "2x5", "3x4", "3x4"]
    assert [str(layout_for(n)) for n in COUNTS] == expected


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", COUNTS)
def test_every_panel_has_a_cell_and_no_row_or_column_is_empty(count: int, aspect: float) -> None:
    grid = layout_for(count, aspect)
    assert grid.count == count
    assert (grid.rows - 1) * grid.columns < count <= grid.rows * grid.columns
    assert grid.rows * (grid.columns - 1) < count


@pytest.mark.parametrize("aspect", (1.0, 2 / 3, 3 / 2, 16 / 9, 9 / 16))
@pytest.mark.parametrize("count", COUNTS)
def test_no_canvas_is_longer_than_three_to_one(count: int, aspect: float) -> None:
    grid = layout_for(count, aspect)
    canvas = aspect * grid.columns / grid.rows
    assert 1 / 3 - 1e-6 <= canvas <= 3 + 1e-6


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", COUNTS)
def test_fewest_empty_cells_within_the_limit(count: int, aspect: float) -> None:
    grid = layout_for(count, aspect)

    def elongation(rows: int, columns: int) -> float:
        return abs(math.log(aspect * columns / rows))

    if elongation(grid.rows, grid.columns) > math.log(3) + 1e-6:
        assert all(elongation(r, -(-count // r)) > math.log(3) for r in range(1, count + 1))
        return
    for rows in range(1, count + 1):
        columns = -(-count // rows)
        if elongation(rows, columns) <= math.log(3) + 1e-6:
            assert rows * columns >= grid.rows * grid.columns


def test_tall_panels_stand_side_by_side_and_wide_ones_are_stacked() -> None:
    assert str(layout_for(2, 0.5)) == "1x2"
    assert str(layout_for(2, 2.0)) == "2x1"
    assert str(layout_for(3, 16 / 9)) == "3x1"
    assert str(layout_for(5, 0.5)) == "1x5", "a strip of tall panels is no long canvas"


@pytest.mark.parametrize("count", [0, -1, 13])
def test_counts_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 12"):
        layout_for(count)


def test_cells_run_row_by_row() -> None:
    assert cells(Layout(2, 3, 5), 10, 20) == [(0, 0), (10, 0), (20, 0), (0, 20), (10, 20)]


def test_sizes_of_the_published_rule_at_one_to_one() -> None:
    sizes = [panel_size(n, 1.0, 1024 * 1024, 64, budget_tokens=2**21 // 64**2)[0] for n in COUNTS]
    assert sizes == [1024, 1024, 832, 704, 640, 576, 512, 512, 448, 448, 384, 384]
    assert panel_size(4, 2 / 3, 1024 * 1024, 64, budget_tokens=2**21 // 64**2) == (576, 832)
    assert panel_size(6, 2 / 3, 1024 * 1024, 64, budget_tokens=2**21 // 64**2) == (448, 704)


@pytest.mark.parametrize("multiple", [16, 32, 64])
@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", COUNTS)
def test_panels_stay_within_the_budget(count: int, aspect: float, multiple: int) -> None:
    width, height = panel_size(count, aspect, 1024 * 1024, multiple)
    assert width % multiple == height % multiple == 0
    assert count * (width // multiple) * (height // multiple) <= CONTEXT_TOKENS
    assert abs(math.log(width / height / aspect)) < math.log(1 + 2.1 * multiple / min(width, height))


def test_a_small_painter_keeps_its_full_size_in_a_set() -> None:
    assert {panel_size(n, 1.0, 256 * 256, 32) for n in COUNTS} == {(256, 256)}


def test_a_panel_is_never_smaller_than_a_token() -> None:
    assert panel_size(1, 4.0, 16 * 16, 32) == (32, 32)


def test_rounding() -> None:
    assert rounded_size(1000, 600, 16) == (1008, 608)
    assert rounded_size(1, 47, 32) == (32, 32)
    assert rounded_size(48, 512, 32) == (64, 512)


def test_positions_up_to_three_by_three_and_numbers_beyond() -> None:
    assert tags(Layout(1, 2, 2)) == ["LEFT", "RIGHT"]
    assert tags(Layout(3, 1, 3)) == ["TOP", "MIDDLE", "BOTTOM"]
    assert tags(Layout(2, 2, 4)) == ["TOP-LEFT", "TOP-RIGHT", "BOTTOM-LEFT", "BOTTOM-RIGHT"]
    assert tags(Layout(2, 3, 5)) == ["TOP-LEFT", "TOP-MIDDLE", "TOP-RIGHT", "BOTTOM-LEFT", "BOTTOM-MIDDLE"]
    assert tags(Layout(3, 3, 9))[4] == "MIDDLE"
    assert tags(Layout(2, 4, 7)) == [f"PANEL-{i}" for i in range(1, 8)]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", COUNTS)
def test_tags_are_distinct_and_one_for_each_panel(count: int, aspect: float) -> None:
    names = tags(layout_for(count, aspect))
    assert len(set(names)) == len(names) == count


def test_joint_caption() -> None:
    assert joint_caption(["a fox"]) == "a fox"
    assert joint_caption(["a fox.", "a cat"], Layout(1, 2, 2), summary="two friends") == (
        "[TWO-PANEL] two friends; [LEFT] a fox; [RIGHT] a cat."
    )
    text = joint_caption(["a", "b", "c", "d"], Layout(2, 2, 4))
    assert text.startswith("[FOUR-PANEL] a set of 4 pictures in 2 rows of 2 ")
    assert text.endswith("[TOP-LEFT] a; [TOP-RIGHT] b; [BOTTOM-LEFT] c; [BOTTOM-RIGHT] d.")
    assert joint_caption(["a", "b"]).endswith("; [PANEL-1] a; [PANEL-2] b.")


@pytest.mark.parametrize("count", COUNTS[1:])
def test_every_caption_stands_behind_its_own_tag_in_order(count: int) -> None:
    captions = [f"scene number {i}" for i in range(count)]
    grid = layout_for(count)
    text = joint_caption(captions, grid)
    for caption, tag, number in zip(captions, tags(grid), numbered_tags(count), strict=True):
        assert f"[{tag}] {caption}" in text
        assert f"[{number}] {caption}" in joint_caption(captions)


def test_captions_must_match_the_layout() -> None:
    with pytest.raises(ValueError, match="3 captions for 2 panels"):
        joint_caption(["a", "b", "c"], Layout(1, 2, 2))
