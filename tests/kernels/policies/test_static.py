"""CLEAR, Efficient-vDiT, Sparse-vDiT and TESA: plans that depend on the geometry, as the papers draw them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.efficient_vdit import EfficientVdit, frame_mask
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.kernels.policies.sparse_vdit import Pattern, PatternTable, SparseVdit, block_map, density
from chatdit.kernels.policies.sparse_vdit_search import search_patterns
from chatdit.kernels.policies.tesa import Tesa
from chatdit.kernels.sparse_attention import sparse_attention

STEP, LAYER = Place(20, 50), Place(2, 4)


def met_pairs(plan: BlockPlan, tokens: int) -> Tensor:
    """(L, L): which keys a query weighs, seen from outside: with equal keys it returns the mean of their values."""
    met = torch.zeros(tokens, tokens, dtype=torch.bool)
    q = torch.zeros(1, 1, tokens, 32)
    for start in range(0, tokens, 32):
        v = torch.zeros(1, 1, tokens, 32)
        some = torch.arange(start, min(start + 32, tokens))
        v[0, 0, some, some - start] = 1.0
        met[:, some] = sparse_attention(q, q, v, plan)[0, 0, :, : len(some)] > 0
    return met


@pytest.mark.parametrize(("height", "width", "radius"), [(16, 16, 5.0), (13, 21, 6.5), (8, 40, 16.0)])
def test_clear_is_a_disc_around_each_token(height: int, width: int, radius: float) -> None:
    geometry = Geometry(height, width, text=(Segment(0, 7),))
    q = torch.zeros(1, 1, geometry.length, 32)
    met = met_pairs(Clear(radius)(q, q, geometry, STEP, LAYER), geometry.length)
    y, x = torch.arange(height * width) // width, torch.arange(height * width) % width
    disc = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2 < radius**2
    assert torch.equal(met[7:, 7:], disc)
    assert met[:7].all() and met[:, :7].all()


def test_clear_asks_the_predicate_at_the_rim_only(block_map: Any) -> None:
    """A disc of 16 in tiles of 8: a tile is full if its farthest pair is inside, touched if its nearest is."""
    geometry = Geometry(64, 64)
    q = torch.zeros(1, 1, 4096, 32)
    plan = Clear()(q, q, geometry, STEP, LAYER)
    assert plan.rows is not None and plan.partial is not None
    assert plan.q.block == 64
    row = 3 * 8 + 3
    tiles = {}
    for name, part in (("full", plan.rows), ("partial", plan.partial)):
        assert part.starts is not None
        start, stop = part.starts[0, 0, row : row + 2].tolist()
        tiles[name] = sorted((int(i) // 8 - 3, int(i) % 8 - 3) for i in part.indices[start:stop])
    assert (0, 0) in tiles["full"]
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            here = [((dy * 8 + a - b) ** 2, (dx * 8 + c - d) ** 2) for a, b in ((0, 7), (7, 0), (0, 0))
                    for c, d in ((0, 7), (7, 0), (0, 0))]  # fmt: skip
            most = max(v + h for v, h in here)
            gap = tuple(max(0, abs(n) * 8 - 7) for n in (dy, dx))
            assert ((dy, dx) in tiles["full"]) == (most < 256)
            assert ((dy, dx) in tiles["partial"]) == (gap[0] ** 2 + gap[1] ** 2 < 256 <= most)


def test_clear_touches_fewer_blocks_than_raster_order(block_map: Any) -> None:
    geometry = Geometry(64, 64)
    q = torch.zeros(1, 1, 4096, 32)
    tiled = block_map(Clear(8.0)(q, q, geometry, STEP, LAYER)).float().mean()
    row = torch.arange(64)
    raster = ((row[:, None] - row).abs() < 8).float().mean()  # a row of 64 tokens is a raster block of 64
    assert tiled < raster / 1.5


def test_clears_pooled_keys_are_means_of_squares() -> None:
    geometry = Geometry(8, 12, text=(Segment(0, 3),))
    k = torch.randn(1, 2, 99, 32)
    plan = Clear(3.0, down_factor=4)(k, k, geometry, STEP, LAYER)
    want = k[:, :, 3:].view(1, 2, 2, 4, 3, 4, 32).mean(dim=(3, 5)).flatten(2, 3)
    # tiles of 8 x 8 first: the two upper and lower squares of columns 0 and 1, then those of column 2
    torch.testing.assert_close(plan.coarse[0].keys, want[:, :, [0, 1, 3, 4, 2, 5]])
    with pytest.raises(KernelError, match="height is 9, no multiple of down_factor, 4"):
        odd = torch.zeros(1, 1, 108, 32)
        Clear(3.0, down_factor=4)(odd, odd, Geometry(9, 12), STEP, LAYER)
    with pytest.raises(KernelError, match="frames is 2"):
        Clear()(k[:, :, 3:], k[:, :, 3:], Geometry(8, 6, frames=2), STEP, LAYER)


@pytest.mark.parametrize(("frames", "references", "sparsity"), [(8, 1, 0.644), (24, 3, 0.72)])
def test_the_attention_tile_is_as_sparse_as_the_papers(frames: int, references: int, sparsity: float) -> None:
    """Its table counts the text beside the frames too, hence the margin."""
    mask = frame_mask(frames, references)
    assert 1 - mask.float().mean() == pytest.approx(sparsity, abs=0.02)
    assert torch.equal(mask, mask.T)
    assert mask.diagonal().all()


def test_the_attention_tile_is_made_of_whole_frames() -> None:
    geometry = Geometry(3, 5, frames=6, text=(Segment(90, 94),))
    q = torch.zeros(1, 1, 94, 32)
    met = met_pairs(EfficientVdit((1, 1, 2, 3))(q, q, geometry, STEP, LAYER), 94)
    frames = frame_mask(6, 2).repeat_interleave(15, 0).repeat_interleave(15, 1)
    assert torch.equal(met[:90, :90], frames)
    assert frame_mask(6, 2).nonzero()[:, 0].bincount().tolist() == [6, 3, 3, 6, 3, 3]
    with pytest.raises(KernelError, match="references is 7; it must be from 1 to the number of frames, 6"):
        EfficientVdit(7)(q, q, geometry, STEP, LAYER)
    with pytest.raises(KernelError, match="layer is 2; references holds 2 layers"):
        EfficientVdit((1, 1))(q, q, geometry, STEP, LAYER)


def test_patterns_are_the_papers_five() -> None:
    assert block_map(Pattern("diagonal"), 5, 1).float().sum(1).tolist() == [2, 3, 3, 3, 2]
    assert block_map(Pattern("stripe", (0, 4)), 5, 1)[2].tolist() == [True, False, True, False, True]
    assert density(Pattern("full"), 5, 1) == 1
    assert density(Pattern("skip"), 5, 1) == 0
    with pytest.raises(KernelError, match="mode is 'square'"):
        Pattern("square")  # type: ignore[arg-type]
    with pytest.raises(KernelError, match=r"columns is \(\) for mode"):
        Pattern("stripe")
    with pytest.raises(KernelError, match="columns has 7; the plan has 5 key blocks"):
        block_map(Pattern("stripe", (7,)), 5, 1)


def test_multi_diagonal_is_a_diagonal_of_places() -> None:
    """Tokens of one place in all frames stand side by side: a window over them is many diagonals in raster order."""
    geometry = Geometry(8, 8, frames=4)
    q = torch.zeros(1, 1, 256, 32)
    table = PatternTable(((Pattern("multi_diagonal"),),) * 4, block=16, window=0)
    met = met_pairs(SparseVdit(table)(q, q, geometry, STEP, LAYER), 256)
    place = torch.arange(256) % 64
    assert torch.equal(met, place[:, None] // 4 == place // 4)


def test_equal_heads_share_a_group_and_the_beginning_is_dense() -> None:
    geometry = Geometry(8, 8, frames=4)
    q = torch.zeros(1, 5, 256, 32)
    layer = (Pattern("diagonal"), Pattern("skip"), Pattern("full"), Pattern("stripe", (0,)), Pattern("diagonal"))
    policy = SparseVdit(PatternTable((layer,) * 4, block=32))
    assert policy(q, q, geometry, STEP, LAYER).heads == (0, "skip", "dense", 1, 0)
    for step, where in ((Place(9, 50), LAYER), (STEP, Place(1, 4))):
        assert policy(q, q, geometry, step, where).heads == ("dense",) * 5
    with pytest.raises(KernelError, match="layer is 4; the table holds 4 layers"):
        policy(q, q, geometry, STEP, Place(4, 5))
    with pytest.raises(KernelError, match="the table has 5 heads in layer 2; q has 4"):
        policy(q[:, :4], q[:, :4], geometry, STEP, LAYER)


def test_the_search_finds_the_patterns_that_heads_were_built_with(tmp_path: Path) -> None:
    geometry = Geometry(8, 8, frames=8)
    generator = torch.Generator().manual_seed(1)
    token = torch.arange(512)
    near = torch.stack([torch.sin(2 * math.pi * token * f / 512) for f in range(1, 9)], -1)
    near = torch.cat([near, torch.stack([torch.cos(2 * math.pi * token * f / 512) for f in range(1, 9)], -1)], -1)
    place = torch.nn.functional.one_hot(token % 64, 64).float() @ torch.randn(64, 32, generator=generator)
    sink = torch.zeros(512, 32)
    sink[64:128, 0] = 9.0
    q = torch.stack([torch.cat([near, near], -1) * 4, place * 2, sink.new_ones(512, 32), sink * 0])[None]
    k = torch.stack([torch.cat([near, near], -1) * 4, place * 2, sink * 8, sink * 0])[None]
    v = torch.randn(1, 4, 512, 32, generator=generator)
    v[:, 3] *= 0.01  # near zero whatever is met
    found = search_patterns(q, k, v, geometry, block=64, window=1, weight=0.005)
    assert [p.mode for p in found] == ["diagonal", "multi_diagonal", "stripe", "skip"]
    assert found[2].columns == (1,)
    hard = torch.randn(1, 4, 512, 32, generator=generator) * 3
    assert {p.mode for p in search_patterns(hard, hard[:, :, torch.randperm(512)], v * 9, geometry, limit=0.01)} <= {
        "full", "skip"}  # fmt: skip
    table = PatternTable((found,), 64, 1)
    table.save(tmp_path / "patterns.json")
    assert PatternTable.load(tmp_path / "patterns.json") == table
    (tmp_path / "bad.json").write_text('{"heads": [], "blok": 3}')
    with pytest.raises(KernelError, match=r"bad.json is no pattern table"):
        PatternTable.load(tmp_path / "bad.json")


def test_windows_shift_from_layer_to_layer() -> None:
    geometry = Geometry(6, 9, frames=5)
    q = torch.zeros(1, 1, 270, 32)
    f, y, x = torch.arange(270) // 54, torch.arange(270) // 9 % 6, torch.arange(270) % 9
    for layer, shift in ((0, 0), (1, 2)):
        met = met_pairs(Tesa()(q, q, geometry, STEP, Place(layer, 4)), 270)
        same = [((a + shift) // 4)[:, None] == (a + shift) // 4 for a in (f, y, x)]
        assert torch.equal(met, same[0] & same[1] & same[2])
