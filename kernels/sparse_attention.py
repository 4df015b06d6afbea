"""The one door to sparse attention: a plan says who meets whom, an implementation does it.

Layout legend: B batch, H heads, L queries, K keys, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import functools
import logging
import math
from typing import Literal, overload

import torch
from torch import Tensor

from chatdit.kernels.autocast import own_precision
from chatdit.kernels.blocks.launch import excludes_beside_partial, triton_attention
from chatdit.kernels.call_checks import check_call
from chatdit.kernels.errors import KernelError
from chatdit.kernels.gather import gather_attention
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.output import AttentionOutput
from chatdit.kernels.plan.pooling import with_values
from chatdit.kernels.reference import sparse_reference

SparseImplementation = Literal["auto", "reference", "gather", "triton"]

_log = logging.getLogger(__name__)


@overload
def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: BlockPlan,
    *,
    scale: float | None = None,
    return_lse: Literal[False] = False,
    return_block_mass: Literal[False] = False,
    impl: SparseImplementation = "auto",
) -> Tensor: ...


@overload
def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: BlockPlan,
    *,
    scale: float | None = None,
    return_lse: Literal[True],
    return_block_mass: bool = False,
    impl: SparseImplementation = "auto",
) -> AttentionOutput: ...


@overload
def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: BlockPlan,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    return_block_mass: Literal[True],
    impl: SparseImplementation = "auto",
) -> AttentionOutput: ...


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: BlockPlan,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    return_block_mass: bool = False,
    impl: SparseImplementation = "auto",
) -> Tensor | AttentionOutput:
    """Attention of q (B, H, L, D) to the keys and values (B, H, K, D) that the plan lets each query meet.

    Any strides, any lengths, D of 32, 64 or 128, fp32, fp16, bf16 or fp64; the output has the dtype of q.
    Asked for the LSE or the block mass, it returns an AttentionOutput instead of the output alone. An
    implementation that is named runs or raises; "auto" takes one by device and logs which, once for each.
    Gradients reach q, k, v, the LSE, and the keys and values of coarse streams; not plans or log weights.

    Raises:
        KernelError: an argument does not fit; nothing has been computed.
    """
    check_call(q, k, v, plan, scale)
    able = q.dtype != torch.float64 and not return_block_mass and not excludes_beside_partial(plan)
    chosen = _choose(impl, q.device.type, able=able)
    if chosen == "triton" and return_block_mass:
        raise KernelError("return_block_mass is True; impl 'triton' does not measure it, use 'gather'")
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else scale
    with own_precision(q.device.type):
        if chosen == "triton":
            found = triton_attention(q, k, v, plan, scale)
        elif chosen == "reference":
            found = sparse_reference(q, k, v, plan, with_values(plan, v), scale)
        else:
            found = gather_attention(q, k, v, plan, with_values(plan, v), scale, mass=return_block_mass)
    if not (return_lse or return_block_mass):
        return found.out
    assert found.lse is not None
    wide = torch.promote_types(q.dtype, torch.float32)
    lse = found.lse.to(wide) if return_lse else None
    mass = found.block_mass.to(wide) if return_block_mass and found.block_mass is not None else None
    return AttentionOutput(found.out, lse, mass)


def _choose(impl: SparseImplementation, device: str, *, able: bool) -> Literal["reference", "gather", "triton"]:
    if impl == "auto":
        return _automatic(device, able)
    if impl in ("reference", "gather", "triton"):
        return impl
    raise KernelError(f"impl is {impl!r}; it must be 'auto', 'reference', 'gather' or 'triton'")


@functools.cache  # so that each choice is logged once
def _automatic(device: str, able: bool) -> Literal["gather", "triton"]:
    """Triton on a GPU for what it is able to do; gather otherwise."""
    chosen: Literal["gather", "triton"] = "triton" if device == "cuda" and able else "gather"
    _log.info("sparse attention on %s: %s", device, chosen)
    return chosen
