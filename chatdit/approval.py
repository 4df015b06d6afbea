"""Asking a person whether a plan of several steps may run: yes, edit, or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from chatdit.render import error, plan_table

if TYPE_CHECKING:
    from chatdit.agents.plan import Plan

Answer = Callable[[str], str]
"""Shows a question and returns what was typed; raises EOFError when nobody is there."""
Edit = Callable[[str], str]
"""Lets a person change a text and returns it."""

QUESTION = "run this plan? [y]es, [e]dit, [n]o: "
_YES = frozenset({"y", "yes", "ok", "/approve"})
_NO = frozenset({"n", "no", "q", "quit"})


def ask(plan: Plan, console: Console, answer: Answer, edit: Edit) -> bool | Plan:
    """Show `plan` and ask until there is an answer; an edited plan is shown again before it counts.

    No answer at all (end of input) is a no. Ctrl-C at the question goes through to the caller.
    """
    edited = plan
    console.print(plan_table(plan))
    while True:
        try:
            word = answer(QUESTION).strip().lower()
        except EOFError:
            return False
        if word in _YES:
            return edited if edited != plan else True
        if word in _NO:
            return False
        if word in ("e", "edit"):
            edited = _edited(edited, console, edit)
            console.print(plan_table(edited))
        else:
            console.print(error(f"{word[:40]!r} is no answer here: expected y, e or n"))


def _edited(plan: Plan, console: Console, edit: Edit) -> Plan:
    """The plan as the person changed it, or as it was when the change is not a plan."""
    from chatdit.agents.plan import Plan as PlanModel

    before = plan.model_dump_json(indent=2, by_alias=True)
    try:
        after = edit(before)
    except (EOFError, KeyboardInterrupt):
        return plan
    try:
        return PlanModel.model_validate_json(after)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        console.print(error(f"that is not a plan: {where}: {first['msg']}; the plan stays as it was"))
        return plan
