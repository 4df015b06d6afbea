"""How pictures flow through a plan: the slots inside args, who needs whom, and the order of running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from pydantic import JsonValue

from chatdit.agents.plan import InputSlot, Node, NodeSlot
from chatdit.tools.types import ImageRef

Place = tuple[str | int, ...]
"""Keys and indices from the top of args down to a value."""
Slot = InputSlot | NodeSlot


def raw_slots(value: JsonValue, place: Place = ()) -> Iterator[tuple[Place, dict[str, JsonValue]]]:
    """Every object with a `$` key, well formed or not, with its place."""
    if isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            yield place, value
            return
        for key, inner in value.items():
            yield from raw_slots(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from raw_slots(inner, (*place, index))


def parse_slot(raw: dict[str, JsonValue]) -> Slot:
    """Raises pydantic.ValidationError for anything but `{"$input": …}` and `{"$node": …, "index": …}`."""
    return NodeSlot.model_validate(raw) if "$node" in raw else InputSlot.model_validate(raw)


def fill(value: JsonValue, image_of: Callable[[Slot], ImageRef]) -> JsonValue:
    """`value` with each slot replaced by the JSON of its image."""
    if isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            filled: dict[str, JsonValue] = image_of(parse_slot(value)).model_dump(mode="json")
            return filled
        return {key: fill(inner, image_of) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, image_of) for inner in value]
    return value


def needs(node: Node) -> tuple[str, ...]:
    """Ids of the nodes whose pictures `node` takes, each once, in order of mention."""
    found = (raw["$node"] for _, raw in raw_slots(node.args) if "$node" in raw)
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str)))


def run_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Each node behind those it needs, and otherwise in the order given.

    Raises graphlib.CycleError, whose second argument is the cycle.
    """
    known = {node.id for node in nodes}
    waiting = {node.id: [name for name in needs(node) if name in known] for node in nodes}
    TopologicalSorter(waiting).prepare()
    ordered: list[Node] = []
    left = list(nodes)
    done: set[str] = set()
    while left:
        node = next(node for node in left if done.issuperset(waiting[node.id]))
        left.remove(node)
        ordered.append(node)
        done.add(node.id)
    return tuple(ordered)


def find_cycle(nodes: Sequence[Node]) -> tuple[str, ...] | None:
    """`("a", "b", "a")` when a needs b and b needs a; None for an acyclic plan."""
    try:
        run_order(nodes)
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return None
