"""Whether q, k, v and a plan fit one another, before any work.

Layout legend: B batch, H heads, L queries, K keys, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_plan import BlockPlan

HEAD_DIMS = (32, 64, 128)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_call(q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, scale: float | None) -> None:
    """Raise KernelError, naming the argument, the value and what was expected, unless the call fits.

    Values of q, k, v are looked at on the CPU only: on a device that would stop the queue.
    """
    _check_shapes(q, k, v)
    _check_kinds(q, k, v)
    _check_plan(q, k, plan)
    if scale is not None and not math.isfinite(scale):
        raise KernelError(f"scale is {scale}; it must be a finite number")
    if q.device.type == "cpu":
        _check_finite(q, k, v, plan)


def _check_shapes(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dim() != 4 or 0 in x.shape:
            raise KernelError(f"{name} has shape {tuple(x.shape)}; it must be (B, H, L, D), no side of it 0")
    if q.shape[3] not in HEAD_DIMS:
        raise KernelError(f"q has a head dim of {q.shape[3]}; it must be one of {HEAD_DIMS}")
    if k.shape[:2] != q.shape[:2] or k.shape[3] != q.shape[3]:
        raise KernelError(f"k has shape {tuple(k.shape)}; B, H and D must be those of q {tuple(q.shape)}")
    if v.shape != k.shape:
        raise KernelError(f"v has shape {tuple(v.shape)}; it must be that of k, {tuple(k.shape)}")


def _check_kinds(q: Tensor, k: Tensor, v: Tensor) -> None:
    if q.dtype not in DTYPES:
        raise KernelError(f"q is {q.dtype}; it must be one of {', '.join(map(str, DTYPES))}")
    for name, x in (("k", k), ("v", v)):
        if x.dtype != q.dtype:
            raise KernelError(f"{name} is {x.dtype}; it must be that of q, {q.dtype}")
        if x.device != q.device:
            raise KernelError(f"{name} is on {x.device}; it must be where q is, {q.device}")


def _check_plan(q: Tensor, k: Tensor, plan: BlockPlan) -> None:
    for name, planned, have in (("q", plan.q.length, q.shape[2]), ("k", plan.k.length, k.shape[2])):
        if planned != have:
            raise KernelError(f"plan.{name}.length is {planned}, but {name} has {have} tokens; plan for this length")
    if plan.batch not in (1, q.shape[0]):
        raise KernelError(f"plan tells {plan.batch} batch entries apart; q has {q.shape[0]}")
    if plan.heads is None and plan.plan_heads not in (1, q.shape[1]):
        raise KernelError(f"plan has {plan.plan_heads} heads; q has {q.shape[1]}")
    if plan.heads is not None and len(plan.heads) != q.shape[1]:
        raise KernelError(f"plan.heads has {len(plan.heads)} entries; q has {q.shape[1]} heads")
    lengths = [] if plan.key_lengths is None else [("key_lengths", plan.key_lengths)]
    for name, x in (*plan.tensors(), *lengths):
        if x.device != q.device:
            raise KernelError(f"plan.{name} is on {x.device}; it must be where q is, {q.device}")
    for i, stream in enumerate(plan.coarse):
        want = (*q.shape[:2], stream.tokens, q.shape[3])
        if stream.keys.shape != want or stream.keys.dtype != q.dtype or stream.keys.device != q.device:
            raise KernelError(
                f"plan.coarse[{i}].keys is {tuple(stream.keys.shape)} {stream.keys.dtype} on {stream.keys.device}; "
                f"it must be {want} {q.dtype} on {q.device}"
            )


def _check_finite(q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan) -> None:
    named = [("q", q), ("k", k), ("v", v)]
    for i, stream in enumerate(plan.coarse):
        named.append((f"plan.coarse[{i}].keys", stream.keys))
        named += [(f"plan.coarse[{i}].values", stream.values)] if stream.values is not None else []
    for name, x in named:
        padded = name in ("k", "v") and plan.key_lengths is not None
        parts = list(x) if padded else [x]
        lengths = _lengths(plan, len(parts), x.shape[2]) if padded else [x.shape[2]]
        if not all(_finite(part[..., :length, :]) for part, length in zip(parts, lengths, strict=True)):
            raise KernelError(f"{name} holds a value that is not finite; every value must be a number")


def _lengths(plan: BlockPlan, batch: int, full: int) -> list[int]:
    if plan.key_lengths is None:
        return [full] * batch
    return [int(n) for n in plan.key_lengths.expand(batch)]


def _finite(x: Tensor) -> bool:
    x = x.detach()
    # One pass without a temporary: a sum is finite only if all its terms are; large terms may overflow it.
    return bool(x.sum(dtype=torch.promote_types(x.dtype, torch.float32)).isfinite()) or bool(x.isfinite().all())
