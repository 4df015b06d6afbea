"""Run by test_triton_forward.py in a process of its own, for the interpreter must be chosen before triton is imported.

Prints, for each call of the list and each dtype asked for, the errors against the reference in fp64 as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from chatdit.kernels.attention_output import AttentionOutput
from chatdit.kernels.sparse_attention import SparseImplementation, sparse_attention

_SPEC = importlib.util.spec_from_file_location("cases", Path(__file__).with_name("conftest.py"))
assert _SPEC is not None and _SPEC.loader is not None
cases = importlib.util.module_from_spec(_SPEC)
sys.modules["cases"] = cases
_SPEC.loader.exec_module(cases)

HALF = {"text", "disc", "variable"}


def run(case: cases.Case, tensors: list[Tensor], impl: SparseImplementation) -> AttentionOutput:  # type: ignore[name-defined]
    q, k, v, *_ = tensors
    return sparse_attention(q, k, v, case.plan(tensors), return_lse=True, impl=impl)


def errors(case: cases.Case, dtype: torch.dtype) -> dict[str, object]:  # type: ignore[name-defined]
    tensors = case.tensors(dtype)
    truth = run(case, [x.double() for x in tensors], "reference")
    own, got = run(case, tensors, "reference"), run(case, tensors, "triton")
    assert truth.lse is not None and got.lse is not None
    blind = truth.lse == -torch.inf
    lse = (got.lse.double() - truth.lse).masked_fill(blind, 0.0)
    return {
        "error": float((got.out.double() - truth.out).norm()),
        "budget": float(2 * (own.out.double() - truth.out).norm()),
        "lse": float(lse.abs().max()),
        "blind": bool(torch.equal(got.lse == -torch.inf, blind)),
    }


def main() -> None:
    torch.set_num_threads(1)
    found = {}
    for case in cases.CASES:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            if dtype == torch.float32 or case.name in HALF:
                found[f"{case.name}-{str(dtype).removeprefix('torch.')}"] = errors(case, dtype)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
