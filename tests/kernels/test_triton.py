"""The Triton kernels in Triton's interpreter, against the reference in fp64; and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.predicates import Disc
from chatdit.kernels.sparse_attention import sparse_attention

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def interpreted(interpreter: None) -> dict[str, dict[str, Any]]:
    script = Path(__file__).with_name("interpreted_triton.py")
    process = subprocess.run(
        [sys.executable, "-P", str(script)],
        # the products of one kind of CPU, for OpenBLAS rounds more on some that are newer
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, dict[str, Any]] = json.loads(process.stdout)
    return found


def check(name: str, found: dict[str, Any]) -> None:
    """Output and gradients within twice the error of the dtype itself, the LSE near, nothing left unwritten."""
    for error, own in found["errors"]:
        assert error <= 2 * own, (name, found["errors"])
    assert found["lse"] < (1e-5 if "float16" not in name else 1e-2), name
    assert found["blind"], name
    assert found["finite"], name


def test_the_kernels_mean_what_the_reference_means(case: Any, interpreted: dict[str, dict[str, Any]]) -> None:
    mine = {name: found for name, found in interpreted.items() if name.rpartition("-")[0] == case.name}
    assert f"{case.name}-float32" in mine
    for name, found in mine.items():
        check(name, found)


def test_llsa_means_what_the_reference_means(interpreted: dict[str, dict[str, Any]]) -> None:
    """Through one call and through a plan; the kernels pick what torch picks."""
    mine = {name: found for name, found in interpreted.items() if name.startswith("llsa ")}
    assert len(mine) >= 9
    for name, found in mine.items():
        check(name, found)
        assert found["picks"], name


def test_gradients_and_half_types_are_among_what_was_run(interpreted: dict[str, dict[str, Any]]) -> None:
    assert sum(len(found["errors"]) > 1 for found in interpreted.values()) >= 17
    assert sum("bfloat16" in name for name in interpreted) >= 3
    assert sum("-float16" in name or " float16" in name for name in interpreted) >= 3


def test_what_it_cannot_do_is_refused() -> None:
    x = torch.zeros(1, 1, 64, 32)
    axis = BlockAxis(64, 16)
    rows = BlockRows(torch.arange(4, dtype=torch.int32).view(1, 1, 4, 1))
    plan = BlockPlan(axis, axis, rows)
    with pytest.raises(KernelError, match="runs there only under TRITON_INTERPRET=1"):
        sparse_attention(x, x, x, plan, impl="triton")
    with pytest.raises(KernelError, match=r"q is torch.float64; impl 'triton' takes fp32"):
        sparse_attention(x.double(), x.double(), x.double(), plan, impl="triton")
    with pytest.raises(KernelError, match="return_block_mass is True; impl 'triton' does not measure it"):
        sparse_attention(x, x, x, plan, return_block_mass=True, impl="triton")
    keys = torch.zeros(1, 1, 4, 32)
    coarse = CoarseStream(keys, keys, selected="exclude")
    mixed = BlockPlan(axis, axis, partial=rows, predicate=Disc(8, 8, 2.0), coarse=(coarse,))
    with pytest.raises(KernelError, match="'exclude' beside partial rows"):
        sparse_attention(x, x, x, mixed, impl="triton")
