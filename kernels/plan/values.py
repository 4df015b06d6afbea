"""Whether the numbers inside a plan's tensors are right. Reads them back from the device, once for each plan.

Layout legend: B batch, G plan heads, n query blocks, N body tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis, block_offsets
from chatdit.kernels.plan.block_rows import BlockRows, head_rows

if TYPE_CHECKING:
    from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream


def check_values(plan: BlockPlan) -> None:
    """Raise KernelError, naming the argument and the value, unless every number of the plan is right."""
    _check_axis("q", plan.q)
    _check_axis("k", plan.k)
    if plan.key_lengths is not None:
        _check_range("key_lengths", plan.key_lengths, 0, plan.k.length + 1)
    for name, rows, blocks in _all_rows(plan):
        _check_list(name, rows, blocks)
    for batch in range(plan.row_batch):
        for head in range(plan.plan_heads):
            _check_head(plan, batch, head)
    for i, stream in enumerate(plan.coarse):
        _check_weights(f"coarse[{i}].log_weight", stream)


def _all_rows(plan: BlockPlan) -> Iterator[tuple[str, BlockRows, int]]:
    if plan.rows is not None:
        yield "rows", plan.rows, plan.k.blocks
    if plan.partial is not None:
        yield "partial", plan.partial, plan.k.blocks
    for i, stream in enumerate(plan.coarse):
        if stream.rows is not None:
            yield f"coarse[{i}].rows", stream.rows, stream.blocks


def _check_axis(name: str, axis: BlockAxis) -> None:
    if axis.order is not None:
        in_turn = torch.arange(axis.body, device=axis.order.device)
        if not bool((axis.order.long().sort(dim=-1).values == in_turn).all()):
            raise KernelError(f"{name}.order is not a permutation: it must hold each of 0 to {axis.body - 1} once")
    if axis.offsets is None:
        return
    ends = axis.offsets[..., 0].eq(0).all() & axis.offsets[..., -1].eq(axis.body).all()
    if not bool(ends & axis.offsets.diff(dim=-1).ge(0).all()):
        raise KernelError(f"{name}.offsets must rise from 0 to {axis.body}, the body's length, in every head")
    if axis.largest is not None and bool((axis.offsets.diff(dim=-1) > axis.largest).any()):
        found = int(axis.offsets.diff(dim=-1).max())
        raise KernelError(f"{name}.largest is {axis.largest}, but a block has {found} tokens")


def _check_list(name: str, rows: BlockRows, blocks: int) -> None:
    if rows.counts is not None:
        assert rows.width is not None
        _check_range(f"{name}.counts", rows.counts, 0, rows.width + 1)
    if rows.starts is not None:
        _check_range(f"{name}.starts", rows.starts, 0, rows.indices.numel() + 1)
        if bool(rows.starts.flatten().diff().lt(0).any()):
            raise KernelError(f"{name}.starts falls somewhere; each row starts where the one before it ends")
    shape = [x.shape for _, x in rows.tensors()]
    for batch in range(max(s[0] for s in shape)):
        for head in range(max(s[1] for s in shape)):
            _check_range(f"{name}.indices", head_rows(rows, batch, head)[0], 0, blocks)


def _check_range(name: str, x: Tensor, low: int, high: int) -> None:
    wrong = (x < low) | (x >= high)
    if bool(wrong.any()):
        raise KernelError(f"{name} holds {int(x[wrong][0])}; it must be from {low} to {high - 1}")


def _check_head(plan: BlockPlan, batch: int, head: int) -> None:
    lists = [head_rows(rows, batch, head) for rows in (plan.rows, plan.partial) if rows is not None]
    if not lists:
        return
    _check_once("rows" if plan.partial is None else "rows and partial", lists, plan.k.blocks)
    for i, stream in enumerate(plan.coarse):
        if stream.rows is not None:
            _check_once(f"coarse[{i}].rows", [head_rows(stream.rows, batch, head)], stream.blocks)
    if plan.coarse or plan.k.dense:
        return
    filled = block_offsets(plan.q, batch, head, lists[0][1].device).diff() > 0
    empty = (torch.stack([counts for _, counts in lists]).sum(0) == 0) & filled
    if bool(empty.any()):
        row = int(empty.nonzero()[0])
        raise KernelError(f"rows: row {row} of head {head} is empty; each block of queries must meet a key block")


def _check_once(name: str, lists: list[tuple[Tensor, Tensor]], blocks: int) -> None:
    named = [
        torch.arange(len(counts), device=counts.device).repeat_interleave(counts) * blocks + entries
        for entries, counts in lists
    ]
    pairs = torch.cat(named).sort().values
    twice = pairs[1:] == pairs[:-1]
    if bool(twice.any()):
        pair = int(pairs[1:][twice][0])
        raise KernelError(f"{name} names key block {pair % blocks} twice in row {pair // blocks}; name it once")


def _check_weights(name: str, stream: CoarseStream) -> None:
    weight = stream.log_weight
    if isinstance(weight, Tensor) and bool((weight.isnan() | (weight == float("inf"))).any()):
        raise KernelError(f"{name} holds NaN or +inf; it must be finite, or -inf to leave a summary out")
