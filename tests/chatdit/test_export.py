"""A session as a document: whole, escaped, and never over another file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chatdit.export import export_session, export_stored
from chatdit.session import Session
from chatdit.session_errors import StoreError, UnknownSession

MakeSession = Callable[..., Session]
NASTY = 'a cat <script>alert(1)</script> & "beach"'


class Page(HTMLParser):
    """Tags, image sources and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_with_the_pictures_inside(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    turn = session.send("a cat on the beach, then a dog on the moon")
    session.send(NASTY)
    path = export_session(session, "html", tmp_path / "docs")
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags and NASTY in page.text
    assert page.text.count("a dog on the moon") == 2  # what was said, and the caption
    pictures = [base64.b64decode(s.removeprefix("data:image/png;base64,")) for s in page.sources]
    assert pictures[:2] == [picture.path.read_bytes() for picture in turn.images]
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)


def test_markdown_is_a_folder_with_copies(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    turn = session.send("a cat on the beach")
    session.send("a *glorb* <b>[x](y)</b>")
    path = export_session(session, "md", tmp_path / "docs")
    text = path.read_text(encoding="utf-8")
    picture = turn.images[0]
    assert (path.parent / "images" / picture.path.name).read_bytes() == picture.path.read_bytes()
    assert f"](images/{picture.path.name})" in text
    assert f"seed {picture.seed}" in text
    assert r"a \*glorb\* \<b\>\[x\]\(y\)\</b\>" in text


def test_nothing_is_overwritten(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    session.send("a cat")
    first = export_session(session, "md", tmp_path)
    second = export_session(session, "md", tmp_path)
    assert first != second and first.read_bytes() == second.read_bytes()
    page = export_session(session, "html", tmp_path)
    assert export_session(session, "html", tmp_path) == page, "the same page counts as written"
    session.send("a dog")
    assert export_session(session, "html", tmp_path) == page.with_name(f"{page.stem}-2.html")


def test_a_session_in_use_can_be_exported(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    session.send("a cat")
    path = export_stored(tmp_path / "home", session.id[:-1], "md", tmp_path / "docs")
    assert "a cat" in path.read_text(encoding="utf-8")
    with pytest.raises(UnknownSession):
        export_stored(tmp_path / "home", "nope", "md", tmp_path / "docs")


def test_missing_files_and_refusing_folders(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    turn = session.send("a cat")
    turn.images[0].path.unlink()
    assert "the file is gone" in export_session(session, "html", tmp_path).read_text(encoding="utf-8")
    assert "the file is gone" in export_session(session, "md", tmp_path).read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        export_session(session, "md", tmp_path / "file")
