"""The few-step policy: its closed form is the solution of its own equation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from chatdit.tools.dit.flow_policy import FlowPolicy, segment_end, shifted


def _policy(start: Tensor, end: Tensor, points: int = 5) -> tuple[FlowPolicy, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    output = torch.randn(2, 6, points * 3, generator=generator, dtype=torch.float64)
    return FlowPolicy.of(x, output, start.double(), end.double()), x


def test_travel_solves_the_policys_own_equation() -> None:
    start, end = torch.tensor([1.0, 0.8]), torch.tensor([0.6, 0.3])
    policy, x = _policy(start, end)
    target = torch.tensor([0.65, 0.3], dtype=torch.float64)
    at, steps = x, 20_000
    for i in range(steps):
        now, after = (start + (target - start) * share for share in (i / steps, (i + 1) / steps))
        middle = (now + after) / 2
        half = at + policy.velocity(at, now) * ((after - now) / 2).view(-1, 1, 1)
        at = at + policy.velocity(half, middle) * (after - now).view(-1, 1, 1)
    torch.testing.assert_close(policy.travel(x, start.double(), target), at, atol=1e-7, rtol=1e-7)


def test_two_parts_of_a_way_are_the_whole() -> None:
    start, end = torch.tensor([0.9, 0.5]), torch.tensor([0.4, 0.0])
    policy, x = _policy(start, end)
    middle, target = (torch.tensor(t, dtype=torch.float64) for t in ([0.72, 0.31], [0.4, 0.0]))
    there = policy.travel(policy.travel(x, start.double(), middle), middle, target)
    torch.testing.assert_close(there, policy.travel(x, start.double(), target))
    assert there.isfinite().all()
    torch.testing.assert_close(there[1], policy.pictures[1, -1])


def test_equal_velocities_are_a_straight_line() -> None:
    x = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1))
    velocity = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(2))
    start, end = torch.tensor([0.8]), torch.tensor([0.2])
    policy = FlowPolicy.of(x, velocity.repeat(1, 1, 4), start, end)
    torch.testing.assert_close(policy.velocity(x, start), velocity)
    torch.testing.assert_close(policy.travel(x, start, torch.tensor([0.3])), x - 0.5 * velocity)
    # and beyond its segment, where the picture stays
    torch.testing.assert_close(policy.travel(x, start, torch.tensor([0.1])), x - 0.7 * velocity)


def test_pictures_are_linear_between_their_times() -> None:
    policy, _ = _policy(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.5]), points=3)
    at = policy.picture(torch.tensor([0.875, 0.5], dtype=torch.float64))
    torch.testing.assert_close(at[0], policy.pictures[0, :2].mean(dim=0))
    torch.testing.assert_close(at[1], policy.pictures[1, 2])


def test_gradients_reach_the_network_and_not_the_way() -> None:
    x = torch.randn(1, 2, 3)
    output = torch.randn(1, 2, 9, requires_grad=True)
    policy = FlowPolicy.of(x, output, torch.tensor([0.9]), torch.tensor([0.4]))
    reached = policy.detach().travel(x, torch.tensor([0.9]), torch.tensor([0.5]))
    assert not reached.requires_grad
    policy.velocity(reached, torch.tensor([0.5])).sum().backward()  # type: ignore[no-untyped-call]
    assert output.grad is not None and output.grad[..., :3].abs().sum() == 0 < output.grad[..., 6:].abs().sum()


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_segments_are_even_before_the_shift(shift: float) -> None:
    nodes = shifted(torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]), shift)
    torch.testing.assert_close(segment_end(nodes[:-1], 0.25, shift), nodes[1:])
    assert segment_end(shifted(torch.tensor([0.1]), shift), 0.25, shift).item() == 0
