"""The planner: which outputs are drawn together, in what order, and what each is shown.

Outputs that must agree share one context. A set too large for one context goes over several, and
its first picture is shown to every later one as an anchor. All other outputs get a node of their
own, so that each is stored, cached and resumed by itself.

A painter that knows every word it is told needs no picture for what words tell (`OutputSpec.told`). It is shown one
only where it should look the same: what it sees it repeats, the spot, the colour and the style too. A picture that is
to be changed it changes in place (`edit`), where words tell what it shows and what it shall show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pydantic import JsonValue

from chatdit.agents.brain import Painter
from chatdit.agents.instruction import Element, Instruction, InstructionInput, OutputSpec, PictureWork, ToolCall
from chatdit.agents.plan import Node, Plan, PlanError, PlanOutput
from chatdit.agents.subject_references import Unseen, reference_of, unseen_subjects
from chatdit.tools.generate_request import derived_seed
from chatdit.tools.types import ImageRef, Problem


def plan_instruction(instruction: Instruction, painter: Painter, seed: int = 0) -> Plan:
    """The plan of `instruction`; the same arguments give the same plan.

    A node's seed is that of its first output: `seed` itself for the first of all, one derived from it for
    every other, as `generate` does for the pictures of one call.
    Raises PlanError for references that do not exist, come later, are masks, or are too many.
    """
    if problems := list(_bad_references(instruction)):
        raise PlanError(*problems)
    draft = Draft(instruction, seed)
    drawn = instruction.drawn()
    for outputs in agreeing_sets(drawn):
        target = None if len(outputs) > 1 else _edit_target(instruction, outputs[0], painter)
        if target is not None:
            draft.edit(outputs[0], target, looks=not painter.open_vocabulary)
        elif unseen := _unseen(instruction, outputs, painter):
            draft.subject(outputs[0], unseen)
        elif painter.open_vocabulary or not all(output.told for output in outputs):
            _draw_set(draft, outputs, painter)
        else:
            for alike in _alike(instruction, outputs):
                _draw_set(draft, alike, painter)
    return draft.plan()


def agreeing_sets(instruction: Instruction) -> list[list[OutputSpec]]:
    """Outputs that must show the same character, set by set, in the order asked.

    With `same_identity` these are the outputs linked by references, or all of them when none is
    linked; without it every output stands alone and a reference is a picture shown to it.
    """
    outputs = instruction.outputs
    if not instruction.same_identity:
        return [[output] for output in outputs]
    names = {output.id for output in outputs}
    if not any(names.intersection(output.references) for output in outputs):
        return [list(outputs)] if outputs else []
    sets: list[list[OutputSpec]] = []
    for output in outputs:
        linked = [group for group in sets if any(member.id in output.references for member in group)]
        sets = [group for group in sets if group not in linked]
        sets.append([*(member for group in linked for member in group), output])
    order = {output.id: i for i, output in enumerate(outputs)}
    return sorted((sorted(group, key=lambda o: order[o.id]) for group in sets), key=lambda g: order[g[0].id])


@dataclass
class Draft:
    """A plan in the making: nodes so far, and which picture answers which output."""

    instruction: Instruction
    seed: int
    inputs: dict[str, ImageRef] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    answers: dict[str, PlanOutput] = field(default_factory=dict)

    def draw(self, outputs: Sequence[OutputSpec], references: Sequence[str], context: str, seed: int) -> None:
        """Add one `generate` node for `outputs` that is shown `references` (ids of inputs or earlier outputs)."""
        name = f"draw_{len(self.nodes) + 1}"
        args: dict[str, JsonValue] = {"panels": [_panel(output) for output in outputs]}
        if references:
            args["references"] = [self._reference(reference) for reference in references]
        args["context"] = context
        args["sampling"] = {"seed": seed}
        self.nodes.append(Node(id=name, tool="generate", args=args))
        for index, output in enumerate(outputs):
            self.answers[output.id] = PlanOutput(id=output.id, node=name, index=index)

    def edit(self, output: OutputSpec, target: InstructionInput, *, looks: bool = True) -> None:
        """Add one `edit` node that changes `target` until it shows `output`; who cannot look is told what it shows."""
        name = f"edit_{len(self.nodes) + 1}"
        position = self.position(output)
        seed = derived_seed(self.seed, position) if position else self.seed
        args: dict[str, JsonValue] = {
            "image": {"$input": target.id},
            "caption": output.description,
            "sampling": {"seed": seed},
        }
        if looks and output.ways:
            args["ways"] = list(output.ways)
        if not looks and (shown := target.description or target.caption):
            args["shown"] = shown
        if mask := next((entry for entry in self.instruction.inputs if entry.role == "mask"), None):
            args["mask"] = {"$input": mask.id}
        if target.earlier:
            args["earlier"] = [{"$input": target.earlier_name(k)} for k in range(len(target.earlier))]
        self.inputs |= target.images()
        self.nodes.append(Node(id=name, tool="edit", args=args))
        self.answers[output.id] = PlanOutput(id=output.id, node=name, index=0)

    def subject(self, output: OutputSpec, unseen: Sequence[Unseen]) -> None:
        """Add one `subject` node that draws `output` with subjects of given pictures, each by its name."""
        name = f"subject_{len(self.nodes) + 1}"
        position = self.position(output)
        args: dict[str, JsonValue] = {
            "references": [reference_of(given, output, subject) for subject, given in unseen],
            "caption": output.description,
        }
        if output.size is not None:
            args["width"], args["height"] = output.size
        args["sampling"] = {"seed": derived_seed(self.seed, position) if position else self.seed}
        self.nodes.append(Node(id=name, tool="subject", args=args))
        self.answers[output.id] = PlanOutput(id=output.id, node=name, index=0)

    def call(self, call: ToolCall) -> None:
        """Add the one node that gives every output."""
        name = f"{call.tool}_{len(self.nodes) + 1}"
        self.nodes.append(Node(id=name, tool=call.tool, args={**call.args, "sampling": {"seed": self.seed}}))
        for index, output in enumerate(self.instruction.outputs):
            self.answers[output.id] = PlanOutput(id=output.id, node=name, index=index)

    def work(self, work: PictureWork) -> None:
        """Add one node that does `work` to pictures that are there or drawn by then."""
        name = f"{work.tool}_{len(self.nodes) + 1}"
        images = [self._image(taken) for taken in work.takes]
        pictures: dict[str, JsonValue] = {"images": images} if work.tool == "compose" else {"image": images[0]}
        self.nodes.append(Node(id=name, tool=work.tool, args=pictures | work.args))
        for index, output in enumerate(work.gives):
            self.answers[output.id] = PlanOutput(id=output.id, node=name, index=index)

    def plan(self) -> Plan:
        """The finished plan, works on pictures last, outputs in the order asked."""
        for work in self.instruction.works:
            self.work(work)
        return Plan(
            inputs={entry.id: entry.image for entry in self.instruction.inputs} | self.inputs,
            nodes=tuple(self.nodes),
            outputs=tuple(self.answers[output.id] for output in self.instruction.outputs),
        )

    def position(self, output: OutputSpec) -> int:
        """Where `output` stands among those asked for, from 0."""
        return [asked.id for asked in self.instruction.outputs].index(output.id)

    def _reference(self, name: str) -> JsonValue:
        for entry in self.instruction.inputs:
            if entry.id == name:
                return {"image": self._image(name), "role": entry.role, "description": entry.description}
        shown = next(output for output in self.instruction.outputs if output.id == name)
        return {"image": self._image(name), "role": "subject", "description": shown.description}

    def _image(self, name: str) -> JsonValue:
        """The slot of an input or of an output that is drawn by then."""
        if name not in self.answers:
            return {"$input": name}
        answer = self.answers[name]
        return {"$node": answer.node, "index": answer.index}


def _edit_target(instruction: Instruction, output: OutputSpec, painter: Painter) -> InstructionInput | None:
    """The input that `output` changes in place, unless another size is asked for.

    A painter that looks for what changes needs words of all that both show; any other needs words of what the picture
    shows, or a mask.
    """
    targets = [e for e in instruction.inputs if e.role == "edit_target" and e.id in output.references]
    masked = any(entry.role == "mask" for entry in instruction.inputs)
    if painter.open_vocabulary:
        targets = [entry for entry in targets if masked or entry.description or entry.caption]
    else:
        targets = [entry for entry in targets if entry.shows is not None and output.told]
    return targets[0] if targets and output.size is None else None


def _unseen(instruction: Instruction, outputs: Sequence[OutputSpec], painter: Painter) -> list[Unseen] | None:
    """The subjects of a lone output that only given pictures show, each with its picture."""
    if painter.open_vocabulary or len(outputs) > 1:
        return None
    return unseen_subjects(outputs[0], instruction.inputs)


def _draw_set(draft: Draft, outputs: Sequence[OutputSpec], painter: Painter) -> None:
    # FLUX has seen sets only as one picture of several panels; pocket is trained on separate segments too
    together = "canvas" if painter.open_vocabulary else "sequence"
    max_panels = painter.max_panels
    anchor: str | None = None
    members = {output.id for output in outputs}
    for references, same in groupby(outputs, key=lambda o: tuple(r for r in o.references if r not in members)):
        left = list(same)
        while left:
            shown = _shown(left[0], references, anchor, max_panels)
            now, left = left[: max_panels - len(shown)], left[max_panels - len(shown) :]
            context = together if shown or len(now) > 1 else "separate"
            position = draft.position(now[0])
            draft.draw(now, shown, context, derived_seed(draft.seed, position) if position else draft.seed)
            anchor = anchor or now[0].id


def _alike(instruction: Instruction, outputs: Sequence[OutputSpec]) -> Iterator[list[OutputSpec]]:
    """The set as a whole when its pictures look alike, else one by one; each is shown only what looks like it."""
    shows = {entry.id: entry.shows for entry in instruction.inputs} | {o.id: o for o in instruction.outputs}
    seen_by = [tuple(r for r in o.references if (shown := shows[r]) is None or look_alike(shown, o)) for o in outputs]
    told = [o.model_copy(update={"references": seen}) for o, seen in zip(outputs, seen_by, strict=True)]
    if all(look_alike(told[0], output) for output in told):
        yield told
        return
    members = {output.id for output in outputs}
    for output in told:
        yield [output.model_copy(update={"references": tuple(r for r in output.references if r not in members)})]


def look_alike(one: OutputSpec, other: OutputSpec) -> bool:
    """Whether two pictures show a subject in common, and such subjects with one look, at one spot, in one style."""
    subjects = set(one.subjects) & set(other.subjects)
    mine, theirs = ([_placed(e) for e in o.elements if e.subject in subjects] for o in (one, other))
    placed_alike = len(subjects) < 2 or one.relations == other.relations
    return bool(subjects) and one.style == other.style and mine == theirs and placed_alike


def _placed(element: Element) -> Element:
    """Where nothing is said, it is the middle."""
    return element if element.position else element.model_copy(update={"position": "middle"})


def _shown(output: OutputSpec, references: Sequence[str], anchor: str | None, max_panels: int) -> tuple[str, ...]:
    """What the next node is shown: the references, and the anchor where there is room beside them."""
    distinct = tuple(dict.fromkeys(references))
    if len(distinct) >= max_panels:
        expected = f"at most {max_panels - 1} pictures shown to one output (the painter takes {max_panels} panels)"
        got = f"{len(distinct)}: {', '.join(distinct)}; name fewer"
        path = f"outputs.{output.id}.references"
        raise PlanError(Problem(path=path, code="too_many_references", expected=expected, got=got))
    roomy = anchor is not None and anchor not in distinct and len(distinct) + 1 < max_panels
    return (*distinct, anchor) if roomy and anchor is not None else distinct


def _panel(output: OutputSpec) -> JsonValue:
    panel: dict[str, JsonValue] = {"caption": output.description}
    if output.size is not None:
        panel["width"], panel["height"] = output.size
    return panel


def _bad_references(instruction: Instruction) -> Iterator[Problem]:
    roles = {entry.id: entry.role for entry in instruction.inputs}
    earlier: list[str] = []
    for output in instruction.outputs:
        path = f"outputs.{output.id}.references"
        for name in output.references:
            if name not in roles and name not in earlier:
                expected = f"one of: {', '.join((*roles, *earlier)) or 'none given'}"
                yield Problem(path=path, code="bad_reference", expected=expected, got=name)
            elif roles.get(name) == "mask":
                expected = "a picture to look at; a mask only says where to paint"
                yield Problem(path=path, code="mask_reference", expected=expected, got=f"{name}, a mask")
        earlier.append(output.id)
