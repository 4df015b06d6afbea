"""Slots and the order of running."""

from __future__ import annotations

import pytest
from pydantic import JsonValue, ValidationError

from chatdit.agents.dataflow import fill, find_cycle, needs, parse_slot, raw_slots, run_order
from chatdit.agents.plan import InputSlot, Node, NodeSlot
from chatdit.tools.types import ImageRef

PICTURE = ImageRef(sha256="a" * 64, width=8, height=8)


def node(name: str, *wanted: str) -> Node:
    return Node(id=name, tool="generate", args={"images": [{"$node": other} for other in wanted]})


def test_slots_are_found_with_their_places() -> None:
    args: JsonValue = {"a": [{"image": {"$input": "i"}}, 3], "b": {"$node": "n", "index": 2}, "c": "$node"}
    assert [(place, parse_slot(raw)) for place, raw in raw_slots(args)] == [
        (("a", 0, "image"), InputSlot.model_validate({"$input": "i"})),
        (("b",), NodeSlot.model_validate({"$node": "n", "index": 2})),
    ]


def test_fill_changes_slots_alone() -> None:
    args: JsonValue = {"a": [{"$input": "i"}, "x", None], "b": 1.5}
    assert fill(args, lambda slot: PICTURE) == {"a": [PICTURE.model_dump(), "x", None], "b": 1.5}


@pytest.mark.parametrize("raw", [{"$file": "x"}, {"$node": 3}, {"$input": "i", "index": 0}])
def test_malformed_slots_are_refused(raw: dict[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        parse_slot(raw)


def test_order_keeps_the_plans_where_it_can() -> None:
    nodes = [node("d", "b"), node("a"), node("b", "a", "a"), node("c")]
    assert [n.id for n in run_order(nodes)] == ["a", "b", "d", "c"]
    assert needs(nodes[2]) == ("a",)


def test_cycle_is_found_and_starts_where_it_ends() -> None:
    cycle = find_cycle([node("a", "b"), node("b", "a"), node("c")])
    assert cycle is not None and cycle[0] == cycle[-1] and set(cycle) == {"a", "b"}
    assert find_cycle([node("a"), node("b", "a", "nowhere")]) is None
