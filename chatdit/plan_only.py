"""Understanding and planning without drawing: what `chatdit plan` prints."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chatdit.agents.instruction import Instruction
from chatdit.agents.plan import Plan
from chatdit.config import Settings

OUTPUT_KEYS = ("id", "description", "subjects", "background", "style", "references")


@dataclass(frozen=True)
class Outline:
    """What would be drawn; without a plan while `instruction.questions` is not empty."""

    instruction: Instruction
    plan: Plan
    notes: tuple[str, ...] = ()
    """What was assumed, left out or done differently, as a turn's warnings say it."""

    def as_json(self) -> dict[str, object]:
        """The shape of `chatdit plan --json`."""
        inputs = [entry.model_dump(mode="json") for entry in self.instruction.inputs]
        outputs = [{key: full[key] for key in OUTPUT_KEYS} for full in self._outputs()]
        return {
            "instruction": {"inputs": inputs, "outputs": outputs},
            "plan": self.plan.model_dump(mode="json", by_alias=True, include={"nodes", "outputs"}),
            "questions": list(self.instruction.questions),
        }

    def _outputs(self) -> list[dict[str, object]]:
        return [output.model_dump(mode="json") for output in self.instruction.outputs]


def outline(text: str, images: Sequence[Path], settings: Settings) -> Outline:
    """Parse and plan `text` with the brain of `settings`; nothing is drawn or kept.

    Raises what a turn raises before it draws: InstructionError, ToolError, PlanError, EndpointError.
    """
    from chatdit.agents.brain import Request
    from chatdit.agents.turn_steps import sound_plan
    from chatdit.attached import attach
    from chatdit.instruction_text import clean_text
    from chatdit.tools.artifacts import ArtifactStore
    from chatdit.workshop import Workshop

    words, notes = clean_text(text)
    workshop = Workshop(settings)
    with tempfile.TemporaryDirectory(prefix="chatdit-plan-") as folder:
        artifacts = ArtifactStore(Path(folder) / "blobs")
        attached = attach(images, artifacts)
        deps = workshop.deps(artifacts, Path(folder) / "nodes", size=settings.size)
        instruction = deps.brain.parse(Request(words, attached.inputs, painter=workshop.facts()))
        notes = (*notes, *attached.warnings, *instruction.notices)
        if instruction.questions or not instruction.outputs:
            return Outline(instruction, Plan(), notes)
        return Outline(instruction, sound_plan(deps, instruction, workshop.facts(), settings.seed or 0), notes)
