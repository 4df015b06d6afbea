"""Where the Triton kernels can run."""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError


def require_triton(q: Tensor) -> None:
    """Raise KernelError where q's device or dtype is none that the Triton kernels take."""
    if q.dtype == torch.float64:
        raise KernelError("q is torch.float64; impl 'triton' takes fp32, fp16 and bf16")
    if q.device.type == "cpu" and not interpreted():
        raise KernelError("q is on the cpu; impl 'triton' runs there only under TRITON_INTERPRET=1, use 'gather'")


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def upcast(x: Tensor) -> bool:
    """Whether loads must be widened: the interpreter has no products of bf16."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def rows_dense(x: Tensor) -> Tensor:
    """x (B, H, L, D) with its last axis in memory order; other strides are free as long as a head is within int32."""
    return x if x.stride(-1) == 1 and x.shape[2] * x.stride(2) < 2**31 else x.contiguous()
