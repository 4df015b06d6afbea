"""Every implementation against the reference in fp64, on every kind of plan; and the reference by hand."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels import gather
from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.output import AttentionOutput
from chatdit.kernels.sparse_attention import _automatic, sparse_attention


def run(tensors: list[Tensor], plan: BlockPlan, impl: Any = "gather", scale: float | None = None) -> AttentionOutput:
    q, k, v, *_ = tensors
    return sparse_attention(q, k, v, plan, scale=scale, return_lse=True, return_block_mass=True, impl=impl)


def both(x: AttentionOutput) -> tuple[Tensor, Tensor, Tensor]:
    assert x.lse is not None and x.block_mass is not None
    return x.out, x.lse, x.block_mass


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_plain_rows_are_fused_where_no_mass_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    axis = BlockAxis(70, 16, dense=(Segment(64, 70),))
    rows = BlockRows(torch.tensor([[[[0, 2], [1, 3], [0, 3], [1, 2]]]], dtype=torch.int32))
    plan = BlockPlan(axis, axis, rows)
    q, k, v = (randn(2, 3, 70, 32, seed=i, dtype=torch.float64) for i in range(3))
    calls: list[int] = []
    fused = gather._fused

    def counted(*given: Any) -> Any:
        calls.append(1)
        return fused(*given)

    monkeypatch.setattr(gather, "_fused", counted)
    found = sparse_attention(q, k, v, plan, return_lse=True, impl="gather")
    wanted = sparse_attention(q, k, v, plan, return_lse=True, impl="reference")
    assert calls and found.lse is not None and wanted.lse is not None
    torch.testing.assert_close(found.out, wanted.out)
    torch.testing.assert_close(found.lse, wanted.lse)
    calls.clear()
    both(run([q, k, v], plan))
    assert not calls, "a mass needs the shares themselves"


def test_gather_means_what_the_reference_means(case: Any) -> None:
    tensors = case.tensors()
    plan = case.plan(tensors)
    for got, want in zip(both(run(tensors, plan)), both(run(tensors, plan, "reference")), strict=True):
        torch.testing.assert_close(got, want)
    for got, want in zip(both(run(tensors, plan, scale=0.3)), both(run(tensors, plan, "reference", 0.3)), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gather_stays_within_twice_the_error_of_its_dtype(case: Any, dtype: torch.dtype) -> None:
    tensors = case.tensors(dtype)
    wide = [x.double() for x in tensors]
    truth = run(wide, case.plan(wide), "reference")
    own = run(tensors, case.plan(tensors), "reference")
    got = run(tensors, case.plan(tensors))
    assert got.out.dtype == dtype
    assert got.lse is not None and got.lse.dtype == torch.float32
    error, budget = (x.out.double() - truth.out for x in (got, own))
    assert error.norm() <= 2 * budget.norm()
    assert error.abs().max() <= 3 * budget.abs().max()  # of one element: noisier than of all


def test_gradients_agree_with_the_reference(case: Any) -> None:
    """Of the output and of the LSE, for q, k, v and the coarse keys and values."""
    tensors = [x.requires_grad_() for x in case.tensors()]
    plan = case.plan(tensors)
    grads = []
    for impl in ("gather", "reference"):
        out, lse, _ = both(run(tensors, plan, impl))
        seen = lse.masked_fill(lse == -math.inf, 0.0)
        loss = (out * randn(*out.shape, seed=8, dtype=torch.float64)).sum()
        loss = loss + (seen * randn(*seen.shape, seed=9, dtype=torch.float64)).sum()
        grads.append(torch.autograd.grad(loss, tensors) if loss.requires_grad else [])
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("impl", ["gather", "reference"])
def test_all_blocks_are_torchs_own_attention(impl: Any) -> None:
    q, k, v = randn(2, 2, 70, 64), randn(2, 2, 100, 64, seed=2), randn(2, 2, 100, 64, seed=3)
    rows = BlockRows(torch.arange(7, dtype=torch.int32).expand(1, 1, 5, 7))
    out = sparse_attention(q, k, v, BlockPlan(BlockAxis(70, 16), BlockAxis(100, 16), rows), impl=impl)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("impl", ["gather", "reference"])
def test_one_row_by_hand(impl: Any) -> None:
    """Row 1 meets block 0 and a summary that counts for five tokens."""
    q, k, v = randn(1, 1, 20, 32), randn(1, 1, 32, 32, seed=2), randn(1, 1, 32, 32, seed=3)
    ck, cv = randn(1, 1, 1, 32, seed=4), randn(1, 1, 1, 32, seed=5)
    rows = BlockRows(torch.tensor([1, 0], dtype=torch.int32).view(1, 1, 2, 1))
    plan = BlockPlan(BlockAxis(20, 16), BlockAxis(32, 16), rows, coarse=(CoarseStream(ck, cv, math.log(5.0)),))
    got = sparse_attention(q, k, v, plan, return_lse=True, return_block_mass=True, impl=impl)
    keys, values = torch.cat([k[0, 0, :16], ck[0, 0]]), torch.cat([v[0, 0, :16], cv[0, 0]])
    weights = torch.exp(keys @ q[0, 0, 16:].T / math.sqrt(32)) * torch.tensor([1.0] * 16 + [5.0])[:, None]
    torch.testing.assert_close(got.out[0, 0, 16:], (weights / weights.sum(0)).T @ values)
    assert got.lse is not None and got.block_mass is not None
    torch.testing.assert_close(got.lse[0, 0, 16:], weights.sum(0).log())
    torch.testing.assert_close(got.block_mass[0, 0, 1, 0], (weights[:16].sum(0) / weights.sum(0)).mean())
    assert got.block_mass[0, 0, 1, 1] == 0


@pytest.mark.parametrize("impl", ["gather", "reference"])
def test_a_skipped_head_gives_zeros_and_leaves_the_others_alone(impl: Any) -> None:
    q, k, v = (randn(1, 2, 40, 32, seed=s) for s in (1, 2, 3))
    rows = BlockRows(torch.arange(3, dtype=torch.int32).view(1, 1, 1, 3).expand(1, 1, 3, 3))
    plan = BlockPlan(BlockAxis(40, 16), BlockAxis(40, 16), rows, heads=("skip", 0))
    got = sparse_attention(q, k, v, plan, return_lse=True, impl=impl)
    assert torch.equal(got.out[:, 0], torch.zeros(1, 40, 32))
    assert got.lse is not None and (got.lse[:, 0] == -math.inf).all()
    torch.testing.assert_close(got.out[:, 1], F.scaled_dot_product_attention(q, k, v)[:, 1])


@pytest.mark.parametrize("impl", ["gather", "reference"])
@pytest.mark.parametrize("name", ["padding", "text", "dense"])
def test_padding_may_hold_anything(impl: Any, name: str, request: pytest.FixtureRequest) -> None:
    cases = request.getfixturevalue("all_cases")
    tensors = cases[name].tensors()
    plan = cases[name].plan(tensors)
    clean = run(tensors, plan, impl)
    assert plan.key_lengths is not None
    beyond = torch.arange(plan.k.length) >= plan.key_lengths[:, None]
    poisoned = [x.masked_fill(beyond[:, None, :, None], math.nan) for x in tensors[1:3]]
    inputs = [x.clone().requires_grad_() for x in (tensors[0], *poisoned)]
    got = run(inputs, plan, impl)
    assert torch.equal(got.out, clean.out)
    grads = torch.autograd.grad(got.out.sum(), inputs)
    assert all(grad.isfinite().all() for grad in grads)
    assert not grads[1].masked_select(beyond[:, None, :, None]).any()


def test_strided_inputs_give_the_same(case: Any) -> None:
    tensors = case.tensors(torch.float32)
    plan = case.plan(tensors)
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors[:3]]
    wider = [torch.cat([x, x * math.nan], dim=-1)[..., : x.shape[-1]] for x in tensors[:3]]
    want = run(tensors, plan).out
    torch.testing.assert_close(run(strided, plan).out, want)
    torch.testing.assert_close(run(wider, plan).out, want)


def test_moving_tokens_and_order_together_changes_nothing() -> None:
    """Permutation equivariance: tokens shuffled, and a plan whose order undoes it."""
    q, k, v = (randn(1, 2, 60, 32, seed=s) for s in (1, 2, 3))
    rows = BlockRows(torch.tensor([[0, 2], [1, 3], [3, 0], [2, 1]], dtype=torch.int32)[None, None])
    plan = BlockPlan(BlockAxis(60, 16), BlockAxis(60, 16), rows)
    moved_q, moved_k = (torch.randperm(60, generator=torch.Generator().manual_seed(s)) for s in (6, 7))
    axes = [BlockAxis(60, 16, order=moved.argsort()[None, None]) for moved in (moved_q, moved_k)]
    got = sparse_attention(q[:, :, moved_q], k[:, :, moved_k], v[:, :, moved_k], BlockPlan(axes[0], axes[1], rows))
    torch.testing.assert_close(got, sparse_attention(q, k, v, plan)[:, :, moved_q])


def test_the_order_of_entries_and_of_coarse_streams_does_not_matter(case: Any) -> None:
    tensors = case.tensors()
    plan = case.plan(tensors)
    if plan.rows is None or plan.rows.width in (None, 0) or plan.rows.counts is not None:
        return
    turned = replace(plan, rows=BlockRows(plan.rows.indices.flip(-1)))
    torch.testing.assert_close(run(tensors, turned).out, run(tensors, plan).out)


def test_values_of_a_stream_default_to_means_over_its_span() -> None:
    q, k, v = (randn(2, 2, 50, 32, seed=s, dtype=torch.float64) for s in (1, 2, 3))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(5))
    axis = BlockAxis(50, 16, order=order[None, None])
    rows = BlockRows(torch.arange(4, dtype=torch.int32).view(1, 1, 4, 1))
    lengths = torch.tensor([50, 30])
    keys = randn(2, 2, 4, 32, seed=4, dtype=torch.float64)
    values = torch.zeros(2, 2, 4, 32, dtype=torch.float64)
    for b in range(2):
        for m in range(4):
            some = [int(t) for t in order[m * 16 : m * 16 + 16] if t < lengths[b]]
            values[b, :, m] = v[b][:, some].mean(dim=1)
    got = BlockPlan(axis, axis, rows, coarse=(CoarseStream(keys, span=16),), key_lengths=lengths)
    want = BlockPlan(axis, axis, rows, coarse=(CoarseStream(keys, values),), key_lengths=lengths)
    torch.testing.assert_close(sparse_attention(q, k, v, got), sparse_attention(q, k, v, want))


def test_auto_chooses_once_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    q = randn(1, 1, 16, 32)
    plan = BlockPlan(BlockAxis(16, 16), BlockAxis(16, 16), BlockRows(torch.zeros(1, 1, 1, 1, dtype=torch.int32)))
    _automatic.cache_clear()
    with caplog.at_level(logging.INFO, logger="chatdit.kernels"):
        for _ in range(3):
            sparse_attention(q, q, q, plan)
    assert [record.getMessage() for record in caplog.records] == ["sparse attention on cpu: gather"]


@pytest.mark.parametrize("impl", ["gather", "reference"])
def test_autocast_does_not_choose_the_precision(impl: Any) -> None:
    q, k, v = torch.randn(3, 1, 2, 64, 32, generator=torch.Generator().manual_seed(0)).unbind()
    axis = BlockAxis(64, 16)
    rows = BlockRows(torch.tensor([[0, 1], [1, 3], [2, 0], [3, 2]], dtype=torch.int32)[None, None])
    plan = BlockPlan(axis, axis, rows)
    plain = sparse_attention(q, k, v, plan, impl=impl)
    with torch.autocast("cpu", torch.bfloat16):
        cast = sparse_attention(q, k, v, plan, impl=impl)
    assert cast.dtype == torch.float32 and torch.equal(cast, plain)


@pytest.mark.gpu
def test_on_a_gpu_tensors_of_more_than_2_to_the_31_elements_are_addressed() -> None:
    heads, tokens, width = 66, 2**19, 64
    assert heads * tokens * width > 2**31
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (1, heads, tokens, width)
    q, k, v = (torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    axis = BlockAxis(tokens, 128)
    blocks = torch.randint(axis.blocks, (1, 1, axis.blocks, 2), generator=generator, device="cuda").sort(dim=3).values
    blocks[..., 1] = torch.where(blocks[..., 0] == blocks[..., 1], (blocks[..., 1] + 1) % axis.blocks, blocks[..., 1])
    plan = BlockPlan(axis, axis, BlockRows(blocks.sort(dim=3).values.int()))

    def results(which: slice) -> list[torch.Tensor]:
        inputs = [x[:, which].clone().requires_grad_() for x in (q, k, v)]
        out = sparse_attention(inputs[0], inputs[1], inputs[2], plan, impl="triton")
        out.backward(q[:, which])  # type: ignore[no-untyped-call]
        return [out.detach(), *(x.grad for x in inputs if x.grad is not None)]

    whole, last = results(slice(None)), results(slice(heads - 1, heads))
    assert len(whole) == len(last) == 4
    for all_heads, one in zip(whole, last, strict=True):
        assert one.abs().max() > 0 and torch.equal(all_heads[:, -1:], one)
