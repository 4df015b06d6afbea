"""The density of a plan is the share of pairs that the reference lets meet."""

from __future__ import annotations

import pytest
import torch

from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.plan.block_plan import dense_plan
from chatdit.kernels.plan.density import plan_density
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.efficient_vdit import EfficientVdit
from chatdit.kernels.policies.geometry import Geometry, Place, Policy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.sparse_vdit import Pattern, PatternTable, SparseVdit
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.reference import sparse_reference

TABLE = PatternTable(((Pattern("skip"), Pattern("full"), Pattern("stripe", (0,))),), block=16, window=1)
POLICIES: dict[str, Policy] = {
    "fixed rows": Vsa(k=3),
    "ragged rows": Draft(0.7, (4, 4), 0),
    "counts and variable blocks for each head": Svg2(7, 11, 0.7, dense_steps=0),
    "counts for each head": AdaSpa(0.6, block=16, search_steps=(0,)),
    "frames": EfficientVdit(2),
    "kinds of heads": SparseVdit(TABLE, 0, 0),
}


@pytest.mark.parametrize("name", POLICIES)
def test_density_is_the_share_of_pairs_that_meet(name: str) -> None:
    geometry = Geometry(7, 9, 3, text=(Segment(0, 5),))
    q, k = torch.randn(2, 2, 3, geometry.length, 32)
    plan = POLICIES[name](q, k, geometry, Place(30, 50), Place(0, 1))
    each = torch.eye(geometry.length).expand(2, 3, -1, -1)
    met = sparse_reference(q, k, each, plan, (), 0.1).out > 0
    torch.testing.assert_close(plan_density(plan, 3, q.device), met.float().mean(), atol=1e-5, rtol=0)


def test_summaries_count_as_one_key_each() -> None:
    geometry = Geometry(8, 8)
    q, k = torch.randn(2, 1, 2, 64, 32)
    plan = Llsa(Hierarchy(k=2))(q, k, geometry, Place(0, 1), Place(0, 1))
    assert float(plan_density(plan, 2, q.device)) == pytest.approx((2 * 16 + 4) / 64)


def test_blocks_met_in_part_count_in_full() -> None:
    geometry = Geometry(8, 8)
    q = torch.randn(1, 1, 64, 32)
    plan = Clear(radius=3, tile=(4, 4))(q, q, geometry, Place(0, 1), Place(0, 1))
    assert plan.partial is not None
    assert float(plan_density(plan, 1, q.device)) == 1.0


def test_everything_is_one() -> None:
    assert float(plan_density(dense_plan(50, 70, heads=3), 3, torch.device("cpu"))) == 1.0
