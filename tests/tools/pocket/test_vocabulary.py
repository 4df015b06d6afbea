"""The pocket world's vocabulary: how large it is, and that each word names one thing."""

from __future__ import annotations

import pytest

from chatdit.tools.pocket.vocabulary import (
    BACKGROUNDS,
    DRAWABLE,
    HELD_OUT,
    STYLES,
    SUBJECTS,
    find_background,
    find_style,
    find_subject,
    find_tint,
)


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SUBJECTS) >= 200
    assert len(HELD_OUT) >= 24
    assert len(BACKGROUNDS) >= 20
    assert len(STYLES) >= 6
    assert not set(DRAWABLE) & set(HELD_OUT)


def test_no_word_names_two_subjects() -> None:
    owner: dict[str, str] = {}
    for subject in SUBJECTS.values():
        for word in {subject.name, subject.plural, *subject.synonyms}:
            assert owner.setdefault(word, subject.name) == subject.name, word


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("kitten", "cat"),
        ("Foxes", "fox"),
        ("lorry", "truck"),
        ("mice", "mouse"),
        ("spaceship", "rocket"),
        ("zork", None),
    ],
)
def test_subjects_are_found_by_name_plural_and_synonym(words: str, name: str | None) -> None:
    assert find_subject(words) == name


def test_backgrounds_styles_and_tints_are_found_by_synonym() -> None:
    assert (find_background("woods"), find_style("black and white"), find_tint("crimson")) == (
        "forest",
        "monochrome",
        "red",
    )
    assert (find_background("zork"), find_style("zork"), find_tint("zork")) == (None, None, None)
