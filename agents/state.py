"""What the graph remembers of a turn: JSON and artifact ids only, so that any checkpoint can be read back.

The functions here turn it into typed values. A key that is None has not been reached yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter
from typing_extensions import TypedDict

from chatdit.agents.brain import Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan
from chatdit.tools.types import Data, ImageRef, Problem

Json = dict[str, JsonValue]
_REQUEST = TypeAdapter(Request)
_IMAGES = TypeAdapter(dict[str, ImageRef])
_ISSUES = TypeAdapter(tuple[Problem, ...])


class Approval(Data):
    """A person's answer to a plan; `plan` is their edited version, which is validated again."""

    approved: bool
    plan: Plan | None = None


class TurnState(TypedDict):
    """One turn. Every value is JSON."""

    request: Json
    seed: int
    auto_approve: bool
    instruction: Json | None
    plan: Json | None
    needs_approval: bool
    approved: bool | None
    images: Json
    """Output id to ImageRef."""
    warnings: list[str]
    issues: list[JsonValue]
    repairs: int
    repairing: bool


class Update(TypedDict, total=False):
    """What a step changes."""

    instruction: Json
    plan: Json
    needs_approval: bool
    approved: bool
    images: Json
    warnings: list[str]
    issues: list[JsonValue]
    repairs: int
    repairing: bool


_STATE = TypeAdapter(TurnState)


def fresh_state(request: Request, seed: int, auto_approve: bool) -> TurnState:
    """The state a turn starts from; it overwrites everything an earlier turn left."""
    return TurnState(
        request=_REQUEST.dump_python(request, mode="json"),
        seed=seed,
        auto_approve=auto_approve,
        instruction=None,
        plan=None,
        needs_approval=False,
        approved=None,
        images={},
        warnings=[],
        issues=[],
        repairs=0,
        repairing=False,
    )


def read_state(values: object) -> TurnState:
    """`values` of a checkpoint, checked; raises pydantic.ValidationError."""
    return _STATE.validate_python(values)


def as_json(value: Data | Mapping[str, ImageRef]) -> Json:
    """`value` as it goes into the state."""
    if isinstance(value, Data):
        dumped: Json = value.model_dump(mode="json")
        return dumped
    return {name: as_json(image) for name, image in value.items()}


def request_of(state: TurnState) -> Request:
    """The turn's request."""
    return _REQUEST.validate_python(state["request"])


def instruction_of(state: TurnState) -> Instruction:
    """The parsed instruction; only after the step `parse`."""
    return Instruction.model_validate(state["instruction"])


def plan_of(state: TurnState) -> Plan:
    """The plan as it stands now; only after the step `plan`."""
    return Plan.model_validate(state["plan"])


def images_of(state: TurnState) -> dict[str, ImageRef]:
    """The picture of each output drawn so far."""
    return _IMAGES.validate_python(state["images"])


def issues_of(state: TurnState) -> tuple[Problem, ...]:
    """What the verifier found last."""
    return _ISSUES.validate_python(state["issues"])
