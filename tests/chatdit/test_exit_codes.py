"""Exit codes: every class in the table exists, and a message is one line."""

from __future__ import annotations

import importlib

import pytest

from chatdit import exit_codes
from chatdit.exit_codes import BY_CLASS, NotApproved, UsageError, exit_code, one_line


@pytest.mark.parametrize("name", BY_CLASS)
def test_every_class_in_the_table_exists_and_gives_its_code(name: str) -> None:
    module, _, qualname = name.rpartition(".")
    cls = getattr(importlib.import_module(module), qualname)
    assert exit_code(cls("x")) == BY_CLASS[name]


def test_codes_are_those_of_the_design() -> None:
    codes = [exit_codes.OK, exit_codes.FAILURE, exit_codes.USAGE, exit_codes.NOT_APPROVED,
             exit_codes.ENDPOINT_UNREACHABLE, exit_codes.SCORE_BELOW_THRESHOLD, exit_codes.INTERRUPTED]  # fmt: skip
    assert codes == [0, 1, 2, 3, 4, 5, 130]
    assert exit_code(UsageError("x")) == 2
    assert exit_code(NotApproved("x")) == 3


def test_subclasses_take_their_parents_code_and_our_own_faults_have_none() -> None:
    assert exit_code(FileNotFoundError(2, "No such file or directory", "x")) == 1
    assert exit_code(ZeroDivisionError("x")) is None


def test_a_message_is_one_printable_line() -> None:
    assert one_line(ValueError("a\n\tb\x1b[31mc  d")) == "a b [31mc d"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(OSError(28, "No space left on device", "/x/y")) == "No space left on device: /x/y"
