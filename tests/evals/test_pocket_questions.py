"""The benchmark's questions, put to a painter that draws the truth and to painters with one fault each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from torch import Tensor

from chatdit.evals import pocket_cases, pocket_context, pocket_questions
from chatdit.evals.intervals import Estimate
from chatdit.evals.pocket_asking import See
from chatdit.evals.pocket_cases import Ask
from chatdit.evals.pocket_questions import Sitting
from chatdit.evals.sprite_fidelity import Comparer, sighting_of
from chatdit.tools.pocket import world
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Placement, Scene
from chatdit.tools.pocket.vocabulary import DRAWABLE

Standing = tuple[Placement, ...]
Fault = Callable[[Ask, int, Standing, Reading], tuple[Standing, Reading]]
"""What a painter makes of one panel of a row: what it draws, and how that is read."""


def _none(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
    return sprites, reading


class TruePainter:
    """Draws what is asked for, but for a fault, and reads it from where it stood it up."""

    def __init__(self, renderer: Renderer, fault: Fault = _none) -> None:
        self._renderer, self._fault = renderer, fault
        self.asked: dict[str, list[Ask]] = {}

    def draw(self, what: str, asks: Sequence[Ask], rng: random.Random, see: See | None = None) -> list[list[Reading]]:
        self.asked[what] = list(asks)
        return [[self._panel(one, i, rng, see) for i in range(len(one.scenes))] for one in asks]

    def _panel(self, one: Ask, panel: int, rng: random.Random, see: See | None) -> Reading:
        scene = one.scenes[panel]
        sprites = world.place(scene, rng) if one.stood is None else one.stood[panel]
        reading = _truth(scene, sprites)
        if panel > 0 or one.given is None:
            sprites, reading = self._fault(one, panel, sprites, reading)
        if see is not None:
            see(scene, self._renderer.pictures_of([scene], [sprites], rng)[0], reading)
        return reading


def _truth(scene: Scene, sprites: Standing) -> Reading:
    return Reading(tuple(sighting_of(s) for s in sprites), scene.background, scene.style)


def _sitting(fault: Fault = _none) -> tuple[Sitting, TruePainter]:
    renderer = Renderer()
    painter = TruePainter(renderer, fault)
    return Sitting(painter, renderer, lambda pictures: pictures, Comparer(renderer)), painter


def _all(scores: pocket_questions.Scores) -> dict[str, Estimate]:
    return scores[0] | scores[1]


def _values(scores: pocket_questions.Scores) -> dict[str, float]:
    return {name: round(e.value, 3) for name, e in _all(scores).items()}


def _changed(reading: Reading, change: Callable[[Sighting], Sighting]) -> Reading:
    return replace(reading, sightings=tuple(change(s) for s in reading.sightings))


def test_the_truth_is_right_in_everything() -> None:
    sitting, painter = _sitting()
    found = _all(pocket_questions.singles(sitting, 3, 0, pocket_questions.restored_singles(sitting, 3, 0)))
    assert all(e.value > 0.97 for n, e in found.items() if n.startswith("sprite_fidelity"))
    values = {n: e.value for n, e in found.items() if not n.startswith("sprite_")}
    values |= _values(pocket_questions.pairs(sitting, 8, 0)) | _values(pocket_questions.attributes(sitting, 8, 0))
    for question in (
        pocket_context.looks,
        pocket_context.panel_identity,
        pocket_context.references,
        pocket_context.context,
        pocket_context.edits,
    ):
        part = _values(question(sitting, 4, 0))
        assert not part.keys() & values.keys()
        values |= part
    # another place than before is luck
    alone = values.pop("layout_copy_alone", 0)
    assert set(values.values()) == {1.0} and alone < 0.5
    assert all(one.scenes for asks in painter.asked.values() for one in asks)


def test_a_missing_sprite_is_miscounted() -> None:
    def lose(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        return sprites, replace(reading, sightings=reading.sightings[1:] if len(sprites) > 2 else reading.sightings)

    values = _values(pocket_questions.attributes(_sitting(lose)[0], 8, 0))
    assert values.pop("count_accuracy") == 0 and set(values.values()) == {1.0}


def test_swapped_places_break_the_relation_alone() -> None:
    def swap(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        first, second = reading.sightings
        return sprites, replace(reading, sightings=(replace(first, box=second.box), replace(second, box=first.box)))

    assert _values(pocket_questions.pairs(_sitting(swap)[0], 8, 0)) == {
        "relation_accuracy": 0,
        "pair_both_named": 1,
    }


def test_another_style_is_a_miss_of_style_alone() -> None:
    def paint(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        return sprites, replace(reading, style="sketch")

    found = _values(pocket_questions.attributes(_sitting(paint)[0], 12, 0))
    assert found.pop("style_accuracy") == pytest.approx(2 / 12, abs=1e-3), "sketches are right"
    assert set(found.values()) == {1.0}


def test_another_tint_on_one_panel_breaks_identity() -> None:
    def dye(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        if panel != 2:
            return sprites, reading
        return sprites, _changed(reading, lambda s: replace(s, tint="pink" if s.tint != "pink" else "blue"))

    sitting = _sitting(dye)[0]
    values = _values(pocket_context.panel_identity(sitting, 4, 0))
    assert values.pop("panels4_top1") == 1, "every subject is right"
    assert values.pop("panel_identity_alone") == 1, "rows of one have no third panel"
    assert set(values.values()) == {0.0}
    found = _values(pocket_context.context(sitting, 4, 0))
    assert found == {
        "context_agreement_heldout": 0,
        "context_agreement_nameless": 0,
        "context_agreement_alone": 1,
    }


def test_what_is_worn_belongs_to_a_reference() -> None:
    def undress(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        return sprites, _changed(reading, lambda s: replace(s, worn=None))

    sitting, painter = _sitting(undress)
    found = _values(pocket_context.references(sitting, 16, 0))
    for which in ("seen", "heldout"):
        asks = painter.asked[f"references, {which}"]
        bare = sum(one.scenes[1].things[0].worn is None for one in asks) / len(asks)
        assert 0 < bare < 1 and found[f"reference_identity_{which}"] == pytest.approx(bare, abs=1e-3)
        assert found[f"reference_subject_{which}"] == 1


def test_a_mirrored_hero_that_is_drawn_straight_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def straight(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        return tuple(replace(s, variant=0) for s in sprites), reading

    # with company, and none of them symmetric
    monkeypatch.setattr(pocket_cases, "DRAWABLE", ("fox", "scorpion", "giraffe"))
    values = _values(pocket_context.panel_identity(_sitting(straight)[0], 4, 0))
    assert values["panel_identity_mirrored"] == 0 and values["panel_identity"] == 0.75


def test_rows_of_one_do_not_know_each_other() -> None:
    rng = random.Random(7)

    def guess(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        """Whoever is told no name and sees no other panel makes one up."""
        if len(one.scenes) > 1 or "subject" not in one.caption:
            return sprites, reading
        hero = replace(reading.sightings[0], subject=rng.choice(DRAWABLE))
        return sprites, replace(reading, sightings=(hero, *reading.sightings[1:]))

    sitting, painter = _sitting(guess)
    values = _values(pocket_context.context(sitting, 6, 0)) | _values(pocket_context.references(sitting, 6, 0))
    assert {n: v for n, v in values.items() if n.endswith("alone")} == {
        "context_agreement_alone": 0,
        "reference_identity_seen_alone": 0,
        "reference_identity_heldout_alone": 0,
    }
    assert {v for n, v in values.items() if not n.endswith("alone")} == {1.0}
    for what, asks in painter.asked.items():
        if "alone" in what:
            assert all(len(one.scenes) == 1 and one.given is None and "[panel" not in one.caption for one in asks)
    together = [text for one in painter.asked["nameless sets of four"] for text in one.captions]
    assert [one.caption for one in painter.asked["nameless alone"]] == together, "the same captions"


def test_an_edit_that_moves_what_it_does_not_name_is_no_copy() -> None:
    def shift(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        moved = tuple(replace(s, left=s.left + (24 if s.left < 100 else -24)) for s in sprites)
        return moved, _truth(one.scenes[panel], moved)

    values = _values(pocket_context.edits(_sitting(shift)[0], 8, 0))
    assert values["layout_copy"] == 0 and values["edit_made"] == 1


def test_an_edit_that_changes_nothing_is_not_made() -> None:
    def ignore(one: Ask, panel: int, sprites: Standing, reading: Reading) -> tuple[Standing, Reading]:
        return (sprites, reading) if one.stood is None else (one.stood[0], _truth(one.scenes[0], one.stood[0]))

    assert _values(pocket_context.edits(_sitting(ignore)[0], 12, 0))["edit_made"] == 0


class Blind:
    """A reader that finds nothing in a studio."""

    def read(self, pictures: Tensor) -> list[Reading]:
        return [Reading((), "studio", "plain") for _ in pictures]


def test_the_readers_own_limits_are_told() -> None:
    limits = pocket_context.reader_limits(Blind(), 3, 0)
    assert {name: (e.value, e.n) for name, e in limits.items()} == {
        "identity_seen": (0, 3),
        "identity_heldout": (0, 3),
        "layout": (0, 3),
    }
    accuracy = pocket_questions.reader_accuracy(Blind(), 12, 0)
    assert accuracy["subjects"].value == 0 and accuracy["background"].value < 1 and accuracy["subjects"].n == 12
