"""The executor: order, what is stored when, what runs again, and what stops it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import JsonValue

from chatdit.agents.events import NodeFinished, NodeProgress, NodeStarted
from chatdit.agents.executor import NodeError, execute
from chatdit.agents.node_cache import NodeCache
from chatdit.agents.plan import Node, Plan, PlanOutput
from chatdit.tools.types import Cancelled, ToolError

if TYPE_CHECKING:
    from chatdit.agents.executor import NodeEvent
    from chatdit.tools.types import ToolOutput
    from tests.agents.conftest import Bench


def plan_of(*captions: str, **sampling: JsonValue) -> Plan:
    """One independent node a caption."""
    nodes = [
        Node(id=f"draw_{i}", tool="generate", args={"panels": [{"caption": caption}], "sampling": sampling})
        for i, caption in enumerate(captions, start=1)
    ]
    return Plan(nodes=tuple(nodes), outputs=tuple(PlanOutput(id=f"output_{n.id}", node=n.id) for n in nodes))


def chain() -> Plan:
    """c needs b needs a, listed backwards."""

    def node(name: str, shown: str | None) -> Node:
        references: JsonValue = [{"image": {"$node": shown, "index": 0}}] if shown else []
        return Node(id=name, tool="generate", args={"panels": [{"caption": name}], "references": references})

    return Plan(nodes=(node("c", "b"), node("b", "a"), node("a", None)), outputs=(PlanOutput(id="output_1", node="c"),))


def go(bench: Bench, plan: Plan, events: list[NodeEvent] | None = None) -> dict[str, ToolOutput]:
    return execute(plan, bench.tools, bench.context, bench.cache, (events if events is not None else []).append)


def test_nodes_run_behind_those_they_need_and_see_their_pictures(bench: Bench) -> None:
    made = go(bench, chain())
    assert bench.runs == ["a", "b", "c"]
    assert len({output.images[0].sha256 for output in made.values()}) == 3
    assert all(bench.store.has(output.images[0].sha256) for output in made.values())


def test_events_tell_the_whole_story_in_order(bench: Bench) -> None:
    events: list[NodeEvent] = []
    made = go(bench, plan_of("x"), events)
    assert [type(event) for event in events] == [NodeStarted, NodeProgress, NodeProgress, NodeProgress, NodeFinished]
    assert events[-1] == NodeFinished("draw_1", made["draw_1"], cached=False)
    events.clear()
    assert go(bench, plan_of("x"), events) == made
    assert events == [NodeFinished("draw_1", made["draw_1"], cached=True)]
    assert bench.runs == ["x"]


def test_node_is_stored_before_the_next_one_starts(bench: Bench) -> None:
    stored: list[tuple[str, int]] = []

    def look(event: NodeEvent) -> None:
        if isinstance(event, NodeStarted):
            stored.append((event.id, len(list(bench.cache.folder.rglob("*.json")))))

    execute(plan_of("x", "y", "z"), bench.tools, bench.context, bench.cache, look)
    assert stored == [("draw_1", 0), ("draw_2", 1), ("draw_3", 2)]


def test_same_request_under_another_id_is_not_drawn_twice(bench: Bench) -> None:
    made = go(bench, plan_of("x", "x"))
    assert bench.runs == ["x"]
    assert made["draw_1"] == made["draw_2"]


@pytest.mark.parametrize("change", ["seed", "version", "weights", "reference"])
def test_what_decides_the_pixels_decides_the_cache(bench: Bench, change: str) -> None:
    plan = chain()
    go(bench, plan)
    again = ["c"]
    if change == "seed":
        last = plan.nodes[0]
        plan = plan.model_copy(
            update={
                "nodes": (last.model_copy(update={"args": {**last.args, "sampling": {"seed": 9}}}), *plan.nodes[1:])
            }
        )
    elif change == "version":
        bench.sketch.version, again = "2", ["a", "b", "c"]
    elif change == "weights":
        bench.cache, again = NodeCache(bench.cache.folder, weights_hash=lambda: "v" * 64), ["a", "b", "c"]
    else:  # what "a" draws changes, so those shown it change with it
        first = plan.nodes[2].model_copy(update={"args": {"panels": [{"caption": "a2"}]}})
        plan, again = plan.model_copy(update={"nodes": (*plan.nodes[:2], first)}), ["a2", "b", "c"]
    go(bench, plan)
    assert bench.runs == ["a", "b", "c", *again]


def test_defaults_written_out_give_the_same_key(bench: Bench) -> None:
    go(bench, plan_of("x"))
    go(bench, plan_of("x", seed=0, steps=None))
    assert bench.runs == ["x"]


@pytest.mark.parametrize("damage", ["record", "truncated", "picture gone", "picture damaged"])
def test_damaged_record_is_drawn_again(bench: Bench, damage: str) -> None:
    made = go(bench, plan_of("x"))
    (record,) = bench.cache.folder.rglob("*.json")
    picture = bench.store.path(made["draw_1"].images[0])
    if damage == "record":
        record.write_text(json.dumps({"images": "../../etc"}))
    elif damage == "truncated":
        record.write_bytes(record.read_bytes()[:20])
    elif damage == "picture gone":
        picture.unlink()
    else:
        picture.write_bytes(b"not a picture")
    assert go(bench, plan_of("x")) == made
    assert bench.runs == ["x", "x"]
    assert bench.store.open_image(made["draw_1"].images[0]).size == (32, 32)


def test_failing_node_names_itself_and_keeps_the_earlier_ones(bench: Bench) -> None:
    with pytest.raises(
        NodeError, match=r"draw_2 \(generate\) failed: no paint left: expected some, buy more"
    ) as caught:
        go(bench, plan_of("x", "fails", "z"))
    assert (caught.value.node, caught.value.tool) == ("draw_2", "generate")
    assert isinstance(caught.value, ToolError)
    assert isinstance(caught.value.__cause__, ToolError)
    go(bench, plan_of("x", "y", "z"))
    assert bench.runs == ["x", "fails", "y", "z"]


def test_programming_error_in_a_tool_names_the_node_too(bench: Bench) -> None:
    with pytest.raises(NodeError, match=r"draw_1 \(generate\) failed: ZeroDivisionError: division by zero"):
        go(bench, plan_of("breaks"))


def test_cancel_from_progress_keeps_finished_nodes_and_nothing_of_the_running_one(bench: Bench) -> None:
    def cancel(event: NodeEvent) -> None:
        if isinstance(event, NodeProgress) and event.id == "draw_2" and event.progress.step == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        execute(plan_of("x", "y"), bench.tools, bench.context, bench.cache, cancel)
    assert len(list(bench.cache.folder.rglob("*.json"))) == 1
    assert len(list(bench.store.root.rglob("*.png"))) == 1
    go(bench, plan_of("x", "y"))
    assert bench.runs == ["x", "y", "y"]


def test_missing_picture_of_an_input_is_one_clear_line(bench: Bench) -> None:
    node = Node(
        id="a",
        tool="generate",
        args={"panels": [{"caption": "x"}], "references": [{"image": {"$node": "b", "index": 1}}]},
    )
    plan = Plan(nodes=(node, plan_of("y").nodes[0].model_copy(update={"id": "b"})), outputs=())
    with pytest.raises(NodeError, match=r"a \(generate\) failed: b made 1 pictures: expected one with index 1"):
        go(bench, plan)


def test_unwritable_cache_is_one_clear_line_and_loses_no_picture(bench: Bench) -> None:
    bench.cache.folder.write_text("a file where the folder should be")
    with pytest.raises(NodeError, match=r"cannot read .*: expected a folder with free space .*; make room and resume"):
        go(bench, plan_of("x"))


def test_sessions_take_turns_on_one_device_and_can_cancel_while_waiting(bench: Bench) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold(event: NodeEvent) -> None:
        if isinstance(event, NodeProgress):
            inside.set()
            assert leave.wait(10)

    first = threading.Thread(
        target=execute, args=(plan_of("x"), bench.tools, bench.context, bench.cache, hold), kwargs={"device": "d0"}
    )
    first.start()
    assert inside.wait(10)
    waited: list[str] = []

    def impatient(event: NodeEvent) -> None:
        if isinstance(event, NodeProgress):
            waited.append(event.progress.stage)
            raise Cancelled("no time")

    with pytest.raises(Cancelled):
        execute(plan_of("y"), bench.tools, bench.context, bench.cache, impatient, device="d0")
    assert waited == ["waiting for d0"]
    execute(plan_of("z"), bench.tools, bench.context, bench.cache, device="d1")
    leave.set()
    first.join(10)
    assert bench.runs == ["x", "z"]


def test_kill_between_nodes_draws_only_what_is_missing(bench: Bench, three: Plan) -> None:
    script = Path(__file__).with_name("killed_run.py")
    ended = subprocess.run(
        [sys.executable, str(script), "executor", str(bench.folder)], capture_output=True, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert bench.runs == ["a", "b"]
    events: list[NodeEvent] = []
    made = go(bench, three, events)
    assert bench.runs == ["a", "b", "c"]
    assert [(e.id, e.cached) for e in events if isinstance(e, NodeFinished)] == [
        ("draw_a", True),
        ("draw_b", True),
        ("draw_c", False),
    ]
    assert not list(bench.folder.rglob(".part-*"))
    assert all(bench.store.open_image(output.images[0]) for output in made.values())
