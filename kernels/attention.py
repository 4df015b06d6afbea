"""The one door to attention: every attention call of the DiT goes through `attention`.

Layout legend: B batch, L queries, K keys, H heads, D head dim; tensors are (B, L, H, D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.reference import dense_attention

Implementation = Literal["sdpa", "reference"]


@dataclass(frozen=True, eq=False)
class DensePlan:
    """Every query meets every key.

    `bias` broadcasts to (B, H, L, K): floating ones are added to the logits, boolean ones keep the
    pairs that are True. One value for each key is (B, 1, 1, K).
    """

    bias: Tensor | None = None


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, plan: DensePlan | None = None, impl: Implementation = "sdpa"
) -> Tensor:
    """Attention output (B, L, H, D) in the dtype of `q`, for q (B, L, H, D), k and v (B, K, H, D).

    Without a plan, "sdpa" makes the same call as diffusers' default backend, bit for bit. The
    implementation that is asked for runs; there is no fall-back.

    Raises:
        KernelError: shapes, dtypes, devices or the implementation do not fit.
    """
    bias = plan.bias if plan is not None else None
    _check(q, k, v, bias)
    if impl == "sdpa":
        return _sdpa(q, k, v, bias)
    if impl == "reference":
        return dense_attention(q, k, v, bias)
    raise KernelError(f"impl is {impl!r}; it must be 'sdpa' or 'reference'")


def _sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(q.dtype)
    q, k, v = (x.permute(0, 2, 1, 3) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).permute(0, 2, 1, 3)


def _check(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
    if not q.dim() == k.dim() == v.dim() == 4:
        raise KernelError(f"q, k, v have {q.dim()}, {k.dim()}, {v.dim()} dimensions; each must be (B, L, H, D)")
    if k.shape != v.shape or q.shape[0] != k.shape[0] or q.shape[2:] != k.shape[2:]:
        raise KernelError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)} do not fit; "
            "k and v must be alike and share B, H and D with q"
        )
    if not (q.dtype == k.dtype == v.dtype and q.device == k.device == v.device):
        raise KernelError(f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype} on {q.device}, {k.device}; convert them first")
    if bias is not None:
        _check_bias(bias, (q.shape[0], q.shape[2], q.shape[1], k.shape[1]))


def _check_bias(bias: Tensor, full: tuple[int, int, int, int]) -> None:
    fits = bias.dim() == 4 and all(have in (1, want) for have, want in zip(bias.shape, full, strict=True))
    if not fits:
        raise KernelError(f"bias {tuple(bias.shape)} does not broadcast to (B, H, L, K) = {full}; give it four axes")
