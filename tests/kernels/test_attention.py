"""The adapter against the fp64 reference: odd shapes, biases, gradients, and clear refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.attention import DensePlan, attention
from chatdit.kernels.errors import KernelError
from chatdit.kernels.reference import dense_attention

SHAPES = [(1, 1, 1, 1, 8), (2, 7, 7, 3, 16), (1, 33, 50, 2, 24), (3, 64, 65, 1, 64)]


def tensors(shape: tuple[int, int, int, int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    batch, queries, keys, heads, width = shape
    generator = torch.Generator().manual_seed(5)
    return (
        torch.randn(batch, queries, heads, width, generator=generator).to(dtype),
        torch.randn(batch, keys, heads, width, generator=generator).to(dtype),
        torch.randn(batch, keys, heads, width, generator=generator).to(dtype),
    )


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            for i in range(q.shape[1]):
                weights = torch.exp(k[b, :, h] @ q[b, i, h] / math.sqrt(q.shape[3]))
                out[b, i, h] = (weights / weights.sum()) @ v[b, :, h]
    return out


def test_the_reference_is_softmax_attention() -> None:
    q, k, v = tensors((2, 5, 6, 2, 8), torch.float64)
    torch.testing.assert_close(dense_attention(q, k, v), by_hand(q, k, v))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sdpa_stays_within_twice_the_error_of_its_dtype(
    shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> None:
    q, k, v = tensors(shape, dtype)
    truth = dense_attention(q.double(), k.double(), v.double())
    budget = (dense_attention(q, k, v).double() - truth).abs().max() * 2 + torch.finfo(dtype).eps
    out = attention(q, k, v)
    assert out.dtype == dtype
    assert (out.double() - truth).abs().max() <= budget


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_agree_with_the_reference(shape: tuple[int, int, int, int, int]) -> None:
    inputs = [x.double().requires_grad_() for x in tensors(shape)]
    bias = torch.randn(shape[0], 1, 1, shape[2], dtype=torch.float64)
    weight = torch.randn(shape[0], shape[1], shape[3], shape[4], dtype=torch.float64)
    plan = DensePlan(bias)
    got = torch.autograd.grad((attention(*inputs, plan=plan) * weight).sum(), inputs)
    want = torch.autograd.grad((attention(*inputs, plan=plan, impl="reference") * weight).sum(), inputs)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_plan_the_call_is_torchs_own() -> None:
    q, k, v = tensors((2, 9, 9, 2, 16))
    own = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(attention(q, k, v), own)


@pytest.mark.parametrize("impl", ["sdpa", "reference"])
def test_forbidden_keys_do_not_count(impl: str) -> None:
    q, k, v = tensors((1, 4, 6, 2, 8))
    bias = torch.zeros(1, 1, 1, 6)
    bias[..., 4:] = -math.inf
    for hidden in (bias, bias == 0):
        out = attention(q, k, v, plan=DensePlan(hidden), impl=impl)  # type: ignore[arg-type]
        torch.testing.assert_close(out, attention(q, k[:, :4], v[:, :4]))


@pytest.mark.parametrize("impl", ["sdpa", "reference"])
def test_a_bias_of_ln_2_counts_a_key_twice(impl: str) -> None:
    q, k, v = tensors((1, 4, 6, 2, 8))
    bias = torch.zeros(1, 1, 1, 6)
    bias[..., 5] = math.log(2)
    twice = torch.cat([k, k[:, 5:]], dim=1), torch.cat([v, v[:, 5:]], dim=1)
    out = attention(q, k, v, plan=DensePlan(bias), impl=impl)  # type: ignore[arg-type]
    torch.testing.assert_close(out, attention(q, *twice))


@pytest.mark.parametrize("impl", ["sdpa", "reference"])
def test_a_query_that_sees_nothing_gets_zeros(impl: str) -> None:
    q, k, v = tensors((1, 3, 4, 1, 8))
    bias = torch.zeros(1, 1, 3, 4)
    bias[:, :, 1] = -math.inf
    out = attention(q, k, v, plan=DensePlan(bias), impl=impl)  # type: ignore[arg-type]
    assert torch.equal(out[:, 1], torch.zeros_like(out[:, 1]))
    assert out.isfinite().all()


def test_wrong_calls_are_refused_with_the_shapes_in_the_message() -> None:
    q, k, v = tensors((2, 5, 6, 2, 8))
    with pytest.raises(KernelError, match=r"\(2, 5, 2, 8\).*must be alike"):
        attention(q, k, v[:, :3])
    with pytest.raises(KernelError, match="3, 4, 4 dimensions"):
        attention(q[0], k, v)
    with pytest.raises(KernelError, match=r"bfloat16.*convert"):
        attention(q, k.bfloat16(), v)
    with pytest.raises(KernelError, match=r"broadcast to \(B, H, L, K\) = \(2, 2, 5, 6\)"):
        attention(q, k, v, plan=DensePlan(torch.zeros(6)))
    with pytest.raises(KernelError, match="'flash'"):
        attention(q, k, v, impl="flash")  # type: ignore[arg-type]
