"""The README's conversation, said to pocket: every turn gets the tool and the pictures that the README tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from chatdit import Session
from chatdit.attachments import take_attachments
from chatdit.records import Picture
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.closer_look import own_reader
from chatdit.tools.pocket.reading import Reading

ROOT = Path(__file__).parents[1]
_ROW = re.compile(r"\| `(?P<said>[^`]+)` \| `(?P<tool>\w+)` \| (?P<count>\d+) \|")


def _told() -> list[tuple[str, str, int]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- conversation -->")[1]
    return [(row["said"], row["tool"], int(row["count"])) for row in _ROW.finditer(text)]


def _read(pictures: Sequence[Picture]) -> list[Reading]:
    opened = [Image.open(picture.path).convert("RGB") for picture in pictures]
    return [own_reader().read(to_tensor(image)[None])[0] for image in opened]


def test_ten_turns_with_eight_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATDIT_GUIDANCE", "1")  # half the work; what is looked for is seen without guidance too
    told = _told()
    assert len(told) == 10 and len({tool for _, tool, _ in told}) == 8
    session = Session(home=tmp_path / "home", seed=0)
    seen: list[list[Reading]] = []
    for said, tool, count in told:
        typed = take_attachments(said, ROOT)
        turn = session.send(typed.text, list(typed.pictures))
        assert turn.plan is not None and [node.tool for node in turn.plan.nodes] == [tool], said
        assert len(turn.images) == count, said
        seen.append([] if tool in ("segment", "compose") else _read(turn.images))

    def subjects(turn: int, picture: int = 0) -> set[str]:
        return {sighting.subject for sighting in seen[turn - 1][picture].sightings}

    fox = seen[1][0].find("fox")
    assert subjects(1) == {"fox", "rocket"} and fox is not None and fox.tint == "red"
    assert subjects(3) == {"fox"} and subjects(5) == subjects(6) == {"cat", "tent"}
    assert all(seen[n - 1][0].background == "forest" for n in (5, 6))
    assert "dodo" in subjects(8), "the painter was never trained on one"
    assert sum("dodo" in subjects(9, page) for page in range(5)) >= 4
