"""Run by test_triton.py in a process of its own, for the interpreter must be chosen before triton is imported.

Prints the errors of Triton kernels against the reference in fp64 as JSON: for each call of the list, and of LLSA.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from chatdit.kernels.llsa.call import llsa_attention, pooled_plan
from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan
from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.output import AttentionOutput
from chatdit.kernels.sparse_attention import SparseImplementation, sparse_attention

_SPEC = importlib.util.spec_from_file_location("cases", Path(__file__).with_name("conftest.py"))
assert _SPEC is not None and _SPEC.loader is not None
cases = importlib.util.module_from_spec(_SPEC)
sys.modules["cases"] = cases
_SPEC.loader.exec_module(cases)

HALF = {"text", "variable", "tiles"}
FORWARD_ALONE = {"fixed", "counted", "static-ragged", "window", "coarse-keep", "skipped", "dense", "all-text"}
Call = Callable[[list[Tensor]], AttentionOutput]
Found = dict[str, object]


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def compared(tensors: list[Tensor], got: Call, own: Call, *, gradients: bool) -> Found:
    """Errors of output, LSE and gradients of a call beside those of the reference in the same dtype."""
    results = []
    for inputs, call in ((tensors, got), (tensors, own), ([x.double() for x in tensors], own)):
        leaves = [x.detach().clone().requires_grad_(gradients) for x in inputs]
        out, lse, _ = call(leaves)
        assert lse is not None
        seen = lse.masked_fill(lse == -torch.inf, 0.0)
        grads: tuple[Tensor, ...] = ()
        if gradients:
            loss = (out * randn(*out.shape, seed=8).to(out.dtype)).sum()
            loss = loss + (seen * randn(*seen.shape, seed=9).to(seen.dtype)).sum()
            grads = torch.autograd.grad(loss, leaves)
        results.append((out.detach(), seen.detach(), lse.detach() == -torch.inf, grads))
    (out, lse, blind, grads), (own_out, _, _, own_grads), (truth, true_lse, true_blind, true_grads) = results
    triples = zip((out, *grads), (own_out, *own_grads), (truth, *true_grads), strict=True)
    pairs = [(float((a.double() - t).norm()), float((b.double() - t).norm())) for a, b, t in triples]
    return {
        "errors": pairs,
        "lse": float((lse.double() - true_lse).abs().max()),
        "blind": bool(torch.equal(blind, true_blind)),
        "finite": all(bool(x.isfinite().all()) for x in (out, *grads)),
    }


def of_case(case: cases.Case, dtype: torch.dtype, *, gradients: bool) -> Found:  # type: ignore[name-defined]
    def by(impl: SparseImplementation) -> Call:
        return lambda x: sparse_attention(x[0], x[1], x[2], case.plan(x), return_lse=True, impl=impl)

    return compared(case.tensors(dtype), by("triton"), by("reference"), gradients=gradients)


@dataclass(frozen=True)
class Llsa:
    """A call of LLSA: tokens of q and k, hierarchy, text at the end of k, order, key lengths, and by which door."""

    tokens: tuple[int, int]
    hierarchy: Hierarchy
    batch: int = 1
    text: int = 0
    shuffled: bool = False
    lengths: tuple[int, ...] | None = None
    door: Literal["call", "plan"] = "call"
    dtype: torch.dtype = torch.float32
    gradients: bool = True


LLSA = {
    "one level": Llsa((130, 130), Hierarchy(16, 2, 1)),
    "two levels": Llsa((290, 260), Hierarchy(16, 2, 2)),
    "three levels": Llsa((40, 270), Hierarchy(16, 3, 3)),
    "left out": Llsa((70, 280), Hierarchy(16, 2, 2, "exclude")),
    "text, order, padding": Llsa((60, 110), Hierarchy(16, 3, 2), 2, 10, True, (110, 20)),
    "plan": Llsa((40, 290), Hierarchy(16, 2, 2), door="plan"),
    "plan with text": Llsa((75, 75), Hierarchy(16, 2, 1), text=9, shuffled=True, door="plan"),
    "bfloat16": Llsa((90, 90), Hierarchy(16, 2, 1), dtype=torch.bfloat16),
    "float16": Llsa((90, 90), Hierarchy(16, 2, 1), dtype=torch.float16),
}


def of_llsa(call: Llsa) -> Found:
    """Against the reference on the same picks; the picks against torch's own."""
    n, m = call.tokens
    tensors = [randn(call.batch, 1, x, 32, seed=s).to(call.dtype) for s, x in enumerate((n, m, m))]
    body = m - call.text
    order = torch.randperm(body, generator=torch.Generator().manual_seed(4))[None, None] if call.shuffled else None
    text = (Segment(body, m),) if call.text else ()
    k_axis = BlockAxis(m, 16, order=order, dense=text)
    q_axis = k_axis if n == m else BlockAxis(n, 16)
    lengths = torch.tensor(call.lengths) if call.lengths is not None else None
    arguments = (call.hierarchy, q_axis, k_axis, lengths)
    picked = pooled_plan(tensors[0], tensors[1], *arguments)
    assert picked is not None

    def reference(x: list[Tensor]) -> AttentionOutput:
        plan = llsa_plan(x[0], x[1], *arguments)
        coarse = tuple(replace(s, rows=t.rows) for s, t in zip(plan.coarse, picked.coarse, strict=True))
        plan = replace(plan, rows=picked.rows, coarse=coarse)
        return sparse_attention(x[0], x[1], x[2], plan, return_lse=True, impl="reference")

    def kernels(x: list[Tensor]) -> AttentionOutput:
        if call.door == "call":
            return llsa_attention(x[0], x[1], x[2], call.hierarchy, q_axis=q_axis, k_axis=k_axis, key_lengths=lengths)
        plan = pooled_plan(x[0], x[1], *arguments)
        assert plan is not None
        return sparse_attention(x[0], x[1], x[2], plan, return_lse=True, impl="triton")

    own = llsa_plan(tensors[0], tensors[1], *arguments)
    return compared(tensors, kernels, reference, gradients=call.gradients) | {"picks": _same_picks(picked, own)}


def _same_picks(one: BlockPlan, other: BlockPlan) -> bool:
    rows = [(one.rows, other.rows)] + [(s.rows, t.rows) for s, t in zip(one.coarse, other.coarse, strict=True)]
    return all(_entries(a) == _entries(b) for a, b in rows if a is not None and b is not None)


def _entries(rows: BlockRows) -> list[list[int]]:
    table = rows.indices.flatten(0, 2)
    counts = rows.counts.flatten() if rows.counts is not None else torch.full((len(table),), table.shape[1])
    return [sorted(row[:count].tolist()) for row, count in zip(table, counts, strict=True)]


def main() -> None:
    torch.set_num_threads(1)
    # Memory that nobody wrote to holds NaN, as it may on a device.
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    found = {f"llsa {name}": of_llsa(call) for name, call in LLSA.items()}
    for case in cases.CASES:
        found[f"{case.name}-float32"] = of_case(case, torch.float32, gradients=case.name not in FORWARD_ALONE)
        for dtype in (torch.bfloat16, torch.float16):
            if case.name in HALF:
                name = f"{case.name}-{str(dtype).removeprefix('torch.')}"
                found[name] = of_case(case, dtype, gradients=False)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
