"""The Triton forward in Triton's interpreter, against the reference in fp64; and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.kernels.block_axis import BlockAxis
from chatdit.kernels.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.block_rows import BlockRows
from chatdit.kernels.errors import KernelError
from chatdit.kernels.predicates import Disc
from chatdit.kernels.sparse_attention import sparse_attention

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, Any]]:
    script = Path(__file__).with_name("interpreted_triton.py")
    process = subprocess.run(
        [sys.executable, "-P", str(script)],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, dict[str, Any]] = json.loads(process.stdout)
    return found


def test_the_kernel_means_what_the_reference_means(case: Any, interpreted: dict[str, dict[str, Any]]) -> None:
    mine = {name: errors for name, errors in interpreted.items() if name.rpartition("-")[0] == case.name}
    assert f"{case.name}-float32" in mine
    for name, errors in mine.items():
        assert errors["error"] <= errors["budget"], name
        assert errors["lse"] < (1e-5 if name.endswith("float32") else 1e-2), name
        assert errors["blind"], name


def test_half_types_are_among_what_was_run(interpreted: dict[str, dict[str, Any]]) -> None:
    assert sum(name.endswith("-bfloat16") for name in interpreted) >= 3
    assert sum(name.endswith("-float16") for name in interpreted) >= 3


def test_what_it_cannot_do_is_refused() -> None:
    x = torch.zeros(1, 1, 64, 32)
    axis = BlockAxis(64, 16)
    rows = BlockRows(torch.arange(4, dtype=torch.int32).view(1, 1, 4, 1))
    plan = BlockPlan(axis, axis, rows)
    with pytest.raises(KernelError, match="runs there only under TRITON_INTERPRET=1"):
        sparse_attention(x, x, x, plan, impl="triton")
    with pytest.raises(KernelError, match="no backward yet, and a gradient is wanted"):
        sparse_attention(x.clone().requires_grad_(), x, x, plan, impl="triton")
    with pytest.raises(KernelError, match=r"q is torch.float64; impl 'triton' takes fp32"):
        sparse_attention(x.double(), x.double(), x.double(), plan, impl="triton")
    with pytest.raises(KernelError, match="return_block_mass is True; impl 'triton' does not measure it"):
        sparse_attention(x, x, x, plan, return_block_mass=True, impl="triton")
    keys = torch.zeros(1, 1, 4, 32)
    coarse = CoarseStream(keys, keys, selected="exclude")
    mixed = BlockPlan(axis, axis, partial=rows, predicate=Disc(8, 8, 2.0), coarse=(coarse,))
    with pytest.raises(KernelError, match="'exclude' beside partial rows"):
        sparse_attention(x, x, x, mixed, impl="triton")
