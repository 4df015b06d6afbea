"""The six steps of a turn: parse, plan, approve, execute, verify, respond.

Each takes the state and gives back what changes in it. Nothing here knows langgraph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chatdit.agents.brain import Brain, Painter
from chatdit.agents.events import Asked, Outcome, Parsed, Planned, Responded, Verified
from chatdit.agents.executor import execute
from chatdit.agents.instruction import Instruction
from chatdit.agents.node_cache import NodeCache
from chatdit.agents.plan import Budget, Plan, PlanError
from chatdit.agents.state import (
    Approval,
    TurnState,
    Update,
    as_json,
    images_of,
    instruction_of,
    issues_of,
    plan_of,
    request_of,
)
from chatdit.agents.turn_run import Run
from chatdit.agents.validator import check_plan
from chatdit.agents.verifier import MAX_REPAIRS, answers, blank_nodes, check_outputs, reseeded
from chatdit.tools.tool import PainterDefaults, RunContext, Tool
from chatdit.tools.types import Problem

MAX_REPLANS = 2


@dataclass(frozen=True)
class Deps:
    """What a turn works with. `defaults` lets the validator see the painter's limits before it is loaded."""

    brain: Brain
    tools: Mapping[str, Tool]
    context: RunContext
    """Its `progress` is replaced by the run's own."""
    cache: NodeCache
    device: str = "cpu"
    defaults: PainterDefaults | None = None
    limits: Budget | None = None

    def check(self, plan: Plan, instruction: Instruction) -> list[Problem]:
        """The validator's problems with `plan` as an answer to `instruction`."""
        return check_plan(plan, self.tools, instruction, painter=self.defaults, limits=self.limits)


def parse(state: TurnState, deps: Deps, run: Run) -> Update:
    """Read the request. Questions end the turn before anything is planned."""
    run.check()
    instruction = deps.brain.parse(request_of(state))
    run.emit(Parsed(instruction))
    if instruction.questions:
        run.emit(Asked(instruction.questions))
    return {"instruction": as_json(instruction)}


def plan(state: TurnState, deps: Deps, run: Run) -> Update:
    """A checked plan, which waits for a person's answer when it has several nodes."""
    checked = sound_plan(deps, instruction_of(state), request_of(state).painter, state["seed"], run.check)
    waits = len(checked.nodes) > 1 and not state["auto_approve"]
    run.emit(Planned(checked, needs_approval=waits))
    return {"plan": as_json(checked), "needs_approval": waits}


def sound_plan(
    deps: Deps, instruction: Instruction, painter: Painter, seed: int, before_try: Callable[[], None] = lambda: None
) -> Plan:
    """A checked plan; the brain gets the validator's problems back at most MAX_REPLANS times.

    Raises PlanError when its last plan is still not sound, and whatever `before_try` raises.
    """
    problems: Sequence[Problem] = ()
    for _ in range(1 + MAX_REPLANS):
        before_try()
        try:
            candidate = deps.brain.plan(instruction, problems, painter=painter, seed=seed)
        except PlanError as error:
            if not error.problems:
                raise
            problems = error.problems
            continue
        problems = deps.check(candidate, instruction)
        if not problems:
            return candidate
    raise PlanError(*problems)


def decide(state: TurnState, approval: Approval, deps: Deps, run: Run) -> Update:
    """Take in a person's answer. Raises PlanError when they edited the plan and it is not sound."""
    if not approval.approved or approval.plan is None:
        return {"approved": approval.approved}
    instruction = check_edit(approval.plan, instruction_of(state), deps)
    run.emit(Planned(approval.plan, needs_approval=False))
    return {"approved": True, "plan": as_json(approval.plan), "instruction": as_json(instruction)}


def check_edit(edited: Plan, instruction: Instruction, deps: Deps) -> Instruction:
    """`instruction` without the outputs that the editor took out. Raises PlanError for an unsound plan."""
    kept = {output.id for output in edited.outputs}
    left = instruction.model_copy(update={"outputs": tuple(o for o in instruction.outputs if o.id in kept)})
    if problems := deps.check(edited, left):
        raise PlanError(*problems)
    return left


def carry_out(state: TurnState, deps: Deps, run: Run) -> Update:
    """Run the plan; nodes that finished in an earlier attempt come from the cache."""
    run.check()
    ready = plan_of(state)
    made = execute(ready, deps.tools, deps.context, deps.cache, run.emit, device=deps.device)
    warnings = [warning for output in made.values() for warning in output.warnings]
    return {"images": as_json(answers(ready, made)), "warnings": list(dict.fromkeys(warnings))}


def verify(state: TurnState, deps: Deps, run: Run) -> Update:
    """Look at the pictures; blank ones are drawn again with the next seed, at most MAX_REPAIRS times."""
    drawn = plan_of(state)
    issues = check_outputs(instruction_of(state).outputs, images_of(state), deps.context.store)
    again = blank_nodes(drawn, issues, deps.tools) if state["repairs"] < MAX_REPAIRS else ()
    run.emit(Verified(issues, repairing=bool(again)))
    found: Update = {"issues": [as_json(issue) for issue in issues], "repairing": bool(again)}
    if again:
        return {**found, "plan": as_json(reseeded(drawn, again)), "repairs": state["repairs"] + 1}
    return found


def respond(state: TurnState, run: Run) -> Update:
    """End the turn with one Responded."""
    run.emit(_response(state))
    return {}


def _response(state: TurnState) -> Responded:
    instruction, images, issues = instruction_of(state), images_of(state), issues_of(state)
    warnings = (*instruction.notices, *state["warnings"], *(str(issue) for issue in issues))
    ran = plan_of(state) if state["plan"] is not None else None
    text, outcome = _summary(state, instruction)
    return Responded(text, outcome, images, ran, warnings)


def _summary(state: TurnState, instruction: Instruction) -> tuple[str, Outcome]:
    if instruction.questions:
        return " ".join(instruction.questions), "asked"
    if not instruction.outputs:
        return "No picture was asked for, so none was drawn; name what to draw.", "nothing"
    if not state["approved"]:
        return "The plan was not approved, so nothing was drawn.", "rejected"
    count = len(state["images"])
    return f"Drew {count} {'picture' if count == 1 else 'pictures'}.", "drawn"
