"""Phrases that name things in a picture."""

from __future__ import annotations

import pytest

from chatdit.tools.pocket.phrase_reader import Named, read_phrase

HATS = ("top hat", "party hat")
CAT, FOX = Named("cat"), Named("fox")


@pytest.mark.parametrize(
    ("phrase", "noun"),
    [
        ("the fox", FOX),
        ("Foxes", Named("fox", several=True)),
        ("two foxes", Named("fox", several=True)),
        ("a kitten", CAT),
        ("a man", Named("person")),
        ("the people", Named("person", several=True)),
        ("the red cat", Named("cat", tint="red")),
        ("crimson cat", Named("cat", tint="red")),
        ("the cat that is red", Named("cat", tint="red")),
        ("the left cat", Named("cat", places=("left",))),
        ("the cat on the left side", Named("cat", places=("left",))),
        ("the upper left one", Named(places=("top", "left"))),
        ("the one on the right", Named(places=("right",))),
        ("the leftmost", Named(places=("left",))),
        ("the biggest fox", Named("fox", size="large")),
        ("everything", Named(several=True)),
        ("all foxes", Named("fox", several=True)),
        ("the fox left of the cat", Named("fox", beside=("left of", CAT))),
        ("the cat wearing a blue bow", Named("cat", wears=("bow",), wears_tint="blue")),
        ("the red cat with a hat", Named("cat", tint="red", wears=HATS)),
        ("the cat without a hat", Named("cat", wears=HATS, bare=True)),
        ("the hat", Named(wears=HATS, part=HATS)),
        ("the cat's hat", Named("cat", wears=HATS, part=HATS)),
        ("the blue hat of the red cat", Named("cat", tint="red", wears=HATS, wears_tint="blue", part=HATS)),
        ("the bow on the left", Named(places=("left",), wears=("bow",), part=("bow",))),
        ("the hat that is blue", Named(wears=HATS, wears_tint="blue", part=HATS)),
    ],
)
def test_one_noun(phrase: str, noun: Named) -> None:
    assert read_phrase(phrase) == ((noun,), ())


def test_several_nouns() -> None:
    assert read_phrase("the red cat, the fox and a drum").named == (Named("cat", tint="red"), FOX, Named("drum"))
    first, second = read_phrase("the fox above the cat and the dog on the right").named
    assert first == Named("fox", beside=("above", CAT)) and second == Named("dog", places=("right",))


def test_words_that_say_nothing_here_are_told() -> None:
    assert read_phrase("the striped fox").unknown == ("striped",)
    assert read_phrase("zork").unknown == ("zork",)
    assert read_phrase("the") == ((), ())
