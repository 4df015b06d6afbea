"""Whether the parts of a plan fit together: shapes, dtypes and devices. Reads no value back from a device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import check_integers

if TYPE_CHECKING:
    from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
    from chatdit.kernels.plan.block_rows import BlockRows


def check_structure(plan: BlockPlan) -> None:
    """Raise KernelError, naming the argument, unless the parts of the plan fit together."""
    check_integers("key_lengths", plan.key_lengths, dims=1)
    _check_shared_axes(plan)
    _check_heads(plan)
    for name, rows in (("rows", plan.rows), ("partial", plan.partial)):
        if rows is not None:
            _check_rows(name, rows, rows_wanted=plan.q.blocks, blocks=plan.k.blocks)
    _check_predicate(plan)
    for i in range(len(plan.coarse)):
        _check_stream(plan, i)


def _check_shared_axes(plan: BlockPlan) -> None:
    named = list(plan.tensors())
    for axis, what in ((0, "batch"), (1, "head")):
        largest = max((x.shape[axis] for _, x in named), default=1)
        for name, x in named:
            if x.shape[axis] not in (1, largest):
                raise KernelError(
                    f"{name} has {x.shape[axis]} {what} entries, another part of the plan {largest}; use 1 or {largest}"
                )
    entries = {"predicate": plan.predicate.batch if plan.predicate is not None else 1}
    entries["key_lengths"] = plan.key_lengths.shape[0] if plan.key_lengths is not None else 1
    for name, batch in entries.items():
        if batch not in (1, plan.batch):
            raise KernelError(f"{name} has {batch} batch entries, another part of the plan {plan.batch}")
    _check_devices(plan, named)


def _check_devices(plan: BlockPlan, named: list[tuple[str, Tensor]]) -> None:
    flat = [("rows.indices", plan.rows)] if plan.rows else []
    flat += [("partial.indices", plan.partial)] if plan.partial else []
    named += [(name, rows.indices) for name, rows in flat]
    named += [("key_lengths", plan.key_lengths)] if plan.key_lengths is not None else []
    for i, stream in enumerate(plan.coarse):
        named.append((f"coarse[{i}].keys", stream.keys))
    for name, x in named:
        if x.device != named[0][1].device:
            raise KernelError(f"{name} is on {x.device}, {named[0][0]} on {named[0][1].device}; move the plan together")


def _check_heads(plan: BlockPlan) -> None:
    groups = {0} if plan.heads is None else {kind for kind in plan.heads if isinstance(kind, int)}
    for kind in plan.heads or ():
        if not (kind in ("dense", "skip") or (isinstance(kind, int) and 0 <= kind < plan.plan_heads)):
            raise KernelError(
                f"heads has {kind!r}; a head is 'dense', 'skip' or a plan head from 0 to {plan.plan_heads - 1}"
            )
    if plan.heads is not None and not plan.heads:
        raise KernelError("heads is empty; it holds one kind for each head of the model")
    if groups and plan.rows is None and plan.partial is None:
        raise KernelError("rows and partial are None; only heads that are all 'dense' or 'skip' need no rows")


def _check_rows(name: str, rows: BlockRows, rows_wanted: int, blocks: int) -> None:
    if rows.rows != rows_wanted:
        raise KernelError(f"{name} has {rows.rows} rows; the plan has {rows_wanted} blocks of queries for them")
    if rows.width is not None and rows.width > blocks:
        raise KernelError(f"{name} names {rows.width} key blocks in each row; there are only {blocks}")


def _check_predicate(plan: BlockPlan) -> None:
    if (plan.partial is None) != (plan.predicate is None):
        raise KernelError(
            f"partial is {'given' if plan.partial else None} and predicate is {plan.predicate}; give both or neither"
        )
    if plan.predicate is not None and plan.predicate.tokens() != (plan.q.body, plan.k.body):
        raise KernelError(
            f"predicate knows {plan.predicate.tokens()} tokens; the bodies of q and k have {(plan.q.body, plan.k.body)}"
        )


def _check_stream(plan: BlockPlan, i: int) -> None:
    stream, name = plan.coarse[i], f"coarse[{i}]"
    if stream.keys.dim() != 4 or not stream.tokens:
        raise KernelError(f"{name}.keys has shape {tuple(stream.keys.shape)}; it must be (B, H, M, D) with M > 0")
    if stream.block < 1 or stream.share < 1:
        raise KernelError(f"{name}.block is {stream.block} and .share is {stream.share}; both must be at least 1")
    if stream.rows is not None:
        _check_rows(f"{name}.rows", stream.rows, -(-plan.q.blocks // stream.share), stream.blocks)
    _check_stream_values(plan, stream, name)
    _check_log_weight(stream, name)
    finer = plan.coarse[i - 1].blocks if i else plan.k.blocks
    if stream.selected not in ("keep", "exclude"):
        raise KernelError(f"{name}.selected is {stream.selected!r}; it must be 'keep' or 'exclude'")
    if stream.selected == "exclude" and stream.tokens != finer:
        raise KernelError(f"{name} has {stream.tokens} tokens; to exclude selected ones it needs one for each of the "
                          f"{finer} finer blocks")  # fmt: skip


def _check_stream_values(plan: BlockPlan, stream: CoarseStream, name: str) -> None:
    if stream.values is not None:
        same = (stream.values.shape, stream.values.dtype, stream.values.device)
        if same != (stream.keys.shape, stream.keys.dtype, stream.keys.device):
            raise KernelError(
                f"{name}.values is {tuple(stream.values.shape)} {stream.values.dtype} on {stream.values.device}; "
                f"keys is {tuple(stream.keys.shape)} {stream.keys.dtype} on {stream.keys.device}"
            )
    elif stream.span is None or stream.span < 1 or -(-plan.k.body // stream.span) != stream.tokens:
        raise KernelError(
            f"{name}.values is None and .span is {stream.span}; {stream.tokens} means over the {plan.k.body} "
            "body keys need the span they were taken over"
        )


def _check_log_weight(stream: CoarseStream, name: str) -> None:
    weight = stream.log_weight
    if isinstance(weight, Tensor):
        b, h, m = stream.keys.shape[:3]
        if weight.dim() != 3 or weight.shape[0] not in (1, b) or weight.shape[1] not in (1, h) or weight.shape[2] != m:
            raise KernelError(
                f"{name}.log_weight has shape {tuple(weight.shape)}; it must be ({b} or 1, {h} or 1, {m})"
            )
        if not weight.is_floating_point() or weight.device != stream.keys.device:
            raise KernelError(f"{name}.log_weight is {weight.dtype} on {weight.device}; make it float beside the keys")
    elif not math.isfinite(weight):
        raise KernelError(f"{name}.log_weight is {weight}; it must be finite")
