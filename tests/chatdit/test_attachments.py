"""Typed lines: which words are pictures, and which stay words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatdit.attachments import TypedLine, is_command, take_attachments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat.png", "my pic.png", "it's.jpg", "notes", "photo.JPG"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "text", "names"),
    [
        ("draw a cat", "draw a cat", []),
        ("'{d}/my pic.png' ", "", ["my pic.png"]),
        ("'{d}/my pic.png' make it blue", "make it blue", ["my pic.png"]),
        ('"{d}/my pic.png" "{d}/cat.png"', "", ["my pic.png", "cat.png"]),
        (r"{d}/my\ pic.png on the beach", "on the beach", ["my pic.png"]),
        ("file://{d}/my%20pic.png", "", ["my pic.png"]),
        ("put @cat.png on the moon", "put image 1 on the moon", ["cat.png"]),
        ("put @cat.png, and a dog", "put image 1, and a dog", ["cat.png"]),
        ("@cat.png on the moon", "on the moon", ["cat.png"]),
        ("make it blue @cat.png", "make it blue", ["cat.png"]),
        (
            "put @'my pic.png' beside @cat.png on the moon",
            "put image 1 beside image 2 on the moon",
            ["my pic.png", "cat.png"],
        ),
        ("make cat.png red", "make image 1 red", ["cat.png"]),
        ("{d}/photo.JPG", "", ["photo.JPG"]),
        ("{d}/notes", "", ["notes"]),
        ("take notes of the cat's hat", "take notes of the cat's hat", []),
        ("the cat's and the dog's", "the cat's and the dog's", []),
        ("2 cats @ noon", "2 cats @ noon", []),
        ("first\nsecond", "first\nsecond", []),
    ],
)
def test_pictures_are_taken_out_of_the_text(folder: Path, line: str, text: str, names: list[str]) -> None:
    typed = take_attachments(line.replace("{d}", str(folder)), folder)
    assert typed == TypedLine(text, tuple(folder / name for name in names))


@pytest.mark.parametrize("line", ["@dog.png by the sea", "/no/such/dog.png by the sea", "~/no-such-dog.png"])
def test_a_lost_picture_is_reported_and_stays_in_the_text(folder: Path, line: str) -> None:
    typed = take_attachments(line, folder)
    assert typed.missing and typed.missing[0].endswith("dog.png")
    assert typed.text == line


def test_names_go_on_from_the_pictures_attached_before(folder: Path) -> None:
    assert take_attachments("put @cat.png on the moon", folder, already=2).text == "put image 3 on the moon"


def test_a_word_that_is_no_path_at_all_is_harmless(folder: Path) -> None:
    assert take_attachments("/" + "x" * 5000, folder).pictures == ()
    assert take_attachments("@~nobody-here/x", folder).pictures == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [("/undo", True), ("/seed 5", True), ("/nonsense", True), ("/home/me/cat.png", False), ("undo", False), ("", False),
     ("/ undo", False), ("//", False)],
)  # fmt: skip
def test_commands_are_told_from_paths(folder: Path, line: str, expected: bool) -> None:
    assert is_command(line, folder) is expected
