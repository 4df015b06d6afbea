"""What a picture is for, who asks and how it is called is not drawn, and is not asked about either."""

from __future__ import annotations

import pytest

from chatdit.agents.brain import Painter, Request
from chatdit.agents.lexer import lex
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.agents.side_remarks import without_side_remarks

REMARKS = {
    "a banjo concert for my nephew: a guitar on stage": ["banjo", "concert", "nephew"],
    "an invitation to celebrate my graduation: two balloons in the garden": ["celebrate", "graduation"],
    "a snail on a meadow for our newsletter": ["newsletter"],
    "I teach geometry. Draw a cake in the kitchen.": ["teach", "geometry"],
    "how a parrot is baptised in the garden": ["baptised"],
    "a kite swirls on the beach": ["swirls"],
    "a bus in the city for the timetable poster": ["timetable"],
    "a whale in space, to decorate the nursery": ["decorate", "nursery"],
}


@pytest.mark.parametrize("text", REMARKS)
def test_remarks_are_left_out_and_named(text: str) -> None:
    assert without_side_remarks(lex(text))[1] == REMARKS[text]
    instruction = OfflineBrain().parse(Request(text))
    assert not instruction.questions and len(instruction.outputs) == 1
    assert all(any(repr(word) in notice for notice in instruction.notices) for word in REMARKS[text])


@pytest.mark.parametrize(
    "text",
    [
        "a cat with a fnord on the beach",
        "Draw a fnord. A cat on the beach.",
        "I need a fnord. And a cat in space.",
        "a cat, then a frobnicated dog",
        "a fnord and a cat at night",
        "a cat on a fnord",
        "Put a fnord on the cat",
        "a fnord for my shop",
    ],
)
def test_what_may_be_the_thing_to_draw_is_asked_about(text: str) -> None:
    asked = " ".join(OfflineBrain().parse(Request(text)).questions)
    assert "'fnord'" in asked or "'frobnicated'" in asked or "shop" in asked


def test_a_painter_of_any_words_gets_them_all() -> None:
    instruction = OfflineBrain().parse(Request("a snail on a meadow for our newsletter", painter=Painter("flux", True)))
    assert "newsletter" in instruction.outputs[0].description
