"""What holds for all policies: valid plans for any grid, text dense, padding unread, gather as the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from chatdit.kernels.errors import KernelError
from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.catalogue import POLICIES
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.efficient_vdit import EfficientVdit
from chatdit.kernels.policies.geometry import Geometry, Place, Policy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.nabla import Nabla
from chatdit.kernels.policies.sparse_vdit import Pattern, PatternTable, SparseVdit
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.tesa import Tesa
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.sparse_attention import sparse_attention

TABLE = PatternTable(
    ((Pattern("stripe", (0, 3)), Pattern("multi_diagonal"), Pattern("diagonal")),) * 4, block=32, window=1
)
VIDEO: dict[str, Policy] = {
    "llsa": Llsa(Hierarchy(k=3)),
    "draft": Draft(sparsity=0.7, patch=(4, 8)),
    "svg2": Svg2(q_clusters=7, k_clusters=11, p=0.7),
    "adaspa": AdaSpa(),
    "nabla": Nabla(p=0.5, window=(1, 1, 3), tile=(4, 4)),
    "vsa": Vsa(k=3),
    "efficient-vdit": EfficientVdit(2),
    "sparse-vdit": SparseVdit(TABLE),
    "tesa": Tesa(),
}
LATE = Place(30, 50)


def case(name: str) -> tuple[Policy, Geometry]:
    if name == "clear":
        return Clear(radius=5.5), Geometry(13, 22, text=(Segment(0, 9),))
    if name == "clear-pooled":
        return Clear(radius=5.5, down_factor=4), Geometry(12, 20, text=(Segment(240, 249),))
    return VIDEO[name], Geometry(9, 13, frames=5, text=(Segment(0, 4), Segment(589, 600)))


def forget(policy: Policy) -> None:
    """A run of its own: nothing is left of another's."""
    if isinstance(policy, Svg2 | AdaSpa):
        policy.remembered.clear()


NAMES = ["clear", "clear-pooled", *VIDEO]


def test_the_catalogue_is_complete() -> None:
    assert set(POLICIES) == set(VIDEO) | {"clear"}
    assert all(isinstance(VIDEO[name], POLICIES[name]) for name in VIDEO)


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_valid_and_mean_the_same_to_gather_and_reference(name: str, draw: Any) -> None:
    policy, geometry = case(name)
    forget(policy)
    q, k, v = (x.double() for x in draw(geometry.length))
    plan = policy(q, k, geometry, LATE, Place(3, 4))
    replace(plan, trusted=False)  # reads and checks every value
    out = sparse_attention(q, k, v, plan, impl="gather")
    torch.testing.assert_close(out, sparse_attention(q, k, v, plan, impl="reference"))
    dense = F.scaled_dot_product_attention(q, k, v)
    text = torch.cat([torch.arange(*segment) for segment in geometry.text])
    torch.testing.assert_close(out[:, :, text], dense[:, :, text])
    assert (out - dense).abs().max() > 1e-3, "nothing was left out"


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_never_read(name: str, draw: Any) -> None:
    _, geometry = case(name)
    lengths = torch.tensor([geometry.length, geometry.length - 150])
    geometry = replace(geometry, key_lengths=lengths)
    q, k, v = draw(geometry.length)
    beyond = (torch.arange(geometry.length) >= lengths[:, None])[:, None, :, None]
    outs = []
    for filling in (0.0, torch.nan):
        policy, _ = case(name)
        forget(policy)
        keys, values = (x.masked_fill(beyond, filling) for x in (k, v))
        plan = policy(q, keys, geometry, LATE, Place(3, 4))
        replace(plan, trusted=False)
        outs.append(sparse_attention(q, keys, values, plan))
    torch.testing.assert_close(outs[1], outs[0])


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_another_length_are_refused(name: str, draw: Any) -> None:
    policy, geometry = case(name)
    q, k, _ = draw(geometry.length + 1)
    with pytest.raises(KernelError, match=f"q has shape .*; the geometry has {geometry.length} tokens"):
        policy(q, k, geometry, LATE, Place(3, 4))


@pytest.mark.parametrize("name", ["llsa", "svg2", "adaspa", "vsa", "tesa"])
def test_plans_are_made_without_reading_the_device(name: str) -> None:
    """Tensors without data: a read would raise."""
    policy, geometry = case(name)
    forget(policy)
    q = torch.empty(2, 3, geometry.length, 32, device="meta")
    plan = policy(q, q, geometry, LATE, Place(3, 4))
    assert plan.rows is not None and plan.rows.indices.device.type == "meta"


def test_bad_geometries_are_refused() -> None:
    with pytest.raises(KernelError, match="width is 0"):
        Geometry(4, 0)
    with pytest.raises(KernelError, match=r"segments must ascend without overlap in 0..20"):
        Geometry(4, 4, text=(Segment(17, 21),))
