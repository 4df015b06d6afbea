"""A clause applied to a picture: a new draft from nothing, or a changed copy of an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chatdit.agents.anaphora import Context, Known
from chatdit.agents.clauses import Clause
from chatdit.agents.drafts import Draft
from chatdit.agents.scene_editor import Built, SceneEditor


def build(clause: Clause, context: Context, *, same_subjects: bool = False) -> Built:
    """The first sentence of a picture. `same_subjects` reads "a cat" as the cat of the picture before."""
    if same_subjects:
        for noun in clause.nouns:
            noun.known = "same"
    base = _base_of(clause, context)
    if isinstance(base, str):
        return Built(Draft(), questions=[base])
    shown = [element.subject for element in base.draft.elements] if base is not None else []
    if base is not None and clause.picture is not None and _only_tells(clause, shown):
        return Built(base.draft, [(base, "edit_target")], edited=True, base=base.draft)
    changes = clause.is_edit or clause.counts_on(shown)
    if changes and not (clause.nouns and (same_subjects or base is None)):
        return _edit_known(clause, base, context)
    return _from_nothing(clause, context)


def _only_tells(clause: Clause, shown: Sequence[str]) -> bool:
    """ "Picture 1 shows a duck.": what is known already, said to introduce the picture."""
    asks = clause.verbs or clause.change or clause.backgrounds or clause.styles or clause.removed or clause.replaced
    return bool(clause.nouns) and not asks and all(n.subject in shown and not n.change for n in clause.nouns)


def amend(clause: Clause, built: Built, context: Context) -> Built:
    """A later sentence about the same picture ("It is red. The rocket has left.")."""
    editor = SceneEditor(clause, built.draft, context, built)
    return editor.apply()


def _base_of(clause: Clause, context: Context) -> Known | str | None:
    changed = [*(old for old, _ in clause.replaced if old is not None), *clause.removed, *clause.nouns]
    if "put" in clause.verbs:  # what is put beside something goes into the picture of that
        changed = [*(clause.nouns[b] for _, _, b in clause.links if b >= 0), *changed]
    named = clause.picture or (changed[0].picture if changed and clause.is_edit else None)
    if named is not None:
        return context.resolve(named)
    if changed and clause.is_edit and len(context.attached) > 1 and (found := context.find(changed[0])):
        return found[0]
    return context.focus


def _edit_known(clause: Clause, base: Known | None, context: Context) -> Built:
    if base is None:
        return Built(Draft(background=next(iter(clause.backgrounds), None)), questions=[_nothing_to_change(clause)])
    if not base.draft.elements and not clause.nouns:
        shown = (
            f"I cannot see what {base.name.replace('input_', 'image ')} shows; name its subject, for example 'the cat'."
        )
        return Built(base.draft, questions=[f"{shown} What is it?"])
    built = Built(base.draft, edited=True, base=None if clause.is_again or clause.models else base.draft)
    if not clause.is_again:
        built.sources.append((base, "edit_target"))
    return SceneEditor(clause, base.draft, context, built).apply()


def _nothing_to_change(clause: Clause) -> str:
    if clause.pronoun or clause.removed or clause.replaced or clause.is_again or clause.focus_gone:
        return "There is no picture yet to change. What should I draw?"
    return "What should I draw? Name one or two subjects, for example a cat or a rocket."


def _from_nothing(clause: Clause, context: Context) -> Built:
    built = Built(Draft())
    if not clause.nouns:
        built.questions.append("What should I draw? Name one or two subjects, for example a cat or a rocket.")
    editor = SceneEditor(clause, Draft(), context, built)
    built = editor.apply()
    focus = context.focus
    carried = next((known for known, _ in built.sources), None)
    inherited = context.outputs[-1] if context.outputs else carried
    if built.draft.background is None and inherited is not None:
        built.draft = replace(built.draft, background=inherited.draft.background)
    if built.draft.style is None and carried is not None and focus is not None:
        built.draft = replace(built.draft, style=carried.draft.style)
    return built
