"""One attention call under a sparse policy: computed by its plan, or left to dense attention with the reason.

Layout legend: B batch, H heads, L tokens of the sequence, T text tokens of it, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.autocast import own_precision
from chatdit.kernels.call_checks import DTYPES, HEAD_DIMS
from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import Segment, body_segments
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.density import plan_density
from chatdit.kernels.policies.geometry import Geometry, Place, Policy
from chatdit.kernels.sparse_attention import sparse_attention


@dataclass(frozen=True)
class SparseAttention:
    """A sparse policy as data of a call: its name, the policy, and where it starts to pay.

    Calls of fewer than `dense_below` tokens stay dense, None being all; `origin` says who says so. With a `width`
    (batch times heads times head dim) that holds for calls as wide, and for others where dense attention has as much
    to do. A policy that remembers is copied for each run, so that nothing is carried from one to the next.
    """

    name: str
    policy: Policy
    dense_below: int | None = 0
    origin: str = ""
    width: int | None = None

    def too_short(self, tokens: int, width: int | None = None) -> str | None:
        """Why a sequence of so many tokens, of a call of that width, stays dense, or None if it does not."""
        below = self.dense_below
        if below and self.width and width:
            below = math.ceil(below * math.sqrt(self.width / width))
        if below is not None and tokens >= below:
            return None
        source = f" ({self.origin})" if self.origin else ""
        pays = "was faster at no size" if below is None else f"pays from {below:,}"
        return f"{tokens:,} tokens; {self.name} {pays}{source}"


class Where(NamedTuple):
    """Step of the sampler and layer of the model that a call belongs to."""

    step: Place
    layer: Place


class Routed(NamedTuple):
    """Output (B, H, L, D) and density of a sparse call, or no output and the reason why it has to be dense."""

    out: Tensor | None
    reason: str = ""
    density: Tensor | None = None


def route_call(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sparse: SparseAttention,
    geometry: Geometry,
    where: Where,
    *,
    valid_text: Tensor | None = None,
    scale: float | None = None,
) -> Routed:
    """Self-attention of q, k, v under the policy; never an exception for what dense attention could compute.

    `valid_text` (B, T) is False for text keys that nobody may see; any pattern, and nothing is read back.
    """
    reason = sparse.too_short(q.shape[2], q.shape[0] * q.shape[1] * q.shape[3]) or _unfit(q, k)
    if reason is not None:
        return Routed(None, reason)
    original = geometry
    if valid_text is not None:
        q, k, v, geometry = _text_last(q, k, v, valid_text, geometry)
    try:
        with own_precision(q.device.type):
            plan = sparse.policy(q, k, geometry, where.step, where.layer)
    except KernelError as error:
        return Routed(None, f"{sparse.name} cannot plan this: {error}")
    if _all_dense(plan):
        return Routed(None, f"{sparse.name} leaves step {where.step.index + 1} of {where.step.count} dense here")
    out = sparse_attention(q, k, v, plan, scale=scale)
    density = plan_density(plan, q.shape[1], q.device)
    return Routed(out if valid_text is None else _text_back(out, original), density=density)


def _unfit(q: Tensor, k: Tensor) -> str | None:
    if q.shape[3] not in HEAD_DIMS:
        return f"head dim {q.shape[3]}; the kernels take {', '.join(map(str, HEAD_DIMS))}"
    if q.dtype not in DTYPES or k.dtype != q.dtype:
        return f"q is {q.dtype} and k {k.dtype}; the kernels take one of {', '.join(map(str, DTYPES))}"
    return None


def _all_dense(plan: BlockPlan) -> bool:
    return plan.heads is not None and all(kind == "dense" for kind in plan.heads)


def _text_last(
    q: Tensor, k: Tensor, v: Tensor, valid_text: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor, Geometry]:
    """Text behind the body, its hidden keys behind all others, so that key lengths leave them out.

    Text keys may stand in any order, since every query meets all of them.
    """
    order = valid_text.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    k, v = (_with_sorted_text(x, geometry, order) for x in (k, v))
    q = torch.cat(_parts(q, body_segments(geometry.axis(16))) + _parts(q, geometry.text), dim=2)
    lengths = geometry.body + valid_text.sum(dim=1)
    if geometry.key_lengths is not None:
        raise KernelError("key_lengths is given beside valid_text; say it once")
    text = (Segment(geometry.body, geometry.length),)
    return q, k, v, replace(geometry, text=text, key_lengths=lengths.expand(q.shape[0]))


def _with_sorted_text(x: Tensor, geometry: Geometry, order: Tensor) -> Tensor:
    text = torch.cat(_parts(x, geometry.text), dim=2)
    index = order[:, None, :, None].expand(*x.shape[:2], -1, x.shape[3])
    return torch.cat([*_parts(x, body_segments(geometry.axis(16))), text.gather(2, index)], dim=2)


def _text_back(out: Tensor, geometry: Geometry) -> Tensor:
    """Rows of a sequence with text last, where they stood at first."""
    body, text = out[:, :, : geometry.body], out[:, :, geometry.body :]
    pieces = [(segment, 0) for segment in body_segments(geometry.axis(16))]
    pieces += [(segment, 1) for segment in geometry.text]
    used, parts = [0, 0], []
    for (start, stop), kind in sorted(pieces):
        source = (body, text)[kind]
        parts.append(source[:, :, used[kind] : used[kind] + stop - start])
        used[kind] += stop - start
    return torch.cat(parts, dim=2)


def _parts(x: Tensor, segments: Sequence[Segment]) -> list[Tensor]:
    return [x[:, :, start:stop] for start, stop in segments]
