"""The Triton kernels that policies search with, in Triton's interpreter, against plain PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.policies.adaspa import block_mass, fused_mass
from chatdit.kernels.policies.geometry import Geometry
from chatdit.kernels.policies.svg2 import lloyd

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def interpreted(interpreter: None) -> dict[str, dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("interpreted_search.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, dict[str, Any]] = json.loads(process.stdout)
    return found


def test_block_shares_are_dense_attentions(interpreted: dict[str, dict[str, Any]]) -> None:
    found = interpreted["masses"]
    errors = {name: value for name, value in found.items() if not name.endswith("-sum")}
    assert len(errors) == 5
    for name, error in errors.items():
        assert error < 1e-5, name
    assert found["plain-float32-sum"] == pytest.approx(1, abs=1e-5), "a block's shares are all of attention"
    assert found["text-float32-sum"] < 0.999, "a part of it is with the text"


def test_tokens_go_to_their_nearest_centroid(interpreted: dict[str, dict[str, Any]]) -> None:
    found = interpreted["clusters"]
    assert found["excess-float32"] < 1e-5
    assert found["excess-bfloat16"] < 1e-3 and found["excess-float16"] < 1e-4


def test_sums_over_clusters_leave_padding_out(interpreted: dict[str, dict[str, Any]]) -> None:
    found = interpreted["clusters"]
    assert all(found[f"sums-{dtype}"] < 1e-5 for dtype in ("float32", "bfloat16", "float16"))


def test_whole_runs_are_the_same(interpreted: dict[str, dict[str, Any]]) -> None:
    found = interpreted["clusters"]
    for name in ("all", "some"):
        assert found[f"labels-{name}"] and found[f"sizes-{name}"] and found[f"centroids-{name}"] < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_gpu_shares_are_those_of_the_cpu(width: int, dtype: torch.dtype) -> None:
    geometry = Geometry(40, 33, text=(Segment(0, 50),))
    q, k = torch.randn(2, 1, 2, geometry.length, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    want, lse = block_mass(q, k, geometry, 64)
    got, own = fused_mass(q.cuda(), k.cuda(), geometry, 64, None)
    torch.testing.assert_close(own.cpu(), lse, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(got.cpu(), want, atol=1e-4, rtol=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_gpu_clusters_are_those_of_the_cpu(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    places = 3 * torch.randn(1, 2, 20, 1, 128, generator=generator)
    x = (places + 0.3 * torch.randn(1, 2, 20, 100, 128, generator=generator)).flatten(2, 3).to(dtype)
    plain, fused = lloyd(x, 20, 4, None, None, triton=False), lloyd(x.cuda(), 20, 4, None, None, triton=True)
    assert (fused.labels.cpu() == plain.labels).float().mean() > 0.999
    torch.testing.assert_close(fused.centroids.cpu(), plain.centroids, atol=2e-2, rtol=1e-2)
