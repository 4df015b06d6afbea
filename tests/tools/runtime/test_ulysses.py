"""Two processes that share a model's sequence compute what one computes, with a policy and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def members(pair: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pair(Path(__file__).with_name("ulysses_member.py"))
    return found


@pytest.mark.parametrize("how", ["even", "attached first", "uneven", "compiled"])
def test_a_policy_means_the_same_on_two_devices(members: list[dict[str, Any]], how: str) -> None:
    for member in members:
        found = member[how]
        assert found["effect"] > 1e-3, "the policy changes the output"
        assert found["error"] < 1e-5
        assert found["routes"] == ["sparse"]
        assert found["tokens"] == [128 + (7 if how == "uneven" else 6)], "of the whole sequence"


@pytest.mark.parametrize("how", ["even", "attached first", "uneven", "compiled"])
def test_what_stays_dense_and_what_is_detached_is_right_too(members: list[dict[str, Any]], how: str) -> None:
    for member in members:
        assert member[how]["dense_error"] < 1e-5 and member[how]["dense_routes"] == ["dense"]
        assert member[how]["after"] < 1e-5


def test_tokens_come_together_in_their_order_and_go_back(members: list[dict[str, Any]]) -> None:
    assert [member["rank"] for member in members] == [0, 1]
    for member in members:
        found = member["exchanged"]
        assert found["gathered"] and found["scattered"] and found["gradient"]
        assert found["odd heads"] == "3 heads, which 2 devices can't share evenly"
        assert "9 tokens on this device; the model's text and grid give it" in found["other length"]
