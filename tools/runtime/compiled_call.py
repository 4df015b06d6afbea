"""The attention of an attached model inside torch.compile: one opaque operator that asks the attachment.

A compiled block calls the operator with its layer as a tensor, so that one compiled graph serves all layers.
The backward computes the call again: the plan is the same, because q and k are.

Layout legend: B batch, L tokens, H heads, D head dim; tensors are (B, L, H, D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from chatdit.tools.runtime.router import CallOptions
from chatdit.tools.types import ToolError

Compute = Callable[[int, Tensor, Tensor, Tensor, CallOptions, bool], Tensor]
"""(layer, q, k, v, options, grouped queries) to the output."""

# An operator takes tensors and numbers alone, so it finds its attachment by number.
_attachments: dict[int, Compute] = {}


def announce(number: int, compute: Compute) -> None:
    """Let compiled calls with this number reach `compute`."""
    _attachments[number] = compute


def withdraw(number: int) -> None:
    """No compiled call with this number comes any more."""
    del _attachments[number]


def call(number: int, layer: Tensor, q: Tensor, k: Tensor, v: Tensor, options: CallOptions, gqa: bool) -> Tensor:
    """One attention call from inside a compiled block; `layer` is a 0-dim tensor on the CPU."""
    o = options
    out: Tensor = _attention(q, k, v, o.mask, layer, number, o.dropout, o.causal, o.scale, o.shared, gqa)
    return out


@torch.library.custom_op("chatdit::attached_attention", mutates_args=())
def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    layer: Tensor,
    number: int,
    dropout: float,
    causal: bool,
    scale: float | None,
    shared: bool,
    gqa: bool,
) -> Tensor:
    out = _compute(number)(int(layer), q, k, v, CallOptions(mask, dropout, causal, scale, shared), gqa)
    return out.clone(memory_format=torch.contiguous_format)


@_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *rest: object) -> Tensor:
    return q.new_empty(*q.shape[:3], v.shape[3])


@torch.library.custom_op("chatdit::attached_attention_backward", mutates_args=())
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    layer: Tensor,
    number: int,
    dropout: float,
    causal: bool,
    scale: float | None,
    shared: bool,
    gqa: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    if dropout > 0:
        raise ToolError("a compiled block has attention with dropout, which cannot be computed again: set it to 0")
    with _differentiable():
        sides = [x.detach().requires_grad_() for x in (q, k, v)]
        options = CallOptions(mask, dropout, causal, scale, shared)
        out = _compute(number)(int(layer), sides[0], sides[1], sides[2], options, gqa)
        found = torch.autograd.grad(out, sides, grad)
    return found[0].contiguous(), found[1].contiguous(), found[2].contiguous()


@contextmanager
def _differentiable() -> Iterator[None]:
    """Autograd inside an operator, where torch leaves it out."""
    excluded = torch._C._dispatch_tls_local_exclude_set().remove(torch._C.DispatchKey.AutogradFunctionality)
    included = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(included, excluded), torch.enable_grad():
        yield


@_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: object) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, v, mask, layer, *ctx.rest = inputs
    ctx.save_for_backward(q, k, v, mask, layer)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    found = _backward(grad, *ctx.saved_tensors, *ctx.rest)
    return (*found, *(None,) * 8)


_attention.register_autograd(_gradients, setup_context=_keep)


def _compute(number: int) -> Compute:
    if number not in _attachments:
        raise ToolError("a compiled block belongs to a policy that was detached: compile it again")
    return _attachments[number]
