"""What follows from sizes alone is made once, and never of tensors without values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.policies import remembered
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.kernels.policies.llsa import Llsa

CPU = torch.device("cpu")


def test_the_same_arguments_give_the_same_tensor_and_others_another() -> None:
    made: list[tuple[int, bool]] = []

    @remembered.remembered
    def numbers(device: torch.device, count: int, up: bool = True) -> Tensor:
        made.append((count, up))
        return torch.arange(count, device=device) * (1 if up else -1)

    assert numbers(CPU, 3) is numbers(CPU, 3)
    assert numbers(CPU, 4).tolist() == [0, 1, 2, 3] and numbers(CPU, 3, up=False).tolist() == [0, -1, -2]
    assert made == [(3, True), (4, True), (3, False)]


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    made: list[int] = []

    @remembered.remembered
    def numbers(device: torch.device, count: int) -> Tensor:
        made.append(count)
        return torch.arange(count, device=device)

    for count in (1, 2, 3, 3, 2, 1):
        numbers(CPU, count)
    assert made == [1, 2, 3, 1], "the oldest goes first"


def test_nothing_is_kept_of_a_tracing_or_without_values() -> None:
    made: list[str] = []

    @remembered.remembered
    def numbers(device: torch.device, count: int) -> Tensor:
        made.append(device.type)
        return torch.arange(count, device=device)

    with FakeTensorMode():
        numbers(CPU, 5)
    assert numbers(CPU, 5).tolist() == [0, 1, 2, 3, 4]
    numbers(torch.device("meta"), 5)
    numbers(torch.device("meta"), 5)
    assert made == ["cpu", "cpu", "meta", "meta"]


def test_what_was_first_made_in_inference_mode_serves_a_training() -> None:
    geometry = Geometry(10, 14)
    q = torch.randn(1, 1, geometry.length, 32)
    with torch.inference_mode():
        Llsa(Hierarchy(k=2))(q, q, geometry, Place(0, 1), Place(0, 1))
    plan = Llsa(Hierarchy(k=2))(q, q, geometry, Place(0, 1), Place(0, 1))
    assert plan.q.order is not None and not plan.q.order.is_inference()
    x = torch.randn(geometry.body, requires_grad=True)
    x[plan.q.order[0, 0]].sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and bool((x.grad == 1).all())
