"""A turn through the graph: what is reported, when it waits, how it ends, and how it goes on after a break."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chatdit.agents import turn_run
from chatdit.agents.brain import Request
from chatdit.agents.checkpoints import CheckpointError
from chatdit.agents.events import (
    Asked,
    Event,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    Parsed,
    Planned,
    Responded,
    Verified,
)
from chatdit.agents.executor import NodeError
from chatdit.agents.graph import Conversation, Deps
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan, PlanError
from chatdit.agents.state import Approval
from chatdit.tools.types import Cancelled

if TYPE_CHECKING:
    from tests.agents.conftest import Bench, ScriptedBrain

REQUEST = Request("draw it")
Open = Callable[[Instruction], Conversation]


@pytest.fixture
def opened(bench: Bench, scripted: Callable[[Instruction], ScriptedBrain]) -> Iterator[Open]:
    """Opens the same session again and again, as after a restart, with a brain of its own."""
    conversations: list[Conversation] = []

    def open_session(instruction: Instruction) -> Conversation:
        deps = Deps(brain=scripted(instruction), tools=bench.tools, context=bench.context, cache=bench.cache)
        conversations.append(Conversation(deps, bench.folder / "turns.sqlite", "session"))
        return conversations[-1]

    yield open_session
    for conversation in conversations:
        conversation.close()


def asking(*captions: str, **settings: Any) -> Instruction:
    outputs = [{"id": f"output_{i}", "description": c} for i, c in enumerate(captions, start=1)]
    return Instruction.model_validate({"outputs": outputs, **settings})


def kinds(events: list[Event]) -> list[type]:
    """Types of events in order, repeats once."""
    return [type(events[0]), *(type(b) for a, b in pairwise(events) if type(a) is not type(b))] if events else []


def last(events: list[Event]) -> Responded:
    assert isinstance(events[-1], Responded)
    assert sum(isinstance(event, Responded) for event in events) == 1
    return events[-1]


DRAWING: list[type] = [NodeStarted, NodeProgress, NodeFinished]


def test_single_picture_is_drawn_at_once(opened: Open, bench: Bench) -> None:
    events = list(opened(asking("a cat")).start(REQUEST, seed=3))
    assert kinds(events) == [Parsed, Planned, *DRAWING, Verified, Responded]
    assert isinstance(events[1], Planned) and not events[1].needs_approval
    said = last(events)
    assert (said.text, said.outcome, said.warnings) == ("Drew 1 picture.", "drawn", ())
    assert bench.store.open_image(said.images["output_1"]).size == (32, 32)
    assert said.plan is not None and said.plan.nodes[0].args["sampling"] == {"seed": 3}


def test_several_nodes_wait_and_go_on_when_approved(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat", "a dog"))
    events = list(conversation.start(REQUEST))
    assert kinds(events) == [Parsed, Planned]
    assert isinstance(events[1], Planned) and events[1].needs_approval
    assert conversation.pending == "approval"
    assert bench.runs == []
    after = list(conversation.resume(True))
    assert kinds(after) == [*DRAWING, *DRAWING, Verified, Responded]
    assert list(last(after).images) == ["output_1", "output_2"]
    assert (bench.runs, conversation.pending) == (["a cat", "a dog"], "nothing")


def test_approval_survives_closing_the_session(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat", "a dog"))
    list(conversation.start(REQUEST))
    conversation.close()
    again = opened(asking("something else"))
    assert [type(event) for event in again.continue_interrupted()] == [Parsed, Planned]
    assert again.pending == "approval"
    assert last(list(again.resume(True))).outcome == "drawn"
    assert bench.runs == ["a cat", "a dog"]


def test_auto_approval_and_one_context_do_not_wait(opened: Open, bench: Bench) -> None:
    assert last(list(opened(asking("a cat", "a dog")).start(REQUEST, auto_approve=True))).outcome == "drawn"
    together = opened(asking("a fox", "an owl", same_identity=True))
    assert last(list(together.start(REQUEST))).outcome == "drawn"
    assert bench.runs == ["a cat", "a dog", "a fox + an owl"]


def test_rejected_plan_ends_the_turn_with_nothing_drawn(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat", "a dog"))
    list(conversation.start(REQUEST))
    events = list(conversation.resume(Approval(approved=False)))
    assert kinds(events) == [Responded]
    assert (last(events).outcome, last(events).images, conversation.pending) == ("rejected", {}, "nothing")
    assert bench.runs == []


def test_questions_end_the_turn_with_nothing_drawn(opened: Open, bench: Bench) -> None:
    events = list(opened(asking("a cat", questions=("Which cat?", "Where?"))).start(REQUEST))
    assert kinds(events) == [Parsed, Asked, Responded]
    assert events[1] == Asked(("Which cat?", "Where?"))
    assert (last(events).outcome, last(events).text, bench.runs) == ("asked", "Which cat? Where?", [])


def test_nothing_asked_is_said(opened: Open) -> None:
    events = list(opened(asking(notices=("nothing understood",))).start(REQUEST))
    assert (last(events).outcome, last(events).warnings) == ("nothing", ("nothing understood",))


def waiting(opened: Open) -> tuple[Conversation, Plan]:
    conversation = opened(asking("a cat", "a dog"))
    planned = list(conversation.start(REQUEST))[1]
    assert isinstance(planned, Planned)
    return conversation, planned.plan


def recaptioned(plan: Plan, caption: str) -> Plan:
    second = plan.nodes[1].model_copy(update={"args": {"panels": [{"caption": caption}]}})
    return plan.model_copy(update={"nodes": (plan.nodes[0], second)})


def test_edited_plan_is_drawn_as_edited(opened: Open, bench: Bench) -> None:
    conversation, plan = waiting(opened)
    edited = recaptioned(plan, "a wolf")
    events = list(conversation.resume(Approval(approved=True, plan=edited)))
    assert events[0] == Planned(edited, needs_approval=False)
    assert (last(events).plan, bench.runs) == (edited, ["a cat", "a wolf"])


def test_editor_may_take_a_picture_out(opened: Open, bench: Bench) -> None:
    conversation, plan = waiting(opened)
    fewer = plan.model_copy(update={"nodes": plan.nodes[1:], "outputs": plan.outputs[1:]})
    said = last(list(conversation.resume(Approval(approved=True, plan=fewer))))
    assert (list(said.images), said.warnings, bench.runs) == (["output_2"], (), ["a dog"])


def test_unsound_edit_is_refused_and_the_plan_still_waits(opened: Open, bench: Bench) -> None:
    conversation, plan = waiting(opened)
    with pytest.raises(PlanError, match=r"nodes\.1\.args\.panels\.0\.caption: .* \[bad_args\]"):
        list(conversation.resume(Approval(approved=True, plan=recaptioned(plan, ""))))
    assert (conversation.pending, bench.runs) == ("approval", [])
    assert last(list(conversation.resume(True))).outcome == "drawn"


def test_answer_without_a_question_is_an_error(opened: Open) -> None:
    with pytest.raises(RuntimeError, match="no plan waits for approval"):
        list(opened(asking("a cat")).resume(True))


def brain_of(conversation: Conversation) -> ScriptedBrain:
    brain: Any = conversation.deps.brain
    found: ScriptedBrain = brain
    return found


def test_problems_go_back_to_the_brain_which_repairs(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat"))
    brain = brain_of(conversation)
    brain.plans = [Plan(), Plan()]
    assert last(list(conversation.start(REQUEST))).outcome == "drawn"
    assert [[problem.code for problem in seen] for seen in brain.problems_seen] == [
        [],
        ["empty_plan", "missing_output"],
        ["empty_plan", "missing_output"],
    ]


def test_third_unsound_plan_is_an_error_and_the_session_goes_on(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat"))
    brain_of(conversation).plans = [Plan(), Plan(), Plan()]
    with pytest.raises(PlanError, match="missing_output"):
        list(conversation.start(REQUEST))
    assert (bench.runs, conversation.pending) == ([], "work")
    conversation.abandon()
    assert conversation.pending == "nothing"
    assert last(list(conversation.start(REQUEST))).outcome == "drawn"


def test_plan_that_cannot_be_made_says_why(opened: Open) -> None:
    unknown = asking("a cat").outputs[0].model_copy(update={"references": ("input_1",)})
    with pytest.raises(PlanError, match=r"expected one of: none given, got input_1 \[bad_reference\]"):
        list(opened(Instruction(outputs=(unknown,))).start(REQUEST))


def test_progress_streams_while_the_node_runs(opened: Open, bench: Bench) -> None:
    events = opened(asking("a cat")).start(REQUEST)
    event = next(event for event in events if isinstance(event, NodeProgress))
    assert bench.runs == ["a cat"]
    assert (event.id, event.progress.step, event.progress.total) == ("draw_1", 1, 3)
    assert kinds(list(events))[-1] is Responded


def test_blank_picture_is_drawn_again_with_the_next_seed(opened: Open, bench: Bench) -> None:
    bench.sketch.flat = lambda caption, seed: caption == "a dog" and seed < 2
    instruction = asking("a cat", "a dog", same_identity=True)
    conversation = opened(instruction)
    events = list(conversation.start(REQUEST, seed=0))
    verified = [event for event in events if isinstance(event, Verified)]
    assert [event.repairing for event in verified] == [True, True, False]
    assert verified[0].issues[0].path == "outputs.output_2"
    said = last(events)
    assert said.plan is not None and said.plan.nodes[0].args["sampling"] == {"seed": 2}
    assert (said.warnings, len(bench.runs)) == ((), 3)


def test_picture_that_stays_blank_is_handed_over_with_a_warning(opened: Open, bench: Bench) -> None:
    bench.sketch.flat = lambda caption, seed: True
    said = last(list(opened(asking("a cat")).start(REQUEST)))
    assert len(bench.runs) == 3
    assert said.outcome == "drawn" and list(said.images) == ["output_1"]
    assert len(said.warnings) == 1 and "[blank_picture]" in said.warnings[0]


def test_notices_and_tool_warnings_reach_the_person(opened: Open) -> None:
    said = last(list(opened(asking("a thin cat", notices=("assumed a cat",))).start(REQUEST)))
    assert said.warnings == ("assumed a cat", "thin paint")


def test_second_turn_starts_clean(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a thin cat", "a dog"))
    list(conversation.start(REQUEST, auto_approve=True))
    brain_of(conversation).instruction = asking("an owl")
    said = last(list(conversation.start(REQUEST)))
    assert (list(said.images), said.warnings) == (["output_1"], ())


def test_new_turn_replaces_one_that_waits(opened: Open, bench: Bench) -> None:
    conversation, _ = waiting(opened)
    brain_of(conversation).instruction = asking("an owl")
    assert last(list(conversation.start(REQUEST))).outcome == "drawn"
    assert (bench.runs, conversation.pending) == (["an owl"], "nothing")


def test_failed_node_can_be_tried_again_and_finished_ones_are_kept(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat", "a dog that fails"))
    with pytest.raises(NodeError, match="draw_2"):
        list(conversation.start(REQUEST, auto_approve=True))
    with pytest.raises(NodeError, match="draw_2"):
        list(conversation.continue_interrupted())
    assert bench.runs == ["a cat", "a dog that fails", "a dog that fails"]


def test_cancel_from_another_thread_keeps_what_is_finished(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat", "a dog"))
    cancelled = threading.Event()
    # events may be heard late: the dog waits for the one that is heard of the cat
    bench.sketch.between_steps = lambda: len(bench.runs) < 2 or cancelled.wait(10)
    with pytest.raises(Cancelled, match="finished pictures are kept"):
        for event in conversation.start(REQUEST, auto_approve=True):
            if isinstance(event, NodeFinished):
                canceller = threading.Thread(target=conversation.cancel)
                canceller.start()
                canceller.join()
                cancelled.set()
    assert conversation.pending == "work"
    events = list(conversation.continue_interrupted())
    assert kinds(events)[:3] == [Parsed, Planned, NodeFinished]
    assert isinstance(events[2], NodeFinished) and events[2].cached
    assert last(events).outcome == "drawn"
    assert bench.runs.count("a cat") == 1


def test_ctrl_c_stops_the_node_and_the_session_goes_on(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat"))
    gate = threading.Event()
    bench.sketch.between_steps = lambda: gate.wait(10)
    events = conversation.start(REQUEST)
    assert isinstance(events, Generator)
    assert kinds([next(events) for _ in range(4)]) == [Parsed, Planned, NodeStarted, NodeProgress]
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    assert not [thread for thread in threading.enumerate() if thread.name == "chatdit-turn"]
    assert (bench.runs, list(bench.folder.rglob("*.png"))) == (["a cat"], [])
    assert last(list(conversation.start(REQUEST))).outcome == "drawn"


def test_run_that_hangs_cannot_hold_up_or_disturb_the_next_turn(
    opened: Open, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_run, "STOP_SECONDS", 0.05)
    conversation = opened(asking("a cat"))
    gate = threading.Event()
    bench.sketch.between_steps = lambda: gate.wait(10)
    events = conversation.start(REQUEST)
    assert isinstance(events, Generator)
    assert kinds([next(events) for _ in range(4)])[-1] is NodeProgress
    events.close()
    brain_of(conversation).instruction = asking("x", questions=("Which?",))
    assert last(list(conversation.start(REQUEST))).outcome == "asked"
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "chatdit-turn":
            thread.join(10)
    assert (conversation.pending, list(bench.folder.rglob("*.png"))) == ("nothing", [])


def test_killed_turn_goes_on_and_draws_only_what_is_missing(opened: Open, bench: Bench) -> None:
    script = Path(__file__).with_name("killed_run.py")
    ended = subprocess.run([sys.executable, str(script), "turn", str(bench.folder)], capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert bench.runs == ["a", "b", "c"]
    conversation = opened(asking("not asked again"))
    assert conversation.pending == "work"
    events = list(conversation.continue_interrupted())
    assert kinds(events) == [Parsed, Planned, NodeFinished, *DRAWING, Verified, Responded]
    assert [event.cached for event in events if isinstance(event, NodeFinished)] == [True, True, False]
    assert list(last(events).images) == ["output_1", "output_2", "output_3"]
    assert bench.runs == ["a", "b", "c", "c"]
    assert brain_of(conversation).parsed == 0
    assert list(conversation.continue_interrupted()) == []


def test_break_in_parsing_is_taken_up_there(opened: Open, bench: Bench) -> None:
    conversation = opened(asking("a cat"))
    brain = brain_of(conversation)
    brain.breaks = ConnectionError("no endpoint at 127.0.0.1:9")
    with pytest.raises(ConnectionError, match="no endpoint"):
        list(conversation.start(REQUEST))
    brain.breaks = None
    assert last(list(conversation.continue_interrupted())).outcome == "drawn"


def test_file_that_is_no_database_is_one_clear_line(bench: Bench, scripted: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"x" * 4096)
    deps = Deps(brain=scripted(asking("x")), tools=bench.tools, context=bench.context, cache=bench.cache)
    with pytest.raises(CheckpointError, match="file is not a database"):
        Conversation(deps, path, "session")
