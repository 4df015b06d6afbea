"""Plan: a typed DAG of tool calls that a person can read, edit and approve."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from chatdit.tools.types import Data, ImageRef, Problem

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class PlanError(ValueError):
    """A plan that must not run; `str()` lists its problems, and the planner tries again."""

    def __init__(self, *problems: Problem | str) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(p for p in problems if isinstance(p, Problem))
        """The machine-readable ones, for a planner to repair."""


class InputSlot(Data):
    """Inside `args`, `{"$input": "input_1"}` stands for that input's ImageRef."""

    input: str = Field(alias="$input")


class NodeSlot(Data):
    """Inside `args`, `{"$node": "draw_1", "index": 0}` stands for an image of an earlier node."""

    node: str = Field(alias="$node")
    index: int = Field(default=0, ge=0)


class Node(Data):
    """One tool call. `args` is the tool's input as JSON, with slots where images come from."""

    id: Slug
    tool: str
    args: dict[str, JsonValue]


class PlanOutput(Data):
    """Which node's which image answers which output of the instruction."""

    id: str
    node: Slug
    index: int = Field(default=0, ge=0)


class Budget(Data):
    """Limits the validator enforces before any weight is loaded."""

    max_images: int = Field(default=24, ge=1)
    max_nodes: int = Field(default=32, ge=1)


class Plan(Data):
    """Nodes, what they answer, and a budget. Acyclic; every image explicit."""

    version: Literal[1] = 1
    inputs: dict[str, ImageRef] = Field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    outputs: tuple[PlanOutput, ...] = ()
    budget: Budget = Budget()
