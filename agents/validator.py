"""The plan validator: everything that can be known to be wrong with a plan before a weight is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from chatdit.agents.dataflow import Place, Slot, fill, find_cycle, parse_slot, raw_slots, run_order
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Budget, InputSlot, Node, Plan
from chatdit.tools.compose import ComposeInput
from chatdit.tools.tool import PainterDefaults, Tool
from chatdit.tools.types import ImageRef, Problem, ToolInput

UNKNOWN_SIZE = (256, 256)
"""Width and height that stand in for a picture whose size is the painter's choice."""

Sizes = tuple[tuple[int, int] | None, ...]


def check_plan(
    plan: Plan,
    tools: Mapping[str, Tool],
    instruction: Instruction | None = None,
    *,
    painter: PainterDefaults | None = None,
    limits: Budget | None = None,
) -> list[Problem]:
    """All faults of `plan`, in reading order; an empty list means it may run. Pure: no weights, no files.

    With `instruction`, the plan's inputs must be the instruction's and each output asked for must be
    answered exactly once. With `painter`, also what that painter cannot do. `limits` caps the budget
    that the plan gives itself.
    """
    check = _Check(plan, tools, painter, limits or Budget())
    problems = [*check.ids(), *check.cycle(), *check.nodes(), *check.budget(), *check.outputs(), *check.unused()]
    if instruction is not None:
        problems += [*_inputs(plan, instruction), *_answers(plan, instruction)]
    return problems


