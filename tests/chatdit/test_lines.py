"""Lines from a pipe: joined, kept, and never taken for an answer that nobody gave."""

from __future__ import annotations

import io

import pytest

from chatdit.lines import PlainLines


def test_lines_come_one_by_one_and_end() -> None:
    lines = PlainLines(io.StringIO("a cat\r\n\nthe last"))
    assert [lines.read(), lines.read(), lines.read()] == ["a cat", "", "the last"]
    with pytest.raises(EOFError):
        lines.read()


def test_a_final_backslash_joins_lines() -> None:
    assert PlainLines(io.StringIO("a cat\\\non the\\\nmoon\n")).read() == "a cat\non the\nmoon"


@pytest.mark.parametrize("word", ["y", "Yes", " n ", "no"])
def test_the_next_line_may_answer(word: str) -> None:
    lines = PlainLines(io.StringIO(f"{word}\na dog\n"))
    assert lines.answer("run?") == word
    assert lines.read() == "a dog"


def test_a_message_is_no_answer_and_is_not_lost() -> None:
    lines = PlainLines(io.StringIO("a dog\n"))
    with pytest.raises(EOFError):
        lines.answer("run?")
    assert lines.read() == "a dog"


def test_nobody_edits_in_a_pipe() -> None:
    with pytest.raises(EOFError):
        PlainLines(io.StringIO("x\n")).edit("{}")
