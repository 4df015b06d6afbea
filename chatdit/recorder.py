"""From a finished step to pictures: a numbered PNG with its recipe, and a row in the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from chatdit.agents.dataflow import Slot, fill, parse_slot, raw_slots
from chatdit.agents.events import NodeFinished
from chatdit.agents.instruction import Instruction, OutputSpec
from chatdit.agents.plan import InputSlot, Node, Plan, PlanOutput
from chatdit.no_clobber import make_folder, write_new
from chatdit.provenance import Ingredient, Recipe, png_with_recipe
from chatdit.records import Picture, Turn
from chatdit.settings_model import MetadataLevel
from chatdit.store import SessionStore
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.types import ImageRef, ToolOutput


class PictureRecorder:
    """Keeps the pictures of one turn while its plan runs; the same picture recorded twice is kept once."""

    def __init__(
        self, store: SessionStore, artifacts: ArtifactStore, turn: Turn, folder: Path, level: MetadataLevel
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._turn = turn
        self._folder = folder
        self._level: MetadataLevel = level
        self._plan = turn.plan or Plan()
        self._instruction = turn.instruction or Instruction()
        self._made: dict[str, ToolOutput] = {}
        self.sheets: tuple[Path, ...] = ()
        """Contact sheets of the turn's steps; they show pictures and are none themselves."""

    def prepare(self) -> None:
        """Make the folder before a step draws, so that a wrong one costs no drawing. Raises StoreError."""
        make_folder(self._folder)

    def plan(self, plan: Plan) -> None:
        """The plan that runs from here on: the first one, an editor's, or a repair's."""
        self._plan = plan

    def understood(self, instruction: Instruction) -> None:
        """What was asked for."""
        self._instruction = instruction

    def record(self, event: NodeFinished) -> tuple[Picture, ...]:
        """The pictures of `event` that answer an output, written and stored. Raises StoreError or ToolError."""
        self._made[event.id] = event.output
        node = next((node for node in self._plan.nodes if node.id == event.id), None)
        if node is None:
            return ()
        self._keep_sheet(node, event.output)
        answers = [(k, answer) for k, answer in enumerate(self._plan.outputs) if answer.node == node.id]
        return tuple(self._keep(k, answer, node, event) for k, answer in answers if self._has(answer, event.output))

    def _has(self, answer: PlanOutput, output: ToolOutput) -> bool:
        return answer.index < len(output.images)

    def _keep(self, k: int, answer: PlanOutput, node: Node, event: NodeFinished) -> Picture:
        image = event.output.images[answer.index]
        number = self._turn.first_picture + k
        known = self._store.find_picture(self._turn.id, number, image.sha256)
        if known is not None and known.path.is_file():
            return known
        recipe = self._recipe(answer, node, event.output)
        data = png_with_recipe(self._artifacts.open_image(image), recipe, self._level)
        picture = Picture(
            number=number,
            path=write_new(self._folder / f"{number:04d}-{node.tool}-{image.sha256[:8]}.png", data),
            image=image,
            tool=node.tool,
            seed=recipe.seed,
            node=node.id,
            index=answer.index,
            output=self._spec(answer.id, recipe.caption),
            parents=self._parents(node),
            steps=recipe.steps,
            seconds=event.output.seconds,
            cached=event.cached,
        )
        self._store.add_picture(self._turn.id, picture, recipe)
        return picture

    def _keep_sheet(self, node: Node, output: ToolOutput) -> None:
        sheet = getattr(output, "contact_sheet", None)
        if not isinstance(sheet, ImageRef):
            return
        recipe = Recipe(model=self._turn.painter, tool=node.tool, seed=self._turn.seed)
        level: MetadataLevel = "none" if self._level == "none" else "minimal"
        data = png_with_recipe(self._artifacts.open_image(sheet), recipe, level)
        name = f"{self._turn.first_picture:04d}-contact-sheet-{sheet.sha256[:8]}.png"
        self.sheets = tuple(dict.fromkeys((*self.sheets, write_new(self._folder / name, data))))

    def _recipe(self, answer: PlanOutput, node: Node, output: ToolOutput) -> Recipe:
        args = fill(node.args, self._image_of)
        assert isinstance(args, dict)
        steps, guidance = output.report.get("steps"), output.report.get("guidance")
        return Recipe(
            model=str(output.report.get("painter", self._turn.painter)),
            weights=str(output.report.get("weights", "")),
            tool=node.tool,
            tool_version=TOOLS[node.tool].version if node.tool in TOOLS else "",
            seed=_seed_of(output, args, answer.index),
            steps=int(steps) if steps is not None else None,
            guidance=float(guidance) if guidance is not None else None,
            attention=str(output.report.get("attention", "")),
            pixels=output.images[answer.index].sha256,
            index=answer.index,
            args=args,
            caption=_caption_of(args, answer.index),
            instruction=self._turn.text,
            brain=self._turn.brain,
            node=node.id,
            plan=self._plan.model_dump(mode="json", by_alias=True),
            ingredients=tuple(
                Ingredient(image=image, recipe=self._store.recipe_of(image.sha256)) for image in self._taken(node)
            ),
        )

    def _spec(self, name: str, caption: str) -> OutputSpec:
        asked = (spec for spec in self._instruction.outputs if spec.id == name)
        return next(asked, OutputSpec(id=name, description=caption))

    def _taken(self, node: Node) -> list[ImageRef]:
        return list(dict.fromkeys(self._image_of(parse_slot(raw)) for _, raw in raw_slots(node.args)))

    def _image_of(self, slot: Slot) -> ImageRef:
        if isinstance(slot, InputSlot):
            return self._plan.inputs[slot.input]
        return self._made[slot.node].images[slot.index]

    def _parents(self, node: Node) -> tuple[int, ...]:
        numbers = [self._number_of(parse_slot(raw)) for _, raw in raw_slots(node.args)]
        return tuple(dict.fromkeys(number for number in numbers if number is not None))

    def _number_of(self, slot: Slot) -> int | None:
        if isinstance(slot, InputSlot):
            return next((entry.picture for entry in self._instruction.inputs if entry.id == slot.input), None)
        for k, answer in enumerate(self._plan.outputs):
            if (answer.node, answer.index) == (slot.node, slot.index):
                return self._turn.first_picture + k
        return None


def _seed_of(output: ToolOutput, args: dict[str, JsonValue], index: int) -> int:
    seeds = getattr(output, "seeds", ())
    if index < len(seeds):
        return int(seeds[index])
    sampling = args.get("sampling")
    seed = sampling.get("seed") if isinstance(sampling, dict) else None
    return seed if isinstance(seed, int) else 0


def _caption_of(args: dict[str, JsonValue], index: int) -> str:
    panels = args.get("panels")
    panel = panels[index] if isinstance(panels, list) and index < len(panels) else None
    caption = panel.get("caption") if isinstance(panel, dict) else None
    return caption if isinstance(caption, str) else ""
