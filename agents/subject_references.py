"""Which given pictures' subjects an output shows, for the tool `subject`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from chatdit.agents.instruction import InstructionInput, OutputSpec
from chatdit.tools.pocket.scene import NAMELESS
from chatdit.tools.pocket.vocabulary import SUBJECTS
from chatdit.tools.subject import MOST_IN_POCKET

Unseen = tuple[str, InstructionInput]
"""A subject's name, and the given picture that shows it."""


def subjects_seen(given: InstructionInput) -> tuple[str, ...]:
    """The names of what a picture's description or caption tells, in order, as far as this world has them."""
    from chatdit.tools.pocket.caption_reader import read_caption  # loads torch, which planning does without

    read = read_caption(given.description or given.caption)
    return () if read is None else tuple(t.subject for t in read.scene.things if t.subject != NAMELESS)


def reference_of(given: InstructionInput, output: OutputSpec, name: str = "") -> JsonValue:
    """The argument of the tool for a picture: what of it the output shows, by its name there."""
    seen = subjects_seen(given)
    word = name or next((subject for subject in seen if subject in output.subjects), "")
    if not word and not seen and given.description:
        word = given.description
    reference: dict[str, JsonValue] = {"image": {"$input": given.id}, "word": word[:80]}
    if given.description and not seen:
        reference["description"] = given.description
    return reference


def unseen_subjects(
    output: OutputSpec, inputs: Sequence[InstructionInput]
) -> list[tuple[str, InstructionInput]] | None:
    """The subjects of `output` that the painter was never shown, each with the given picture that shows it.

    None unless each has one, and each given picture that the output refers to shows one of them.
    """
    wanted = [e for e in output.elements if e.subject in SUBJECTS and SUBJECTS[e.subject].held_out]
    given = [entry for entry in inputs if entry.id in output.references]
    if not 1 <= len(wanted) == len(given) <= MOST_IN_POCKET or len(given) != len(set(output.references)):
        return None
    if len(given) == 1 and given[0].role == "edit_target" and not _elsewhere(given[0], output):
        return None
    found: list[Unseen] = []
    for element in wanted:
        taken = [entry for _, entry in found]
        entry = next((e for e in given if e not in taken and element.subject in subjects_seen(e)), None)
        if entry is None or element.count != 1 or entry.role not in ("subject", "edit_target"):
            return None
        found.append((element.subject, entry))
    return found


def _elsewhere(given: InstructionInput, output: OutputSpec) -> bool:
    """Whether the output shows another place than a picture does."""
    from chatdit.tools.pocket.caption_reader import read_caption

    read = read_caption(given.description or given.caption)
    return read is not None and read.scene.background != output.background
