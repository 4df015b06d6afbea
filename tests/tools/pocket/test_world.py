"""Scenes, captions and vocabulary of the pocket world."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chatdit.tools.dit.text_encoder import PhraseTokenizer
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.grid_world import crowd, place, random_scene, random_set
from chatdit.tools.pocket.scene import PICTURE_PIXELS, RELATIONS, Placement, Scene, Thing, check, nameless, overlaps
from chatdit.tools.pocket.vocabulary import (
    BACKGROUNDS,
    DRAWABLE,
    HELD_OUT,
    STYLES,
    SUBJECTS,
    caption_vocabulary,
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


def test_every_random_caption_is_known_to_the_tokenizer() -> None:
    tokenizer = PhraseTokenizer(caption_vocabulary(), 96)
    rng = random.Random(0)
    for _ in range(1500):
        tokens = tokenizer(caption(random_scene(rng)))
        assert tokens.unknown == () and 2 <= len(tokens.ids) <= 16
    tokens = tokenizer(joint_caption([caption(nameless(s)) for s in random_set(rng, 4)]))
    assert tokens.unknown == () and tokens.truncated == 0


def test_captions_say_everything() -> None:
    fox = Thing("fox", size="large", tint="red", position="left")
    assert caption(Scene((fox,), "moon", "sketch")) == "a large red fox on the left on the moon, sketch style"
    pair = Scene((Thing("cat"), Thing("rocket", size="small")), "beach", relation="left of")
    assert caption(pair) == "a cat left of a small rocket on the beach"
    assert caption(Scene((Thing("wolf", 3),), "snow")) == "three wolves in the snow"
    assert joint_caption(["a cat", "a dog"]) == "[panel1] a cat [panel2] a dog"
    assert joint_caption(["a cat"]) == "a cat"


def test_sprites_stay_inside_and_apart() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        sprites = place(random_scene(rng), rng)
        assert all(_inside(s) for s in sprites)
        for i, a in enumerate(sprites):
            assert not any(overlaps(a, b) for b in sprites[i + 1 :])


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_is_kept(relation: str) -> None:
    rng = random.Random(2)
    scene = Scene((Thing("cat"), Thing("dog", size="small")), "room", relation=relation)  # type: ignore[arg-type]
    for _ in range(50):
        a, b = place(scene, rng)
        across, down = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
        assert {"left of": across, "right of": -across, "above": down, "below": -down}[relation] > 0


def test_a_set_shows_one_identity() -> None:
    rng = random.Random(3)
    for panels in (2, 4):
        scenes = random_set(rng, panels)
        assert len(scenes) == panels
        assert len({(s.things[0].subject, s.things[0].tint, s.style) for s in scenes}) == 1


@pytest.mark.parametrize(
    ("scene", "word"),
    [
        (Scene((Thing("zork"),), "moon"), "zork"),
        (Scene((Thing("cat"),), "pluto"), "pluto"),
        (Scene((Thing("cat"),), "moon", "cubist"), "cubist"),
        (Scene((Thing("cat", tint="plaid"),), "moon"), "plaid"),
        (Scene((Thing("cat", 7),), "moon"), "at most 4"),
        (Scene((Thing("cat"), Thing("dog")), "moon"), "relation"),
        (Scene((Thing("cat"), Thing("dog", size="large")), "moon", relation="above"), "large"),
        (Scene((), "moon"), "one or two"),
    ],
)
def test_what_cannot_be_drawn_is_said(scene: Scene, word: str) -> None:
    assert any(word in fault for fault in check(scene))
    with pytest.raises(ValueError, match=word):
        place(scene, random.Random(0))


def test_hiding_the_name_hides_the_tint_too() -> None:
    scene = Scene((Thing("cat", tint="red"), Thing("dog")), "moon", relation="above")
    hidden = nameless(scene)
    assert "cat" not in caption(hidden) and "red" not in caption(hidden) and "dog" in caption(hidden)
    assert replace(hidden, things=scene.things) == scene


def test_a_crowd_is_many_and_apart() -> None:
    rng = random.Random(4)
    for _ in range(200):
        sprites = crowd(rng, DRAWABLE)
        assert 1 <= len(sprites) <= 10
        assert all(_inside(s) for s in sprites)
        assert not any(overlaps(a, b) for i, a in enumerate(sprites) for b in sprites[i + 1 :])


def _inside(sprite: Placement) -> bool:
    free = PICTURE_PIXELS - sprite.side
    return 0 <= sprite.left <= free and 0 <= sprite.top <= free and sprite.left % 32 == sprite.top % 32 == 0
