"""Checks: read back as written, told in words, and held or not by what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from chatdit.evals.judges import checks as c
from chatdit.evals.judges.check_rules import Look, Seen, tell, why_not
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import Worn
from chatdit.tools.types import Box

HAT = Worn("top hat", "red")


def sighting(
    subject: str, x: float = 0.5, y: float = 0.5, side: float = 0.3, tint: str | None = None, worn: Worn | None = None,
    rotation: int = 0,
) -> Sighting:  # fmt: skip
    box = Box(x1=x - side / 2, y1=y - side / 2, x2=x + side / 2, y2=y + side / 2)
    return Sighting(subject, tint, box, 1.0, rotation, worn)


def look(*sightings: Sighting, place: str = "beach", style: str = "plain", level: int = 100) -> Look:
    return Look(Reading(sightings, place, style), np.full((256, 256, 3), level, np.uint8))


CAT = sighting("cat", 0.25, 0.7)
SEEN = Seen(
    inputs=(look(CAT),),
    outputs=(
        look(sighting("cat", 0.25, 0.7, tint="red", worn=HAT), sighting("fox", 0.75, 0.7), level=103),
        look(sighting("cat", 0.5, 0.7, 0.45, tint="red", worn=HAT), place="moon", level=140),
        look(
            sighting("cat", 0.7, 0.5, 0.6, tint="red", worn=HAT, rotation=14), place="moon", style="sketch", level=140
        ),
    ),
)
HOLD: list[c.Check] = [
    c.Count(outputs=3),
    c.Shows(picture="out1", subject="cat", count=1, tint="red", worn="top hat", worn_colour="red"),
    c.Only(picture="out1", things={"cat": 1, "fox": 1}),
    c.Absent(picture="out2", subject="fox"),
    c.Bare(picture="in1", subject="cat"),
    c.Place(picture="out2", background="moon"),
    c.Drawn(picture="out3", style="sketch"),
    c.Stands(picture="out1", first="cat", relation="left of", second="fox"),
    c.Stands(picture="out1", first="fox", relation="right of", second="cat"),
    c.At(picture="out1", subject="cat", position="left"),
    c.At(picture="out1", subject="cat", position="bottom"),
    c.At(picture="out3", subject="cat", position="right"),
    c.Sized(picture="out1", subject="cat", at_most=0.36),
    c.Turned(picture="out1", subject="cat", within=6),
    c.Grows(pictures=("out1", "out2", "out3"), subject="cat", factor=1.15),
    c.Grows(pictures=("out3", "out2", "out1"), subject="cat", factor=0.87),
    c.Moves(pictures=("out1", "out2", "out3"), subject="cat", way="right"),
    c.SameHero(pictures=("out1", "out2", "out3"), company=("fox",)),
    c.SamePlace(pictures=("out2", "out3")),
    c.SameStyle(pictures=("out1", "out2")),
    c.Layout(before="in1", after="out1"),
    c.Kept(before="in1", after="out1"),
    c.Different(pictures=("out1", "out2")),
]
BREAK: list[c.Check] = [
    c.Count(outputs=2),
    c.Shows(picture="out1", subject="dog"),
    c.Shows(picture="out1", subject="cat", count=2),
    c.Shows(picture="out1", subject="cat", tint="blue"),
    c.Shows(picture="in1", subject="cat", worn="top hat"),
    c.Shows(picture="out1", subject="cat", worn="top hat", worn_colour="blue"),
    c.Only(picture="out1", things={"cat": 1}),
    c.Absent(picture="out1", subject="fox"),
    c.Bare(picture="out1", subject="cat"),
    c.Place(picture="out1", background="moon"),
    c.Drawn(picture="out1", style="sketch"),
    c.Stands(picture="out1", first="cat", relation="right of", second="fox"),
    c.At(picture="out1", subject="cat", position="top"),
    c.At(picture="out3", subject="cat", position="middle"),
    c.Sized(picture="out3", subject="cat", at_most=0.36),
    c.Turned(picture="out3", subject="cat", within=6),
    c.Grows(pictures=("out2", "out1"), subject="cat", factor=1.15),
    c.Moves(pictures=("out1", "out2"), subject="cat", way="left"),
    c.SameHero(pictures=("in1", "out1"), company=("fox",)),
    c.SamePlace(pictures=("out1", "out2")),
    c.SameStyle(pictures=("out1", "out3")),
    c.Layout(before="in1", after="out2"),
    c.Kept(before="in1", after="out2"),
    c.Sharper(before="out1", after="out2", factor=1.5),
    c.Different(pictures=("out2", "out3")),
    c.Place(picture="out4", background="moon"),
]


@pytest.mark.parametrize("check", HOLD, ids=lambda check: check.tell())
def test_a_check_holds(check: c.Check) -> None:
    assert why_not([check], SEEN) is None


@pytest.mark.parametrize("check", BREAK, ids=lambda check: check.tell())
def test_a_check_does_not_hold_and_says_why(check: c.Check) -> None:
    reason = why_not([check], SEEN) if check.kind != "sharper" else why_not([check], _flat_then_flat())
    assert reason and len(reason) < 200


def _flat_then_flat() -> Seen:
    noisy = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    return Seen((), (Look(Reading((), "beach", "plain"), noisy), look()))


def test_every_kind_of_check_is_tried_both_ways() -> None:
    kinds = {check.kind for check in HOLD} | {"sharper"}
    assert kinds == {check.kind for check in BREAK}


def test_a_list_of_checks_holds_when_all_do() -> None:
    assert why_not(HOLD, SEEN) is None
    assert why_not([*HOLD, c.Count(outputs=9)], SEEN) == "3 pictures, asked for 9"


def test_sharper_compares_fine_detail() -> None:
    seen = _flat_then_flat()
    assert why_not([c.Sharper(before="out2", after="out1")], seen) is None
    assert why_not([c.Sharper(before="out1", after="out2")], seen) is not None


def test_what_may_change_is_left_out_of_what_must_stay() -> None:
    painted = look(CAT)
    painted.pixels[100:150, 50:90] = 255
    seen = Seen((look(CAT),), (painted,))
    levels = 155 * 50 * 40 / 256**2
    assert why_not([c.Kept(before="in1", after="out1", levels=levels - 0.1)], seen) is not None
    inside = Box(x1=50 / 256, y1=100 / 256, x2=90 / 256, y2=150 / 256)
    assert why_not([c.Kept(before="in1", after="out1", outside=(inside,), levels=0)], seen) is None


def test_colours_do_not_tell_heroes_apart_where_the_style_hides_them() -> None:
    grey = look(sighting("cat", tint=None, worn=Worn("top hat", "blue")), style="sketch")
    seen = Seen((look(sighting("cat", tint="red", worn=HAT)),), (grey, look(sighting("cat"), style="sketch")))
    assert why_not([c.SameHero(pictures=("in1", "out1"))], seen) is None
    assert why_not([c.SameHero(pictures=("in1", "out2"))], seen) is not None, "one wears nothing"
    assert why_not([c.SameHero(pictures=("in1", "out2"), looks=False)], seen) is None


def test_checks_are_read_back_as_written() -> None:
    assert c.read_checks(c.write_checks(tuple(HOLD + BREAK))) == tuple(HOLD + BREAK)


@pytest.mark.parametrize("data", [None, {}, [{"kind": "guess"}], [{"kind": "count"}], [{"kind": "at", "picture": "x"}]])
def test_what_is_no_list_of_checks_is_refused(data: object) -> None:
    with pytest.raises(ValidationError):
        c.read_checks(data)  # type: ignore[arg-type]


def test_checks_and_readings_are_told_in_words() -> None:
    assert HOLD[1].tell() == "picture 1 shows exactly a red cat wearing a red top hat"
    assert c.Only(picture="out1", things={"cat": 2, "fox": 1}).tell() == (
        "picture 1 shows two cats and a fox and nothing besides"
    )
    assert tell(SEEN.outputs[0].reading) == "red cat with red top hat, fox (beach, plain)"
