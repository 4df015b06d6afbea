"""What is asked for: scenes that can stand, in words that the text encoder knows."""

from __future__ import annotations

import random

import torch

from chatdit.evals.pocket_cases import (
    LOOKS,
    Ask,
    ask,
    context_sets,
    dressed_scenes,
    edit_asks,
    group_scenes,
    hero_scenes,
    identity_sets,
    kinds_scenes,
    mixed_scenes,
    pair_scenes,
    person_scenes,
    rows_of_one,
    single_scenes,
    tinted_scenes,
)
from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket import world
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import MAX_PANELS, RELATIONS, Scene, Thing, check
from chatdit.tools.pocket.vocabulary import DRAWABLE, HELD_OUT, PERSON, SIZES, caption_vocabulary

RENDERER = Renderer()


def _rng() -> random.Random:
    return random.Random(0)


def test_every_scene_can_stand_in_the_world() -> None:
    for draw in (single_scenes, hero_scenes, pair_scenes, tinted_scenes, kinds_scenes, mixed_scenes):
        scenes = draw(24, _rng())
        assert len(scenes) == 24 and not [fault for s in scenes for fault in check(s)]
        assert all(world.place(scene, _rng()) for scene in scenes)
    assert {s.things[0].size for s in hero_scenes(6, _rng())} == set(SIZES)
    assert {s.relation for s in pair_scenes(4, _rng())} == set(RELATIONS)


def test_three_kinds_are_counted() -> None:
    for scene in kinds_scenes(40, _rng()):
        assert len(scene.things) == 3 and 4 <= sum(t.count for t in scene.things) <= 6


def test_looks_have_scenes_of_their_own() -> None:
    assert all(s.things[0].worn for s in dressed_scenes(8, _rng()))
    assert all(s.things[0].subject == PERSON and s.things[0].outfit for s in person_scenes(8, _rng()))
    assert {s.things[0].count for s in group_scenes(8, _rng())} == {2, 3, 4}


def test_identity_sets_divide_evenly_among_looks() -> None:
    sets = identity_sets(8, _rng(), RENDERER)
    assert {look: len(asks) for look, asks in sets.items()} == dict.fromkeys(LOOKS, 2)
    for look, asks in sets.items():
        for one in asks:
            heroes = [s.things[0] for s in one.scenes]
            assert len(heroes) == MAX_PANELS and len({(h.subject, h.tint, h.worn, h.variant) for h in heroes}) == 1
            hero = heroes[0]
            assert (hero.tint is not None) == (look == "tint") and (hero.worn is not None) == (look == "worn")
            assert (hero.variant == 1) == (look == "mirrored") == (one.given is not None)
            assert (hero.subject in one.caption) == (look != "mirrored")


def test_a_reference_says_nothing_of_its_subject() -> None:
    asks = context_sets(12, _rng(), RENDERER, HELD_OUT, 2)
    assert all("subject" in text for one in asks for text in one.captions)
    for i, one in enumerate(asks):
        hero = one.scenes[0].things[0]
        assert hero.subject in HELD_OUT and hero.subject not in one.caption
        assert one.given is not None and one.given.shape == (3, 256, 256)
        assert (one.scenes[0].background == "studio" and hero.size == "large") or i % 2 == 0


def test_an_edit_gives_what_was_before() -> None:
    for one in edit_asks(12, _rng(), RENDERER):
        assert one.given is not None and one.stood is not None and len(one.captions) == 2
        before = RENDERER.pictures_of(one.scenes[:1], one.stood[:1], _rng())[0]
        assert torch.equal(one.given, before), "the view is settled"
        assert {(s.left, s.top, s.side) for s in one.stood[0]} & {(s.left, s.top, s.side) for s in one.stood[1]}


def test_rows_of_one_share_nothing() -> None:
    one = Ask(
        (Scene((Thing("cat"),), "beach"), Scene((Thing("cat"),), "moon")),
        ("a cat on the beach", "a cat on the moon"),
        given=torch.zeros(3, 256, 256),
    )
    alone = rows_of_one([one])
    assert [a.caption for a in alone] == ["a cat on the beach", "a cat on the moon"], "without the panels' tags"
    assert [a.scenes for a in alone] == [(s,) for s in one.scenes] and all(a.given is None for a in alone)
    assert one.caption == "[panel1] a cat on the beach [panel2] a cat on the moon"


def test_captions_are_made_of_known_words() -> None:
    tokenizer = PhraseTokenizer(caption_vocabulary(), 96)
    rng = _rng()
    scenes = [
        scene
        for draw in (hero_scenes, pair_scenes, tinted_scenes, kinds_scenes, dressed_scenes, person_scenes)
        for scene in draw(12, rng)
    ]
    asks = [ask([s]) for s in scenes]
    asks += [one for group in identity_sets(8, rng, RENDERER).values() for one in group]
    asks += context_sets(4, rng, RENDERER, DRAWABLE, MAX_PANELS) + edit_asks(12, rng, RENDERER)
    told = [tokenizer(one.caption) for one in asks]
    assert all(t.unknown == () and not t.truncated for t in told)
