"""What the settings say about every picture (size, steps, guidance, attention, a fixed seed), laid over any brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from chatdit.agents.brain import Brain, Painter, Request
from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Node, Plan
from chatdit.tools.types import AttentionName, Problem

SEEDS = 2**63


@dataclass(frozen=True)
class PresetBrain:
    """`brain`, with settings where neither the person nor the plan says otherwise."""

    brain: Brain
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    attention: AttentionName | None = None
    drawn_seeds: frozenset[int] = frozenset()
    """Seeds of the conversation so far; "try again" takes none of them."""

    @property
    def name(self) -> str:
        """The brain's own."""
        return self.brain.name

    def parse(self, request: Request) -> Instruction:
        """What the brain understands; an output without a size gets the preset one."""
        instruction = self.brain.parse(request)
        if self.size is None:
            return instruction
        outputs = (
            output if output.size else output.model_copy(update={"size": self.size}) for output in instruction.outputs
        )
        return instruction.model_copy(update={"outputs": tuple(outputs)})

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """The brain's plan; a step that samples and names no steps, guidance or attention gets the preset ones."""
        while instruction.new_seed and seed in self.drawn_seeds:
            seed = (seed + 1) % SEEDS
        plan = self.brain.plan(instruction, problems, painter=painter, seed=seed)
        return plan.model_copy(update={"nodes": tuple(self._preset(node) for node in plan.nodes)})

    def _preset(self, node: Node) -> Node:
        sampling = node.args.get("sampling")
        if not isinstance(sampling, dict):
            return node
        settings: dict[str, JsonValue] = dict(sampling)
        for name, value in (("steps", self.steps), ("guidance", self.guidance), ("attention", self.attention)):
            if value is not None and settings.get(name) is None:
                settings[name] = value
        return node.model_copy(update={"args": {**node.args, "sampling": settings}})
