"""DraftAttention, SVG2, AdaSpa, NABLA, VSA and LLSA: plans that depend on q and k, as the papers make them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.policies.adaspa import AdaSpa, adaptive_rows, block_mass
from chatdit.kernels.policies.block_choice import block_means, top_k_rows, top_p_mask
from chatdit.kernels.policies.draft import Draft, top_share
from chatdit.kernels.policies.geometry import Geometry, Place, tiled_axis
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.nabla import Nabla, window_of_tiles
from chatdit.kernels.policies.svg2 import Svg2, cluster_shares, k_means
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.sparse_attention import sparse_attention

LAYER = Place(3, 4)
LATE = Place(30, 50)


def test_block_means_are_means_of_tiles_even_at_the_border(draw: Any) -> None:
    geometry = Geometry(5, 7, frames=3, text=(Segment(0, 2),), key_lengths=torch.tensor([107, 60]))
    x = draw(geometry.length)[0]
    axis = tiled_axis(geometry, (2, 4), x.device, depth=2)
    means, counts = block_means(x, axis, geometry.key_lengths)
    f, y, c = torch.arange(105) // 35, torch.arange(105) // 7 % 5, torch.arange(105) % 7
    tile = (f // 2 * 3 + y // 2) * 2 + c // 4
    for b, length in enumerate((107, 60)):
        for t in range(axis.blocks):
            some = ((tile == t) & (torch.arange(105) + 2 < length)).nonzero()[:, 0] + 2
            assert counts[b, 0, t] == len(some)
            want = x[b][:, some].mean(1) if len(some) else torch.zeros(3, 32)
            torch.testing.assert_close(means[b, :, t], want)


def test_the_fewest_entries_that_reach_p() -> None:
    shares = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.25, 0.25, 0.25, 0.25], [0.97, 0.01, 0.01, 0.01]])
    assert top_p_mask(shares, 0.75).sum(-1).tolist() == [2, 3, 1]
    assert top_p_mask(shares, 0.75, at_least=2).sum(-1).tolist() == [2, 3, 2]
    assert top_p_mask(shares, 0.75)[0].tolist() == [True, False, True, False]


def test_draft_keeps_the_top_of_each_heads_map_by_one_threshold(draw: Any, block_map: Any) -> None:
    geometry = Geometry(32, 64, frames=2, text=(Segment(4096, 4100),))
    q, k, _ = draw(geometry.length, batch=1, heads=2)
    plan = Draft()(q * 4, k, geometry, Place(13, 50), LAYER)
    assert plan.q.block == 128
    axis = tiled_axis(geometry, (8, 16), q.device)
    draft = (block_means(q * 4, axis)[0] @ block_means(k, axis)[0].mT / math.sqrt(32)).softmax(-1)
    for h in range(2):
        kept = block_map(plan, 0, h)
        threshold = draft[0, h].flatten().sort(descending=True).values[round(0.1 * 32 * 32) - 1]
        want = draft[0, h] >= threshold
        want[torch.arange(32), draft[0, h].argmax(-1)] = True
        assert torch.equal(kept, want)
        assert len(set(kept.sum(-1).tolist())) > 1, "rows are ragged"
    assert top_share(draft, 0.1).flatten(2).sum(-1).tolist() == [[102, 102]]


def test_drafts_first_quarter_is_dense(draw: Any) -> None:
    geometry = Geometry(8, 32)
    q, k, _ = draw(256)
    assert Draft()(q, k, geometry, Place(12, 50), LAYER).heads == ("dense",) * 3
    assert Draft()(q, k, geometry, Place(13, 50), LAYER).heads is None


def test_k_means_finds_groups_and_is_the_same_each_time() -> None:
    generator = torch.Generator().manual_seed(2)
    centres = torch.randn(2, 3, 5, 32, generator=generator) * 10
    which = torch.randint(0, 5, (2, 3, 200), generator=generator)
    which[..., [0, 40, 80, 120, 160]] = torch.arange(5)  # each start in another group
    x = centres.gather(2, which[..., None].expand(-1, -1, -1, 32)) + torch.randn(2, 3, 200, 32, generator=generator)
    found = k_means(x, 5, 10)
    assert torch.equal(found.labels, which)
    assert torch.equal(found.sizes.sum(-1), torch.full((2, 3), 200.0))
    torch.testing.assert_close(found.centroids[0, 0, 2], x[0, 0][which[0, 0] == 2].mean(0))
    assert torch.equal(k_means(x, 5, 10).centroids, found.centroids)


def test_k_means_goes_on_from_centroids_and_keeps_empty_clusters() -> None:
    x = torch.randn(1, 1, 100, 32)
    start = torch.cat([x[:, :, :3], torch.full((1, 1, 1, 32), 1e3)], dim=2)
    later = k_means(x, 4, 2, start)
    assert later.sizes[0, 0, 3] == 0
    assert torch.equal(later.centroids[0, 0, 3], start[0, 0, 3])
    valid = torch.arange(100)[None, None] < 60
    torch.testing.assert_close(
        k_means(x.masked_fill(~valid[..., None], 0.0), 4, 5, start, valid).centroids,
        k_means(x[:, :, :60], 4, 5, start).centroids,
    )


def test_svg2_groups_tokens_and_keeps_p_of_the_mass(draw: Any, block_map: Any) -> None:
    geometry = Geometry(10, 12, frames=2, text=(Segment(240, 247),))
    q, k, _ = draw(247)
    policy = Svg2(q_clusters=6, k_clusters=12)
    plan = policy(q, k, geometry, LATE, LAYER)
    assert plan.q.blocks == 6 and plan.k.blocks == 12
    sides = [k_means(x[:, :, :240], c, 50) for x, c in ((q, 6), (k, 12))]
    logits = sides[0].centroids @ sides[1].centroids.mT / math.sqrt(32)
    weighed = logits.exp() * sides[1].sizes[..., None, :]
    shares = weighed / weighed.sum(-1, keepdim=True)
    torch.testing.assert_close(cluster_shares(sides[0], sides[1], 1 / math.sqrt(32)), shares)
    for b in range(2):
        for h in range(3):
            kept = block_map(plan, b, h)
            assert torch.equal(kept, top_p_mask(shares[b, h], 0.9, at_least=2))
            assert plan.q.order is not None and plan.q.offsets is not None
            ranked = sides[0].labels[b, h][plan.q.order[b, h]]
            assert torch.equal(ranked, ranked.sort().values)
            assert torch.equal(plan.q.offsets[b, h].diff(), torch.bincount(ranked, minlength=6))


def test_svg2_warms_up_and_remembers_centroids_for_each_layer(draw: Any) -> None:
    geometry = Geometry(8, 16)
    q, k, _ = draw(128)
    policy = Svg2(q_clusters=4, k_clusters=6)
    assert policy(q, k, geometry, Place(14, 50), LAYER).heads == ("dense",) * 3
    assert not policy.remembered
    policy(q, k, geometry, Place(15, 50), LAYER)
    first = policy.remembered[3]
    policy(q * 1.1, k, geometry, Place(16, 50), LAYER)
    want = k_means(q * 1.1, 4, 2, first[0]).centroids
    assert torch.equal(policy.remembered[3][0], want)
    assert set(policy.remembered) == {3}


def test_block_mass_is_dense_attentions(draw: Any) -> None:
    geometry = Geometry(10, 13, text=(Segment(0, 6), Segment(136, 140)), key_lengths=torch.tensor([140, 120]))
    q, k, v = (x.double() for x in draw(140))
    mass, lse = block_mass(q, k, geometry, 64)
    axis = geometry.axis(64)
    rows = BlockRows(torch.arange(3, dtype=torch.int32).expand(1, 1, 3, 3))
    plan = BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths)
    want = sparse_attention(q, k, v, plan, return_lse=True, return_block_mass=True)
    assert want.block_mass is not None and want.lse is not None
    torch.testing.assert_close(mass.double(), want.block_mass, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(lse.double(), want.lse[:, :, 6:136], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(block_mass(q, k, geometry, 64, lse)[0], mass)


def test_adaspas_heads_trade_blocks_by_recall() -> None:
    """Of 4 heads two are sure: they get (1 + s) / 2 = 0.9, the two least sure (3 s - 1) / 2 = 0.7."""
    mass = torch.rand(1, 5, 10, 10)
    mass[:, :2] = torch.eye(10) + 0.01 * torch.rand(10, 10)
    mass = mass / mass.sum(-1, keepdim=True)
    mass[:, 4] = 0.1
    rows = adaptive_rows(mass, 0.8, 0.8)
    assert rows.counts is not None
    counts = rows.counts[0, :, 0].tolist()
    assert counts[:2] == [1, 1] and sorted(counts[2:]) == [2, 3, 3] and counts[4] == 3
    assert torch.equal(rows.indices[0, 0, :, 0], torch.arange(10, dtype=torch.int32))
    torch.testing.assert_close(mass.gather(-1, rows.indices.long()), mass.topk(3, -1).values)


def test_adaspa_searches_at_two_steps_and_reuses_between(draw: Any) -> None:
    geometry = Geometry(16, 40)
    q, k, _ = draw(640)
    policy = AdaSpa()
    assert policy(q, k, geometry, Place(9, 50), LAYER).heads == ("dense",) * 3
    found = {step: policy(q + step, k, geometry, Place(step, 50), LAYER).rows for step in (10, 11, 29, 30, 31)}
    assert found[10] is found[11] is found[29]
    assert found[30] is found[31] is not found[10]
    with pytest.raises(KernelError, match="make a policy for each sampling run"):
        policy(q[:, :, :320], k[:, :, :320], Geometry(8, 40), Place(31, 50), LAYER)


def test_nabla_joins_pooled_mass_and_window(draw: Any, block_map: Any) -> None:
    geometry = Geometry(16, 24, frames=3)
    q, k, _ = draw(geometry.length)
    q = q * 8
    plan = Nabla(0.6, (1, 1, 3))(q, k, geometry, LATE, LAYER)
    axis = tiled_axis(geometry, (8, 8), q.device)
    shares = (block_means(q, axis)[0] @ block_means(k, axis)[0].mT / math.sqrt(32)).softmax(-1)
    # The way of diffusers' Kandinsky: ascending, kept from where the sum of the least passes 1 - p.
    ranked, order = shares.sort(-1)
    kept = torch.zeros_like(shares, dtype=torch.bool).scatter_(-1, order, ranked.cumsum(-1) >= 1 - 0.6)
    tile = torch.arange(18)
    near = (tile[:, None] // 3 == tile // 3) & ((tile[:, None] % 3 - tile % 3).abs() <= 1)
    assert torch.equal(window_of_tiles(q.device, geometry.grid, (8, 8), (1, 1, 3)), near)
    for h in range(3):
        assert torch.equal(block_map(plan, 1, h), kept[1, h] | near)


def test_vsa_keeps_the_k_best_cubes(draw: Any) -> None:
    geometry = Geometry(8, 12, frames=8)
    q, k, _ = draw(geometry.length)
    plan = Vsa(k=4)(q, k, geometry, LATE, LAYER)
    assert plan.q.block == 64 and plan.rows is not None
    assert plan.q.order is not None
    first = plan.q.order[0, 0, :64]
    assert all(int(a.max()) == 3 for a in (first // 96, first // 12 % 8, first % 12))
    axis = plan.q
    scores = block_means(q, axis)[0] @ block_means(k, axis)[0].mT
    torch.testing.assert_close(scores.gather(-1, plan.rows.indices.long()), scores.topk(4, -1).values)
    with pytest.raises(KernelError, match="k is 32; it must be from 1 to the number of key blocks, 12"):
        Vsa()(q, k, geometry, LATE, LAYER)
    with pytest.raises(KernelError, match="k is 0"):
        top_k_rows(scores, 0)


def test_vsa_cuts_a_picture_into_squares_of_as_many_tokens(draw: Any) -> None:
    geometry = Geometry(16, 24)
    q, k, _ = draw(geometry.length)
    plan = Vsa(k=2)(q, k, geometry, LATE, LAYER)
    assert plan.q.block == 64 and plan.q.blocks == 6 and plan.q.order is not None
    square = plan.q.order[0, 0, 64:128]
    assert set(square.tolist()) == {24 * row + column for row in range(8) for column in range(8, 16)}


def test_llsa_orders_the_grid_by_morton(draw: Any) -> None:
    geometry = Geometry(16, 16, text=(Segment(0, 5),))
    q, k, _ = draw(geometry.length)
    plan = Llsa()(q, k, geometry, LATE, LAYER)
    assert plan.rows is not None and plan.rows.width == 8 and plan.q.block == 16
    assert len(plan.coarse) == 1
    squares: Tensor = F.avg_pool2d(k[:, :, 5:].transpose(2, 3).reshape(6, 32, 16, 16), 4).flatten(2)
    got = plan.coarse[0].keys.flatten(0, 1).mT
    torch.testing.assert_close(got.sort(-1).values, squares.sort(-1).values)


@pytest.mark.parametrize(
    "bad", [lambda: Draft(sparsity=1.2), lambda: Nabla(p=-1), lambda: Svg2(p=2), lambda: AdaSpa(2)]
)
def test_fractions_are_checked(bad: Any) -> None:
    with pytest.raises(KernelError, match="it must be from 0 to 1"):
        bad()
