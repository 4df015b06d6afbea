"""Log-linear sparse attention against its equations written out: picking, enrichment, gradients."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.blocks.reverse_index import reverse_index
from chatdit.kernels.errors import KernelError
from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan, select
from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_rows import BlockRows, head_rows, rows_from_mask
from chatdit.kernels.plan.pooling import pool_levels
from chatdit.kernels.sparse_attention import sparse_attention

SOME = (0, 15, 16, 200, 255, 256, 400, 511, 512, 514, 3000, 4095, 4096, 4135)
"""Tokens that are worked out by hand."""


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def mean(x: Tensor, span: int) -> Tensor:
    return torch.stack([x[i : i + span].mean(0) for i in range(0, len(x), span)])


def by_hand(q: Tensor, k: Tensor, v: Tensor, block: int, levels: int, picked: list[Tensor], selected: str) -> Tensor:
    """One head, token by token: fine tokens once, summaries as often as the tokens they are of."""
    out = torch.zeros_like(q)
    summaries = [(mean(k, block**level), mean(v, block**level)) for level in range(levels + 1)]
    for i in (i for i in SOME if i < len(q)):
        keys, values, weights = [], [], []
        for level in range(levels + 1):
            span = block**level
            k_l, v_l = summaries[level]
            if level == levels:
                met = list(range(len(k_l)))
            else:
                parents = picked[level][i // block ** (level + 1)].tolist()
                met = [t for p in parents for t in range(p * block, min(p * block + block, len(k_l)))]
            if selected == "exclude" and level:
                expanded = picked[level - 1][i // block**level].tolist()
                met = [t for t in met if t not in expanded]
            keys.append(k_l[met])
            values.append(v_l[met])
            weights += [float(min(span, len(k) - t * span)) for t in met]
        logits = torch.cat(keys) @ q[i] / math.sqrt(q.shape[1]) + torch.tensor(weights, dtype=q.dtype).log()
        out[i] = logits.softmax(0) @ torch.cat(values)
    return out


@pytest.mark.parametrize("selected", ["keep", "exclude"])
@pytest.mark.parametrize("impl", ["gather", "reference"])
@pytest.mark.parametrize(("tokens", "levels", "k"), [(256, 1, 3), (515, 2, 2), (4096 + 40, 3, 1)])
def test_the_output_is_the_papers_sum(
    tokens: int, levels: int, k: int, selected: Literal["keep", "exclude"], impl: Any
) -> None:
    if tokens > 4096 and impl == "reference":
        return  # 4,136² pairs in fp64; gather is tested against the reference elsewhere
    q, key, v = (randn(1, 1, tokens, 32, seed=s) for s in (1, 2, 3))
    hierarchy = Hierarchy(16, k, levels, selected)
    axis = BlockAxis(tokens, 16)
    plan = llsa_plan(q, key, hierarchy, axis, axis)
    pools = [pool_levels(x, 16, levels) for x in (q, key)]
    picked = [rows.indices[0, 0] for rows in select(pools[0], pools[1], hierarchy)]
    out = sparse_attention(q, key, v, plan, impl=impl)[0, 0]
    some = [i for i in SOME if i < tokens]
    want = by_hand(q[0, 0], key[0, 0], v[0, 0], 16, levels, picked, selected)
    torch.testing.assert_close(out[some], want[some])


@pytest.mark.parametrize("tokens", [255, 256, 1024, 1000])
def test_each_level_picks_the_best_among_its_parents_children(tokens: int) -> None:
    """Compared by scores, so that near ties may fall either way; every pick is a child of a pick above."""
    hierarchy = Hierarchy(16, 2, 2)
    pools = [pool_levels(randn(2, 2, tokens, 32, seed=s, dtype=torch.float32), 16, 2) for s in (1, 2)]
    fine, coarse = (rows.indices.long() for rows in select(pools[0], pools[1], hierarchy))
    top = pools[0][1].means @ pools[1][1].means.mT
    k = min(2, top.shape[-1])
    torch.testing.assert_close(top.gather(-1, coarse).sort(-1)[0], top.topk(k, -1).values.sort(-1)[0])
    scores = pools[0][0].means @ pools[1][0].means.mT
    parent_of = torch.arange(scores.shape[-1]) // 16
    mine = coarse[:, :, torch.arange(scores.shape[2]) // 16]
    child = (parent_of == mine[..., None]).any(-2)
    best = scores.masked_fill(~child, -math.inf).topk(2, -1).values
    torch.testing.assert_close(scores.gather(-1, fine).sort(-1)[0], best.sort(-1)[0])
    assert child.gather(-1, fine).all()
    assert (fine.sort(-1)[0].diff(dim=-1) > 0).all()


def test_summaries_left_out_of_the_sum_make_every_token_count_once() -> None:
    """With equal keys, weights are token counts: "exclude" gives the mean of v, "keep" counts some twice."""
    q, k, v = randn(1, 1, 700, 32), torch.zeros(1, 1, 700, 32).double(), randn(1, 1, 700, 32, seed=3)
    axis = BlockAxis(700, 16)
    out = {}
    for selected in ("keep", "exclude"):
        plan = llsa_plan(q, k, Hierarchy(16, 2, 2, selected), axis, axis)
        out[selected] = sparse_attention(q, k, v, plan)
    torch.testing.assert_close(out["exclude"], v.mean(dim=2, keepdim=True).expand_as(v))
    assert (out["keep"] - out["exclude"]).abs().max() > 0.01


def test_all_blocks_picked_and_summaries_excluded_is_dense_attention() -> None:
    q, k, v = (randn(2, 2, 120, 64, seed=s) for s in (1, 2, 3))
    axis = BlockAxis(120, 16)
    plan = llsa_plan(q, k, Hierarchy(16, 8, 2, "exclude"), axis, axis)
    torch.testing.assert_close(sparse_attention(q, k, v, plan), F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("impl", ["gather", "reference"])
def test_text_is_dense_and_padding_is_never_picked(impl: Any) -> None:
    """Video first, text after it, keys padded differently in each batch entry, tokens in a random order."""
    order = torch.randperm(600, generator=torch.Generator().manual_seed(4))[None, None]
    axis = BlockAxis(620, 16, dense=(Segment(600, 620),), order=order)
    q, k, v = (randn(2, 2, 620, 32, seed=s) for s in (1, 2, 3))
    lengths = torch.tensor([605, 20])
    beyond = (torch.arange(620) >= lengths[:, None])[:, None, :, None]
    plan = llsa_plan(q, k, Hierarchy(16, 4, 2), axis, axis, lengths)
    want = sparse_attention(q, k, v, plan, impl=impl)
    noisy = [x.masked_fill(beyond, math.nan) for x in (k, v)]
    poisoned = llsa_plan(q, noisy[0], Hierarchy(16, 4, 2), axis, axis, lengths)
    torch.testing.assert_close(sparse_attention(q, noisy[0], noisy[1], poisoned, impl=impl), want)
    for b in range(2):
        exact = F.scaled_dot_product_attention(q[b, :, 600:], k[b, :, : lengths[b]], v[b, :, : lengths[b]])
        torch.testing.assert_close(want[b, :, 600:], exact)


def test_picking_reads_nothing_back_from_the_device() -> None:
    """Tensors without data: a read would raise."""
    x = torch.empty(2, 3, 1000, 64, device="meta", dtype=torch.bfloat16)
    axis = BlockAxis(1000, 16, dense=(Segment(0, 77),), order=torch.empty(1, 1, 923, dtype=torch.int64, device="meta"))
    lengths = torch.empty(2, dtype=torch.int64, device="meta")
    plan = llsa_plan(x, x, Hierarchy(16, 8, 2), axis, axis, lengths)
    assert plan.rows is not None
    assert plan.rows.indices.shape == (2, 3, 58, 8)
    assert plan.rows.indices.dtype == torch.int32


def test_gradients_reach_keys_and_values_through_their_summaries() -> None:
    inputs = [randn(1, 2, 280, 32, seed=s).requires_grad_() for s in (1, 2, 3)]
    axis = BlockAxis(280, 16)
    grads = []
    for impl in ("gather", "reference"):
        plan = llsa_plan(inputs[0], inputs[1], Hierarchy(16, 2, 2), axis, axis)
        out = sparse_attention(*inputs, plan, impl=impl)  # type: ignore[call-overload]
        grads.append(torch.autograd.grad((out * randn(*out.shape, seed=9)).sum(), inputs))
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)
    assert (grads[0][1].abs().sum(-1) > 0).all(), "every key is in some summary"


def test_half_types_stay_within_their_error() -> None:
    wide = [randn(1, 2, 800, 64, seed=s) for s in (1, 2, 3)]
    axis = BlockAxis(800, 16)
    half = [x.bfloat16() for x in wide]
    plan = llsa_plan(half[0], half[1], Hierarchy(16, 4, 2), axis, axis)
    exact = [x.double() for x in half]
    # The same picks for both: half a bit may turn a near tie, which is no error of the sum.
    pools = pool_levels(exact[1], 16, 2)
    streams = tuple(
        s.__class__(p.means, log_weight=s.log_weight, rows=s.rows, block=s.block, share=s.share, span=s.span)
        for s, p in zip(plan.coarse, pools, strict=True)
    )
    truth_plan = plan.__class__(axis, axis, plan.rows, coarse=streams)
    truth = sparse_attention(*exact, truth_plan, impl="reference")  # type: ignore[call-overload]
    own = sparse_attention(*half, plan, impl="reference").double() - truth  # type: ignore[call-overload]
    got = sparse_attention(*half, plan, impl="gather").double() - truth  # type: ignore[call-overload]
    assert got.norm() <= 2 * own.norm()


def test_pooling_carries_fp32_sums_from_level_to_level() -> None:
    x = (randn(1, 1, 1000, 32) + 5).bfloat16()
    for level, (means, counts) in enumerate(pool_levels(x, 16, 2), start=1):
        exact = mean(x[0, 0].double(), 16**level)
        torch.testing.assert_close(means[0, 0], exact.bfloat16(), rtol=0.005, atol=0)
        assert counts.sum() == 1000
        assert counts[0, 0, -1] == 1000 - 16**level * (len(exact) - 1)


def test_levels_follow_the_papers_rule() -> None:
    depths = [Hierarchy().depth(n) for n in (100, 4095, 4096, 65_536, 262_144, 1_048_576)]
    assert depths == [1, 1, 2, 3, 3, 4]


def test_the_reverse_index_is_the_transpose_and_the_same_each_time() -> None:
    generator = torch.Generator().manual_seed(3)
    indices = torch.rand(2, 3, 10, 7, generator=generator).topk(4, dim=-1).indices.int()
    counts = torch.randint(0, 5, (2, 3, 10), generator=generator)
    ragged = rows_from_mask(torch.rand(2, 3, 10, 7, generator=generator) < 0.3)
    unused = torch.tensor([99, 99], dtype=torch.int32)
    assert ragged.starts is not None
    spare = BlockRows(torch.cat([unused, ragged.indices, unused]), starts=ragged.starts + 2)
    shared = BlockRows(indices[:1, :1], counts)
    for rows in (BlockRows(indices), BlockRows(indices, counts), ragged, spare, shared):
        found = reverse_index(rows, 7)
        for b in range(2):
            for g in range(3):
                entries, count = head_rows(rows, b, g)
                row = torch.arange(10).repeat_interleave(count)
                for block, (start, stop) in enumerate(pairwise(found.starts[b, g].tolist())):
                    assert torch.equal(found.rows[start:stop], row[entries == block].int())
        again = reverse_index(rows, 7)
        assert torch.equal(again.rows, found.rows)


def test_bad_hierarchies_are_refused() -> None:
    x = randn(1, 1, 64, 32)
    axis = BlockAxis(64, 16)
    with pytest.raises(KernelError, match="k is 5, larger than the number of key blocks, 4"):
        llsa_plan(x, x, Hierarchy(16, 5), axis, axis)
    with pytest.raises(KernelError, match=r"k_axis.block is 32; the hierarchy pools 16"):
        llsa_plan(x, x, Hierarchy(16, 2), axis, BlockAxis(64, 32))
    with pytest.raises(KernelError, match="k is 0"):
        Hierarchy(k=0)
    with pytest.raises(KernelError, match="levels is 0"):
        Hierarchy(levels=0)
