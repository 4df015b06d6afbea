"""Noise levels: fixed shift, FLUX's shift by tokens, and what is refused."""

from __future__ import annotations

import math

import pytest

from chatdit.tools.dit.schedule import noise_levels
from chatdit.tools.types import ToolError

DEV = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}


def shifted(t: float, shift: float) -> float:
    return shift * t / (1 + (shift - 1) * t)


def test_a_fixed_shift() -> None:
    expected = [shifted(t, 2.0) for t in (1.0, 0.75, 0.5, 0.25)]
    assert noise_levels({"shift": 2.0}, 4, 64, None) == pytest.approx([*expected, 0.0])


def test_the_call_may_choose_another_shift() -> None:
    assert noise_levels({"shift": 2.0}, 2, 64, 5.0) == pytest.approx([1.0, shifted(0.5, 5.0), 0.0])
    assert noise_levels(DEV, 2, 64, 5.0) == pytest.approx([1.0, shifted(0.5, 5.0), 0.0])


@pytest.mark.parametrize(("tokens", "mu"), [(256, 0.5), (4096, 1.15)])
def test_flux_shifts_by_tokens(tokens: int, mu: float) -> None:
    assert noise_levels(DEV, 2, tokens, None) == pytest.approx([1.0, shifted(0.5, math.exp(mu)), 0.0])


def test_other_schedulers_are_refused() -> None:
    with pytest.raises(ToolError, match="scheduler is DDIMScheduler"):
        noise_levels({"_class_name": "DDIMScheduler"}, 4, 64, None)
    with pytest.raises(ToolError, match="deterministic"):
        noise_levels({"stochastic_sampling": True}, 4, 64, None)
