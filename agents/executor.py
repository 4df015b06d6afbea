"""The plan executor: one node after the other, each node's output on disk before the next one starts."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from pydantic import ValidationError

from chatdit.agents.dataflow import Slot, fill, run_order
from chatdit.agents.events import NodeFinished, NodeProgress, NodeStarted
from chatdit.agents.node_cache import NodeCache
from chatdit.agents.plan import InputSlot, Node, Plan
from chatdit.tools.tool import RunContext, Tool
from chatdit.tools.types import Cancelled, ImageRef, Progress, ToolError, ToolInput, ToolOutput

NodeEvent = NodeStarted | NodeProgress | NodeFinished

# One lock a device for the whole process: every session that draws on it waits for its turn.
_DEVICES: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class NodeError(ToolError):
    """A node failed; the outputs of those before it are stored. `__cause__` is what the tool raised."""

    def __init__(self, node: Node, reason: str) -> None:
        super().__init__(f"{node.id} ({node.tool}) failed: {reason}")
        self.node = node.id
        self.tool = node.tool


def execute(
    plan: Plan,
    tools: Mapping[str, Tool],
    context: RunContext,
    cache: NodeCache,
    on_event: Callable[[NodeEvent], None] = lambda event: None,
    *,
    device: str = "cpu",
) -> dict[str, ToolOutput]:
    """Run a checked plan and return each node's output by its id; what `cache` holds is not run again.

    `on_event` may raise Cancelled at any event: it passes through, and finished nodes stay stored.
    Raises NodeError when a node fails.
    """
    made: dict[str, ToolOutput] = {}
    for node in run_order(plan.nodes):
        tool = tools[node.tool]
        with _blaming(node):
            asked = _input(node, tool, plan, made)
            key = cache.key(tool, asked)
            output = cache.read(key, tool, context.store)
        cached = output is not None
        if output is None:
            on_event(NodeStarted(node.id, node.tool))
            output = _run(node, tool, asked, context, on_event, device)
            with _blaming(node):
                cache.write(key, output)
        made[node.id] = output
        on_event(NodeFinished(node.id, output, cached))
    return made


def _input(node: Node, tool: Tool, plan: Plan, made: Mapping[str, ToolOutput]) -> ToolInput:
    def image_of(slot: Slot) -> ImageRef:
        if isinstance(slot, InputSlot):
            return plan.inputs[slot.input]
        images = made[slot.node].images
        if slot.index >= len(images):
            raise ToolError(f"{slot.node} made {len(images)} pictures: expected one with index {slot.index}")
        return images[slot.index]

    asked = tool.Input.model_validate(fill(node.args, image_of))
    if problems := tool.validate(asked):
        raise ToolError("; ".join(str(problem) for problem in problems))
    return asked


def _run(
    node: Node,
    tool: Tool,
    asked: ToolInput,
    context: RunContext,
    on_event: Callable[[NodeEvent], None],
    device: str,
) -> ToolOutput:
    def report(progress: Progress) -> None:
        on_event(NodeProgress(node.id, progress))

    with _turn_on(device, report), _blaming(node):
        return tool.run(asked, replace(context, progress=report))


@contextmanager
def _turn_on(device: str, report: Callable[[Progress], None]) -> Iterator[None]:
    """Hold the device's lock; while another session has it, report so, which is also where one can cancel."""
    lock = _DEVICES[device]
    while not lock.acquire(timeout=0.2):
        report(Progress(f"waiting for {device}", 0, 1))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _blaming(node: Node) -> Iterator[None]:
    try:
        yield
    except Cancelled:
        raise
    except ToolError as error:
        raise NodeError(node, str(error)) from error
    except ValidationError as error:
        raise NodeError(node, f"its input is not valid: {error.errors()[0]['msg']}") from error
    except Exception as error:
        raise NodeError(node, f"{type(error).__name__}: {error}") from error
