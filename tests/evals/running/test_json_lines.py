"""Lines that are appended: whole ones count, a half-written last one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatdit.evals.running.json_lines import BrokenLineError, append_line, cut_half_line, read_lines
from chatdit.tools.types import Data


class Row(Data):
    n: int


def _rows(path: Path) -> list[int]:
    return [row.n for row in read_lines(path, Row)]


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    assert _rows(path) == []
    for n in (1, 2):
        append_line(path, Row(n=n))
    assert _rows(path) == [1, 2] and path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("half", [b'{"n"', b'{"n":3}'])
def test_a_last_line_without_its_newline_does_not_count(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n":1}\n' + half)
    assert _rows(path) == [1]
    append_line(path, Row(n=2))
    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


def test_cutting_says_whether_there_was_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert not cut_half_line(path)
    path.write_bytes(b'{"n":1}\n{"n"')
    assert cut_half_line(path) and not cut_half_line(path)
    assert _rows(path) == [1]


@pytest.mark.parametrize("line", [b"what?", b'{"n": "x"}', b'{"m": 1}', b"\xff"])
def test_a_broken_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n":1}\n' + line + b"\n")
    with pytest.raises(BrokenLineError, match=r"rows.jsonl, line 2 cannot be read .*: take the line out"):
        _rows(path)
