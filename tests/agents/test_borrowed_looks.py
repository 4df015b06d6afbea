"""Looks that words borrow from described pictures are put into the words, and a mere lender is no reference."""

from __future__ import annotations

import pytest

from chatdit.agents.borrowed_looks import without_borrowed_looks
from chatdit.agents.brain import Request
from chatdit.agents.drafts import told_output
from chatdit.agents.instruction import InstructionInput
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.scene import Scene, Thing, Worn
from chatdit.tools.types import ImageRef

RABBIT = Scene((Thing("rabbit"),), "desert")
LLAMA = Scene((Thing("llama", tint="red", size="large", position="right", worn=Worn("party hat", "blue")),), "snow")
PLAIN = Scene((Thing("llama"),), "snow")


def _request(text: str, *scenes: Scene) -> Request:
    inputs = [
        InstructionInput(
            id=f"input_{n}",
            image=ImageRef(sha256=f"{n}" * 64, width=256, height=256),
            description=caption(scene),
            shows=told_output(scene, f"input_{n}"),
        )
        for n, scene in enumerate(scenes, start=1)
    ]
    return Request(text, inputs=tuple(inputs))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Give the rabbit the party hat of the llama in the second picture.", "Give the rabbit a blue party hat."),
        ("let the rabbit wear the hat that the llama of image 2 wears", "let the rabbit wear a blue party hat"),
        (
            "give the rabbit the llama's hat,\nthen make it small",
            "give the rabbit a blue party hat,\nthen make it small",
        ),
        ("give the rabbit the llama\u2019s colour", "make the rabbit red"),
        ("Give the rabbit of picture 1 the colour of the llama.", "make the rabbit of picture 1 red."),
        ("make the rabbit the same color as the llama in picture 2", "make the rabbit red"),
        ("Picture 1 shows a rabbit, picture 2 a llama. Make the bunny as big as the llama.", "Make the bunny large."),
        ("make the rabbit red, like the llama of the second", "make the rabbit red"),
        ("dress and paint the rabbit like the llama", "make the rabbit red, wearing a blue party hat"),
        ("paint the rabbit of the first picture like the llama", "make the rabbit of the first picture red"),
        ("let the rabbit stand where the llama of picture 2 stands", "put the rabbit on the right"),
        ("put the rabbit on the right, as the llama in image 2", "put the rabbit on the right"),
    ],
)
def test_what_is_borrowed_is_put_into_the_words(text: str, told: str) -> None:
    borrowed = without_borrowed_looks(_request(text, RABBIT, LLAMA))
    assert (borrowed.request.text, borrowed.lenders) == (told, (2,))
    assert [given.role for given in borrowed.request.inputs] == ["subject", "other"]


@pytest.mark.parametrize(
    ("text", "scenes"),
    [
        ("give the rabbit the halo of the llama in image 2", (RABBIT, LLAMA)),
        ("give the rabbit the colour of the llama in image 1", (RABBIT, LLAMA)),
        ("give the rabbit the colour of the llama in image 2", (RABBIT, PLAIN)),
        ("make the rabbit blue, like the llama in image 2", (RABBIT, LLAMA)),
        ("a rabbit like the llama", (RABBIT, LLAMA)),
        ("draw a koala where the llama stands in this picture", (LLAMA,)),
        ("put the rabbit beside the llama", (RABBIT, LLAMA)),
    ],
)
def test_what_nobody_lends_is_left_as_it_is_said(text: str, scenes: tuple[Scene, ...]) -> None:
    request = _request(text, *scenes)
    assert without_borrowed_looks(request).request is request


def test_who_is_wanted_besides_stays_a_reference() -> None:
    borrowed = without_borrowed_looks(
        _request("put the rabbit, in the colour of the llama, beside the llama", RABBIT, LLAMA)
    )
    assert borrowed.request.text == "put the rabbit, red, beside the llama" and borrowed.lenders == ()


def test_the_borrower_is_edited_in_its_own_picture() -> None:
    for order in ((RABBIT, LLAMA), (LLAMA, RABBIT)):
        number = order.index(RABBIT) + 1
        read = OfflineBrain().parse(_request(f"give the rabbit of picture {number} the hat of the llama", *order))
        (output,) = read.outputs
        assert output.description == "a rabbit wearing a blue party hat in the desert" and not read.questions
        assert output.references == (f"input_{number}",)
        assert f"Of image {3 - number} I take nothing but the look that you name." in read.notices
