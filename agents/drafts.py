"""A picture in the making: elements, their relation, a place and a style, any of which may still be open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chatdit.agents.instruction import Accessory, Element, OutputSpec, Relation, RelationKind
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.scene import Scene, Thing, Worn, check
from chatdit.tools.pocket.vocabulary import COUNT_WORDS, SUBJECTS

OPPOSITE: dict[RelationKind, RelationKind] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
DEFAULT_BACKGROUND = "meadow"
MAX_GROUP = max(COUNT_WORDS)
_SIDE_RELATIONS: dict[str, RelationKind] = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}


@dataclass(frozen=True)
class Draft:
    """What is known of a picture; `relation` is that of the first element to the second."""

    elements: tuple[Element, ...] = ()
    relation: RelationKind | None = None
    background: str | None = None
    style: str | None = None


@dataclass(frozen=True)
class Fitted:
    """A draft the painter can draw (when there are no questions), and what was changed to get there."""

    draft: Draft
    notices: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


def draft_of(output: OutputSpec) -> Draft:
    """The draft behind a picture drawn earlier."""
    kind = None
    if output.relations:
        first = output.relations[0]
        kind = first.kind if first.a < first.b else OPPOSITE[first.kind]
    return Draft(output.elements, kind, output.background, output.style)


def scene_of(draft: Draft) -> Scene:
    """The pocket scene of a draft; an open place is the default background."""
    things = tuple(
        Thing(e.subject, e.count, e.size, e.tint, e.position, worn=Worn(e.worn.kind, e.worn.colour) if e.worn else None)
        for e in draft.elements
    )
    return Scene(things, draft.background or DEFAULT_BACKGROUND, draft.style or "plain", draft.relation)


def output_of(draft: Draft, number: int, references: Sequence[str], description: str | None = None) -> OutputSpec:
    """The output that asks for `draft`; its description is the caption unless one is given."""
    relations = (Relation(a=0, kind=draft.relation, b=1),) if draft.relation else ()
    return OutputSpec(
        id=f"output_{number}",
        description=description or caption(scene_of(draft)),
        elements=draft.elements,
        relations=relations,
        background=draft.background or DEFAULT_BACKGROUND,
        style=draft.style or "plain",
        references=tuple(references),
    )


def told_output(scene: Scene, name: str) -> OutputSpec:
    """The picture called `name` that shows `scene`."""
    elements = tuple(
        Element(
            subject=t.subject,
            count=t.count,
            size=t.size,
            tint=t.tint,
            position=t.position,
            worn=Accessory(kind=t.worn.kind, colour=t.worn.colour) if t.worn else None,
        )
        for t in scene.things
    )
    draft = Draft(elements, scene.relation, scene.background, scene.style)
    return output_of(draft, 1, ()).model_copy(update={"id": name, "told": True})


def fit(draft: Draft, *, has_reference: bool = False, joins: bool = False) -> Fitted:
    """The nearest draft that the painter can draw, with a notice for each wish left out.

    What cannot be settled by leaving out a size or a position becomes a question. With `joins` one thing comes to
    another that is there already, at whichever side there is room.
    """
    total = sum(element.count for element in draft.elements)
    if total == len(draft.elements) == 2:
        fitted, notices = _fit_pair(draft, joins=joins)
    else:
        fitted, notices = _fit_crowd(draft) if total > 1 else (replace(draft, relation=None), [])
    crowds = [element for element in fitted.elements if element.count > MAX_GROUP]
    questions = [too_many(element.subject, element.count) for element in crowds]
    if not crowds:
        faults = check(scene_of(fitted))
        questions += [f"I cannot draw {_listed(fitted)}: {fault}. What should I draw instead?" for fault in faults]
    for element in fitted.elements:
        if element.subject in SUBJECTS and not can_draw(element.subject) and not has_reference:
            questions.append(
                f"The painter was never shown {_a(element.subject)}; attach a picture of one, or which subject instead?"
            )
    return Fitted(fitted, tuple(notices), tuple(questions))


def can_draw(subject: str) -> bool:
    """Whether the painter was ever shown the subject, so that its name is enough."""
    return subject in SUBJECTS and not SUBJECTS[subject].held_out


def same_picture(one: Draft, other: Draft) -> bool:
    """True when both drafts ask for the same picture."""
    return scene_of(one) == scene_of(other)


def too_many(subject: str, count: int) -> str:
    """The question about a group that is too large, or of nobody."""
    return f"I can draw at most {MAX_GROUP} of a kind, not {_counted(subject, count)}. How many?"


def _counted(subject: str, count: int) -> str:
    """ "5 foxes"."""
    return f"{count} {SUBJECTS[subject].plural if subject in SUBJECTS else subject}"


def _listed(draft: Draft) -> str:
    """ "a cat and 2 foxes"."""
    things = [_a(e.subject) if e.count == 1 else _counted(e.subject, e.count) for e in draft.elements]
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _fit_pair(draft: Draft, *, joins: bool) -> tuple[Draft, list[str]]:
    first, second = draft.elements
    notices = []
    relation = _relation_from_positions(first, second) or draft.relation
    if relation is None:
        placed = [e for e in draft.elements if e.position]
        notices += [
            f"With two subjects only their relation counts, not {e.position!r} for the {e.subject}." for e in placed
        ]
        relation = None if joins else "left of"
    elements = []
    for element in draft.elements:
        if element.size == "large":
            notices.append(f"A large subject stands alone in its picture, so the {element.subject} is of medium size.")
        size = "medium" if element.size == "large" else element.size
        elements.append(element.model_copy(update={"position": None, "size": size}))
    return replace(draft, elements=tuple(elements), relation=relation), notices


def _relation_from_positions(first: Element, second: Element) -> RelationKind | None:
    """ "a cat on the left and a dog" puts the cat left of the dog."""
    if first.position in _SIDE_RELATIONS:
        return _SIDE_RELATIONS[first.position]
    if second.position in _SIDE_RELATIONS:
        return OPPOSITE[_SIDE_RELATIONS[second.position]]
    return None


def _fit_crowd(draft: Draft) -> tuple[Draft, list[str]]:
    """Several of a kind, or several kinds: they stand where there is room, as large as there is room for."""
    sized = [e for e in draft.elements if e.size != "medium" or e.position]
    notices = ["A group has no size or position of its own, so I left that out."] if sized else []
    if any(e.worn for e in draft.elements):
        notices.append("In a group nobody wears anything, so I left that out.")
    if draft.relation is not None:
        notices.append("Only two single subjects stand in a relation, so I left that out.")
    elements = tuple(e.model_copy(update={"size": "medium", "position": None, "worn": None}) for e in draft.elements)
    return replace(draft, elements=elements, relation=None), notices