@dataclass
class _Check:
    plan: Plan
    tools: Mapping[str, Tool]
    painter: PainterDefaults | None
    limits: Budget
    made: dict[str, Sizes | None] = field(default_factory=dict)
    """Sizes of a node's pictures; None while their number is not known."""

    def ids(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for i, node in enumerate(self.plan.nodes):
            if node.id in seen:
                yield Problem(path=f"nodes.{i}.id", code="duplicate_id", expected="an id used once", got=node.id)
            seen.add(node.id)

    def cycle(self) -> Iterator[Problem]:
        if cycle := find_cycle(self.plan.nodes):
            got = " needs ".join(cycle)
            yield Problem(path="nodes", code="cycle", expected="nodes that do not need themselves", got=got)

    def nodes(self) -> Iterator[Problem]:
        index = {id(node): i for i, node in enumerate(self.plan.nodes)}
        nodes = self.plan.nodes if find_cycle(self.plan.nodes) else run_order(self.plan.nodes)
        found = [(index[id(node)], problem) for node in nodes for problem in self._node(index[id(node)], node)]
        yield from (problem for _, problem in sorted(found, key=lambda pair: pair[0]))

    def budget(self) -> Iterator[Problem]:
        most_nodes = min(self.plan.budget.max_nodes, self.limits.max_nodes)
        most_images = min(self.plan.budget.max_images, self.limits.max_images)
        images = sum(len(sizes) for sizes in self.made.values() if sizes is not None)
        if len(self.plan.nodes) > most_nodes:
            got = f"{len(self.plan.nodes)} nodes"
            yield Problem(path="nodes", code="over_budget", expected=f"at most {most_nodes} nodes", got=got)
        if images > most_images:
            got = f"{images} pictures"
            yield Problem(path="nodes", code="over_budget", expected=f"at most {most_images} pictures", got=got)

    def outputs(self) -> Iterator[Problem]:
        if not self.plan.outputs:
            yield Problem(path="outputs", code="empty_plan", expected="at least one output", got="none")
        answers = Counter(output.id for output in self.plan.outputs)
        taken: dict[tuple[str, int], str] = {}
        for i, output in enumerate(self.plan.outputs):
            path = f"outputs.{i}"
            if answers[output.id] > 1:
                answers[output.id] = 0
                yield Problem(path=path, code="duplicate_output", expected="one answer an output", got=output.id)
            yield from self._picture(path, output.node, output.index)
            other = taken.setdefault((output.node, output.index), output.id)
            if other != output.id:
                got = f"{output.node}[{output.index}] for both {other} and {output.id}"
                yield Problem(path=path, code="shared_picture", expected="a picture of its own", got=got)

    def unused(self) -> Iterator[Problem]:
        wanted = {output.node for output in self.plan.outputs}
        for node in self.plan.nodes:
            wanted.update(name for _, raw in raw_slots(node.args) if isinstance(name := raw.get("$node"), str))
        for i, node in enumerate(self.plan.nodes):
            if node.id not in wanted:
                expected = "a node that an output or another node takes a picture of"
                yield Problem(path=f"nodes.{i}", code="unused_node", expected=expected, got=node.id)

    def _node(self, i: int, node: Node) -> Iterator[Problem]:
        self.made.setdefault(node.id, None)
        tool = self.tools.get(node.tool)
        if tool is None:
            expected = f"one of: {', '.join(sorted(self.tools))}"
            yield Problem(path=f"nodes.{i}.tool", code="unknown_tool", expected=expected, got=node.tool)
            return
        slots = list(self._slots(i, node))
        yield from (problem for _, problem in slots if problem is not None)
        if all(problem is None for _, problem in slots):
            yield from self._args(i, node, tool, [place for place, _ in slots])

    def _slots(self, i: int, node: Node) -> Iterator[tuple[Place, Problem | None]]:
        for place, raw in raw_slots(node.args):
            path = _dotted(f"nodes.{i}.args", place)
            try:
                slot = parse_slot(raw)
            except ValidationError:
                expected = '{"$input": "input_1"} or {"$node": "draw_1", "index": 0}'
                yield place, Problem(path=path, code="bad_slot", expected=expected, got=_short(raw))
                continue
            yield place, next(self._source(path, slot), None)

    def _source(self, path: str, slot: Slot) -> Iterator[Problem]:
        if not isinstance(slot, InputSlot):
            yield from self._picture(path, slot.node, slot.index)
        elif slot.input not in self.plan.inputs:
            expected = f"one of the inputs: {', '.join(self.plan.inputs) or 'none given'}"
            yield Problem(path=path, code="unknown_input", expected=expected, got=slot.input)

    def _picture(self, path: str, node: str, index: int) -> Iterator[Problem]:
        names = [known.id for known in self.plan.nodes]
        sizes = self.made.get(node)
        if node not in names:
            expected = f"one of the nodes: {', '.join(names) or 'none given'}"
            yield Problem(path=path, code="unknown_node", expected=expected, got=node)
        elif sizes is not None and index >= len(sizes):
            expected = f"an index below {len(sizes)}, the number of pictures of {node}"
            yield Problem(path=path, code="bad_index", expected=expected, got=str(index))

    def _args(self, i: int, node: Node, tool: Tool, slots: list[Place]) -> Iterator[Problem]:
        path = f"nodes.{i}.args"
        try:
            asked = tool.Input.model_validate(fill(node.args, self._placeholder))
        except ValidationError as error:
            yield from _type_problems(path, error, slots)
            return
        self.made[node.id] = _sizes(asked)
        for problem in tool.validate(asked, self.painter):
            yield problem.model_copy(update={"path": f"{path}.{problem.path}" if problem.path else path})

    def _placeholder(self, slot: Slot) -> ImageRef:
        if isinstance(slot, InputSlot):
            return self.plan.inputs[slot.input]
        sizes = self.made.get(slot.node) or ()
        usual = (self.painter.width, self.painter.height) if self.painter else UNKNOWN_SIZE
        width, height = (sizes[slot.index] if slot.index < len(sizes) else None) or usual
        return ImageRef(sha256="0" * 64, width=width, height=height)


def _type_problems(path: str, error: ValidationError, slots: Sequence[Place]) -> Iterator[Problem]:
    faults = error.errors(include_url=False, include_context=False)
    places = [fault["loc"] for fault in faults]
    for fault, place in zip(faults, places, strict=True):
        # pydantic also calls a list too short when one of its items is bad
        if any(other != place and other[: len(place)] == place for other in places):
            continue
        code = "slot_kind" if any(place[: len(slot)] == slot for slot in slots) else "bad_args"
        yield Problem(path=_dotted(path, place), code=code, expected=fault["msg"], got=_short(fault["input"]))


def _inputs(plan: Plan, instruction: Instruction) -> Iterator[Problem]:
    given = {name: image for entry in instruction.inputs for name, image in entry.images().items()}
    for name, image in plan.inputs.items():
        if given.get(name) != image:
            expected = f"a picture of the instruction: {', '.join(given) or 'none given'}"
            yield Problem(path=f"inputs.{name}", code="unknown_input", expected=expected, got=image.sha256[:12])


def _answers(plan: Plan, instruction: Instruction) -> Iterator[Problem]:
    answered = [output.id for output in plan.outputs]
    asked = [output.id for output in instruction.outputs]
    for name in asked:
        if name not in answered:
            yield Problem(path="outputs", code="missing_output", expected=f"an answer to {name}", got="none")
    for i, name in enumerate(answered):
        if name not in asked:
            expected = f"one of the outputs asked for: {', '.join(asked) or 'none'}"
            yield Problem(path=f"outputs.{i}.id", code="unknown_output", expected=expected, got=name)


def _sizes(asked: ToolInput) -> Sizes | None:
    """What the input says itself; with `panels` a picture a panel, with an `image` one of its size; else not known."""
    if isinstance(asked, ComposeInput):
        return asked.sizes()
    image, panels = getattr(asked, "image", None), getattr(asked, "panels", None)
    if isinstance(image, ImageRef) and not getattr(asked, "instances", False):
        return ((image.width, image.height),)
    if not isinstance(panels, tuple):
        return None
    return tuple(_size(panel) for panel in panels)


def _size(panel: object) -> tuple[int, int] | None:
    width, height = getattr(panel, "width", None), getattr(panel, "height", None)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _dotted(start: str, place: Place) -> str:
    return ".".join((start, *(str(step) for step in place)))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
