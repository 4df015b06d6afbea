"""The outer graph of a turn, always the same: parse, plan, approve, execute, verify, respond.

A `Conversation` runs it for one session and hands out events. Every step's result is a checkpoint on
disk before the next step starts, so a killed process goes on at the step it was in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import ValidationError

from chatdit.agents import turn_steps as steps
from chatdit.agents.brain import Request
from chatdit.agents.checkpoints import CheckpointError, open_saver
from chatdit.agents.events import Event, Parsed, Planned
from chatdit.agents.langgraph_untraced import (
    END,
    START,
    Command,
    CompiledStateGraph,
    Interrupt,
    RunnableConfig,
    Runtime,
    SqliteSaver,
    StateGraph,
    StateSnapshot,
    interrupt,
)
from chatdit.agents.state import Approval, TurnState, Update, fresh_state, instruction_of, plan_of, read_state
from chatdit.agents.turn_run import Run
from chatdit.agents.turn_steps import Deps

Pending = Literal["nothing", "approval", "work"]
TurnGraph = CompiledStateGraph[TurnState, Run, TurnState, TurnState]

__all__ = ["Conversation", "Deps", "Pending", "build_graph"]


class Conversation:
    """The turns of one session, one at a time. Close it, or use it in a `with`.

    `start`, `resume` and `continue_interrupted` do nothing until iterated. They raise what a step
    raises: PlanError, NodeError, the brain's errors, Cancelled. The turn then stays where it was, and
    `continue_interrupted` tries that step again.
    """

    def __init__(self, deps: Deps, checkpointer_path: Path, thread_id: str) -> None:
        self.deps = deps
        self._saver = open_saver(checkpointer_path)
        self._graph = build_graph(deps, self._saver)
        self._config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
        self._run = Run()

    def start(self, request: Request, seed: int = 0, *, auto_approve: bool = False) -> Iterator[Event]:
        """A new turn; one that was waiting or broke off before is given up.

        A plan of several nodes stops after `Planned(needs_approval=True)`, unless `auto_approve`.
        """
        self._snapshot()
        yield from self._go(fresh_state(request, seed, auto_approve))

    def resume(self, approval: Approval | bool) -> Iterator[Event]:
        """Answer the plan that waits. Raises PlanError for an unsound edit; the plan then still waits."""
        answer = Approval(approved=approval) if isinstance(approval, bool) else approval
        snapshot = self._snapshot()
        if _pending(snapshot) != "approval":
            raise RuntimeError("no plan waits for approval: start a turn first")
        if answer.approved and answer.plan is not None:
            steps.check_edit(answer.plan, instruction_of(_values(snapshot)), self.deps)
        yield from self._go(Command(resume=answer.model_dump(mode="json")))

    def continue_interrupted(self) -> Iterator[Event]:
        """Go on with a turn that a crash, an error or a cancel broke off; nothing if there is none.

        What is known already is reported again first. A plan that waits is only reported.
        """
        snapshot = self._snapshot()
        if _pending(snapshot) == "nothing":
            return
        yield from _known(snapshot)
        if _pending(snapshot) == "work":
            yield from self._go(None)

    @property
    def pending(self) -> Pending:
        """Whether the last turn is over, waits for an approval, or broke off with work left."""
        return _pending(self._snapshot())

    def cancel(self) -> None:
        """Stop the turn that runs now, from any thread; what it has finished is kept."""
        self._run.cancel()

    def abandon(self) -> None:
        """End a waiting or broken-off turn without finishing it."""
        if self.pending != "nothing":
            self._graph.update_state(self._config, {}, as_node="respond")

    def close(self) -> None:
        """Close the checkpoint file."""
        with self._saver.lock:
            self._saver.conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _go(self, given: TurnState | Command[str] | None) -> Iterator[Event]:
        run = self._run = Run()
        yield from run.stream(lambda: self._graph.invoke(given, self._config, context=run, durability="sync"))

    def _snapshot(self) -> StateSnapshot:
        try:
            snapshot = self._graph.get_state(self._config)
            if not all(isinstance(waiting, Interrupt) for waiting in snapshot.interrupts):
                raise TypeError("a question to the person is not one")
            return snapshot
        except (sqlite3.Error, LookupError, TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(
                f"the session's checkpoints cannot be read ({error}): expected those of this program; "
                "remove the file, finished pictures are kept"
            ) from error


def build_graph(deps: Deps, saver: SqliteSaver) -> TurnGraph:
    """The compiled graph; a run's own `Run` comes with each call as the runtime context."""

    def parse(state: TurnState, runtime: Runtime[Run]) -> Update:
        return steps.parse(state, deps, runtime.context)

    def plan(state: TurnState, runtime: Runtime[Run]) -> Update:
        return steps.plan(state, deps, runtime.context)

    def approve(state: TurnState, runtime: Runtime[Run]) -> Update:
        # Runs again from its top when the answer comes, so nothing may happen before the interrupt.
        if not state["needs_approval"]:
            return {"approved": True}
        answer = interrupt({"plan": state["plan"]})
        return steps.decide(state, Approval.model_validate(answer), deps, runtime.context)

    def execute(state: TurnState, runtime: Runtime[Run]) -> Update:
        return steps.carry_out(state, deps, runtime.context)

    def verify(state: TurnState, runtime: Runtime[Run]) -> Update:
        return steps.verify(state, deps, runtime.context)

    def respond(state: TurnState, runtime: Runtime[Run]) -> Update:
        return steps.respond(state, runtime.context)

    graph = StateGraph(TurnState, context_schema=Run)
    for step in (parse, plan, approve, execute, verify, respond):
        graph.add_node(step.__name__, step)
    graph.add_edge(START, "parse")
    graph.add_conditional_edges("parse", _after_parse, ["plan", "respond"])
    graph.add_edge("plan", "approve")
    graph.add_conditional_edges("approve", _after_approve, ["execute", "respond"])
    graph.add_edge("execute", "verify")
    graph.add_conditional_edges("verify", _after_verify, ["execute", "respond"])
    graph.add_edge("respond", END)
    return graph.compile(checkpointer=saver)


def _after_parse(state: TurnState) -> str:
    instruction = instruction_of(state)
    return "respond" if instruction.questions or not instruction.outputs else "plan"


def _after_approve(state: TurnState) -> str:
    return "execute" if state["approved"] else "respond"


def _after_verify(state: TurnState) -> str:
    return "execute" if state["repairing"] else "respond"


def _pending(snapshot: StateSnapshot) -> Pending:
    if not snapshot.next:
        return "nothing"
    return "approval" if snapshot.interrupts else "work"


def _values(snapshot: StateSnapshot) -> TurnState:
    try:
        return read_state(snapshot.values)
    except ValidationError as error:
        raise CheckpointError(f"the session's checkpoint is incomplete ({error}): start the turn again") from error


def _known(snapshot: StateSnapshot) -> Iterator[Event]:
    if snapshot.next == ("__start__",):
        return
    state = _values(snapshot)
    if state["instruction"] is not None:
        yield Parsed(instruction_of(state))
    if state["plan"] is not None:
        yield Planned(plan_of(state), needs_approval=state["needs_approval"] and snapshot.next == ("approve",))
