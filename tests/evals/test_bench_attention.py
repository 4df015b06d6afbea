"""The attention benchmark: what it says about plans and inputs is so, and it times nothing that it cannot check."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chatdit.evals import bench_attention
from chatdit.evals.attention_cases import (
    Gate,
    Shape,
    density,
    gate_hierarchy,
    gate_plan,
    hierarchy_density,
    make_inputs,
    make_video,
    peer_llsa,
    random_blocks,
)
from chatdit.evals.bench_attention import exponent
from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.morton import morton_order
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows, rows_from_mask
from chatdit.kernels.policies.geometry import Geometry, Place

CPU = torch.device("cpu")


def row(tokens: int, ms: float, **other: object) -> dict[str, object]:
    known = {"policy": "llsa", "head_dim": 64, "direction": "forward", "inputs": "random"}
    return known | {"tokens": tokens, "ms": ms} | other


def test_the_exponent_is_the_slope_of_the_fastest_times() -> None:
    rows = [row(n, 1e-6 * n**1.5) for n in (16_384, 65_536, 262_144)]
    slower = [row(65_536, 1e9), row(65_536, 1e-9, inputs="smooth"), row(16_384, 1e-9, policy="blocks")]
    assert exponent([*rows, *slower]) == pytest.approx(1.5)
    assert exponent(rows[:1]) is None


def test_density_is_the_share_of_block_pairs() -> None:
    axis = BlockAxis(80, 16)
    mask = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[..., 0] = True
    shares = mask.double().mean((0, 2, 3))
    assert density(BlockPlan(axis, axis, rows_from_mask(mask)), 2) == pytest.approx(float(shares.mean()))
    counts = torch.tensor([1, 2, 3, 1, 1]).view(1, 1, 5)
    indices = torch.arange(3, dtype=torch.int32).expand(1, 1, 5, 3)
    kinds = BlockPlan(axis, axis, BlockRows(indices, counts), heads=("dense", "skip", 0, 0))
    assert density(kinds, 4) == pytest.approx((1 + 0 + 8 / 25 * 2) / 4)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_random_blocks_have_the_density_asked_for(share: float) -> None:
    plan = random_blocks(Shape(1, 2, 4096, 64), share, CPU)
    assert density(plan, 2) == pytest.approx(share, abs=1 / 32)


def test_a_hierarchys_density_counts_summaries_too() -> None:
    """128 tokens, 128 summaries of the first level and 256 of the second: 512 of 65,536."""
    assert hierarchy_density(65_536, Hierarchy(levels=2)) == pytest.approx(512 / 65_536)


def test_smooth_inputs_are_alike_in_neighbours_on_the_grid() -> None:
    q, _, v = make_inputs("smooth", Shape(1, 2, 4096, 64), CPU, torch.float32)
    grid = torch.empty_like(q)
    grid[:, :, morton_order(64, 64)] = q
    near = (grid[:, :, :-1] * grid[:, :, 1:]).mean() / (grid**2).mean()
    assert near > 0.7
    assert abs(float((v[:, :, :-1] * v[:, :, 1:]).mean())) < 0.05
    with pytest.raises(ValueError, match="512: a smooth field needs a square grid"):
        make_inputs("smooth", Shape(1, 1, 512, 64), CPU, torch.float32)


def test_a_gate_lets_through_twice_the_dtypes_own_error() -> None:
    assert Gate("x", 0.02, 0.01).passed
    assert not Gate("x", 0.021, 0.01).passed


def test_what_cannot_be_timed_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'lsa' is not known: expected llsa, blocks, policies"):
        bench_attention.run(device="cpu", only=("lsa",))
    with pytest.raises(ValueError, match="holds no folder src/llsa"):
        peer_llsa(tmp_path)
    (tmp_path / "llsa").mkdir()
    with pytest.raises(ValueError, match="no checkout of the reference that can be imported"):
        peer_llsa(tmp_path)
    with pytest.raises(
        RuntimeError, match="no CUDA device at 'cpu': run on one, or time the CPU with chatdit bench gather"
    ):
        bench_attention.run(device="cpu")


def test_near_tokens_of_a_video_meet_more_than_far_ones() -> None:
    geometry = Geometry(12, 10, frames=4)
    q, k, v = make_video(geometry, 2, 64, torch.device("cpu"), torch.float32)
    assert q.shape == k.shape == v.shape == (1, 2, 480, 64)
    logits = (q @ k.mT / 8)[0].mean(dim=0).view(4, 12, 10, 4, 12, 10)
    own, beside, far = (
        logits[1, 5, 4, frame, row, column] for frame, row, column in ((1, 5, 4), (1, 5, 5), (3, 11, 9))
    )
    assert own > beside > far and own - far > 6
    assert k.std().item() == pytest.approx(1, abs=0.1)


def test_policies_of_the_list_plan_a_video() -> None:
    geometry = Geometry(48, 48, frames=2)
    given = make_video(geometry, 2, 128, torch.device("cpu"), torch.float32)
    for name, make in bench_attention.POLICIES.items():
        plan = make(given, geometry)(given[0], given[1], geometry, Place(30, 50), Place(10, 40))
        share = density(plan, 2)
        assert 0 < share < 1 or (name, share) == ("efficient-vdit", 1.0), "of two frames it keeps all"


@pytest.mark.gpu
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("width", [64, 128])
def test_llsa_kernels_pass_their_gate(width: int, levels: int) -> None:
    shape = Shape(1, 2, 2048, width)
    gates = gate_hierarchy(shape, "random", torch.device("cuda"), torch.bfloat16, levels)
    assert len(gates) == 4 and all(gate.passed for gate in gates), gates


@pytest.mark.gpu
@pytest.mark.parametrize("width", [64, 128])
def test_block_kernels_pass_their_gate(width: int) -> None:
    shape, device = Shape(1, 2, 2000, width), torch.device("cuda")
    given = make_inputs("random", shape, device, torch.bfloat16)
    gates = gate_plan("blocks", given, random_blocks(shape, 0.3, device))
    assert len(gates) == 4 and all(gate.passed for gate in gates), gates
