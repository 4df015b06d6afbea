"""The question about a plan: what counts as yes, what as no, and what an edit may do."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from chatdit.agents.plan import Node, Plan
from chatdit.approval import ask

PLAN = Plan(nodes=(Node(id="draw_1", tool="generate", args={}), Node(id="draw_2", tool="generate", args={})))


class Person:
    """Types the given words, and edits by replacing text."""

    def __init__(self, *words: str, edit: tuple[str, str] = ("", "")) -> None:
        self._words: Iterator[str] = iter(words)
        self._edit = edit
        self.screen = io.StringIO()

    def asked(self, plan: Plan = PLAN) -> bool | Plan:
        return ask(
            plan, Console(file=self.screen, width=100, _environ={}), self._type, lambda t: t.replace(*self._edit)
        )

    def _type(self, question: str) -> str:
        assert "[y]es" in question
        try:
            return next(self._words)
        except StopIteration:
            raise EOFError from None


@pytest.mark.parametrize("word", ["y", "YES", " yes ", "/approve"])
def test_yes(word: str) -> None:
    assert Person(word).asked() is True


@pytest.mark.parametrize("words", [("n",), ("No",), ()])
def test_no_and_no_answer(words: tuple[str, ...]) -> None:
    assert Person(*words).asked() is False


def test_other_words_are_asked_about_again() -> None:
    person = Person("maybe", "y")
    assert person.asked() is True
    assert "'maybe' is no answer here: expected y, e or n" in person.screen.getvalue()
    assert person.screen.getvalue().count("draw_2") == 1


def test_an_edited_plan_is_shown_and_returned() -> None:
    person = Person("e", "y", edit=("draw_2", "second"))
    edited = person.asked()
    assert isinstance(edited, Plan)
    assert [node.id for node in edited.nodes] == ["draw_1", "second"]
    assert "second" in person.screen.getvalue()


def test_an_edit_that_changes_nothing_is_a_plain_yes() -> None:
    assert Person("e", "y").asked() is True


@pytest.mark.parametrize("edit", [('"draw_2"', '"Not A Slug"'), ("{", "<"), ('"tool"', '"tol"')])
def test_a_broken_edit_is_explained_and_dropped(edit: tuple[str, str]) -> None:
    person = Person("e", "y", edit=edit)
    assert person.asked() is True
    assert "that is not a plan" in person.screen.getvalue()


def test_giving_up_the_edit_leaves_the_plan() -> None:
    def give_up(text: str) -> str:
        raise KeyboardInterrupt

    words = iter(["e", "n"])
    assert ask(PLAN, Console(file=io.StringIO(), _environ={}), lambda _: next(words), give_up) is False
