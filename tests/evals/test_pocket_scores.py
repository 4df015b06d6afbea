"""What counts as right, on readings made by hand."""

from __future__ import annotations

import pytest

from chatdit.evals.pocket_scores import (
    SAME_BOX,
    all_counted,
    all_named,
    all_stay,
    as_asked,
    hero_kept,
    one_identity,
    overlap,
    relation_holds,
    same_subject,
    tint_seen,
    worn_seen,
)
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.scene import RELATIONS, Placement, Scene, Thing, Worn
from chatdit.tools.types import Box

HAT, BOW = Worn("top hat", "red"), Worn("bow", "red")


def _seen(
    subject: str, x: float = 0, y: float = 0, tint: str | None = None, worn: Worn | None = None, score: float = 0.9
) -> Sighting:
    return Sighting(subject, tint, Box(x1=x, y1=y, x2=x + 0.25, y2=y + 0.25), score, worn=worn)


def _reading(*sightings: Sighting, style: str = "plain") -> Reading:
    return Reading(sightings, "moon", style)


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_is_judged_by_where_things_stand(relation: str) -> None:
    scene = Scene((Thing("cat"), Thing("dog")), "moon", relation=relation)  # type: ignore[arg-type]
    spots = {"left of": (0, 0.4), "right of": (0.7, 0.4), "above": (0.3, 0), "below": (0.3, 0.7)}
    reading = _reading(_seen("cat", *spots[relation]), _seen("dog", 0.35, 0.35))
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    assert relation_holds(scene, reading)
    assert not relation_holds(Scene(scene.things, "moon", relation=opposite), reading)  # type: ignore[arg-type]
    assert not relation_holds(scene, _reading(_seen("cat")))


def test_an_extra_or_missing_subject_is_not_right() -> None:
    scene = Scene((Thing("cat"), Thing("dog")), "moon", relation="above")
    for right in (all_named, all_counted):
        assert right(scene, _reading(_seen("dog", 0, 0.5), _seen("cat")))
        assert not right(scene, _reading(_seen("cat")))
        assert not right(scene, _reading(_seen("dog", 0, 0.5), _seen("cat"), _seen("owl", 0.5)))


def test_one_too_many_or_too_few_of_a_kind_is_miscounted() -> None:
    scene = Scene((Thing("cat", 2), Thing("dog"), Thing("owl")), "moon")
    cats = (_seen("cat"), _seen("cat", 0.3))
    others = (_seen("dog", 0, 0.5), _seen("owl", 0.5, 0.5))
    assert all_counted(scene, _reading(*others, *cats))
    assert not all_counted(scene, _reading(*others, cats[0]))
    assert not all_counted(scene, _reading(*others, *cats, _seen("cat", 0.7)))
    assert all_named(scene, _reading(*others, cats[0])), "names alone are right"


def test_tints_and_things_worn() -> None:
    red, hatted = Scene((Thing("cat", tint="red"),), "moon"), Scene((Thing("cat", worn=HAT),), "moon")
    assert tint_seen(red, _reading(_seen("cat", tint="red"))) and not tint_seen(red, _reading(_seen("cat")))
    assert worn_seen(hatted, _reading(_seen("cat", worn=HAT)))
    for other in (BOW, Worn("top hat", "blue"), None):
        assert not worn_seen(hatted, _reading(_seen("cat", worn=other)))
    assert not worn_seen(hatted, _reading(_seen("dog", worn=HAT)))


def test_a_hero_is_the_same_with_all_that_it_wears() -> None:
    scene = Scene((Thing("cat", tint="red", worn=HAT), Thing("dog")), "moon", relation="above")
    dog = _seen("dog", 0.5)
    assert hero_kept(scene, _reading(dog, _seen("cat", tint="red", worn=HAT)))
    assert not hero_kept(scene, _reading(dog, _seen("cat", tint="blue", worn=HAT)))
    assert not hero_kept(scene, _reading(dog, _seen("cat", tint="red", worn=BOW)))
    assert not hero_kept(scene, _reading(dog))


def test_styles_without_colours_hide_them() -> None:
    scene = Scene((Thing("cat", tint="red", worn=HAT),), "moon", "sketch")
    pale = _seen("cat", worn=Worn("top hat", "blue"))
    assert hero_kept(scene, _reading(pale)) and as_asked(scene, _reading(pale, style="sketch"))
    assert not hero_kept(scene, _reading(_seen("cat", worn=BOW)))


def test_panels_agree_on_one_identity_whichever_it_is() -> None:
    assert same_subject([_reading(_seen("cat")), _reading(_seen("cat", 0.5))])
    assert not same_subject([_reading(_seen("cat")), _reading(_seen("dog"))])
    assert not same_subject([_reading(_seen("cat")), _reading()])
    scenes = [Scene((Thing("fox"),), "moon"), Scene((Thing("fox"), Thing("dog")), "moon", relation="above")]
    blue = _seen("cat", tint="blue")
    beside_dog = _reading(_seen("dog", 0.5, score=0.95), blue)
    assert one_identity(scenes, [_reading(blue), beside_dog]), "the company is not the hero"
    assert not one_identity(scenes, [_reading(_seen("cat")), beside_dog])
    assert not one_identity(scenes, [_reading(blue), _reading(_seen("dog"))])


def test_all_of_a_picture_is_as_asked() -> None:
    scene = Scene((Thing("cat", tint="red"), Thing("dog")), "moon")
    cat, dog = _seen("cat", tint="red"), _seen("dog", 0.5)
    assert as_asked(scene, _reading(dog, cat))
    assert not as_asked(scene, _reading(dog, cat, style="sepia"))
    assert not as_asked(scene, Reading((dog, cat), "beach", "plain"))
    assert not as_asked(scene, _reading(cat, _seen("dog", 0.5, tint="red")))


def test_squares_stay_where_they_were() -> None:
    cat = Placement("cat", None, 64, 64, 128, rotation=10)
    there = Sighting("cat", None, Box(x1=0.26, y1=0.25, x2=0.76, y2=0.74), 0.9)
    assert all_stay([cat], _reading(there))
    assert not all_stay([cat], _reading(_seen("cat", 0.25, 0.25))), "a quarter of its square"
    assert not all_stay([cat], _reading(Sighting("dog", None, there.box, 0.9)))
    assert not all_stay([cat, Placement("dog", None, 0, 0, 60)], _reading(there))


def test_overlap_is_shared_by_joint_area() -> None:
    whole = Box(x1=0, y1=0, x2=1, y2=1)
    assert overlap(whole, whole) == 1 and overlap(whole, Box(x1=0, y1=0, x2=0.5, y2=1)) == 0.5
    assert overlap(Box(x1=0, y1=0, x2=0.5, y2=1), Box(x1=0.5, y1=0, x2=1, y2=1)) == 0
    # two pixels aside of the smallest sprite still are the same square
    a, b = Box(x1=0, y1=0, x2=52 / 256, y2=52 / 256), Box(x1=2 / 256, y1=2 / 256, x2=54 / 256, y2=54 / 256)
    assert overlap(a, b) > SAME_BOX + 0.1
