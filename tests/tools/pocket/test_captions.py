"""Captions: whole ones, joint ones, and nameless ones."""

from __future__ import annotations

from dataclasses import replace

from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.scene import Scene, Thing, nameless


def test_captions_say_everything() -> None:
    fox = Thing("fox", size="large", tint="red", position="left")
    assert caption(Scene((fox,), "moon", "sketch")) == "a large red fox on the left on the moon, sketch style"
    pair = Scene((Thing("cat"), Thing("rocket", size="small")), "beach", relation="left of")
    assert caption(pair) == "a cat left of a small rocket on the beach"
    assert caption(Scene((Thing("wolf", 3),), "snow")) == "three wolves in the snow"
    assert joint_caption(["a cat", "a dog"]) == "[panel1] a cat [panel2] a dog"
    assert joint_caption(["a cat"]) == "a cat"


def test_hiding_the_name_hides_the_tint_too() -> None:
    scene = Scene((Thing("cat", tint="red"), Thing("dog")), "moon", relation="above")
    hidden = nameless(scene)
    assert "cat" not in caption(hidden) and "red" not in caption(hidden) and "dog" in caption(hidden)
    assert replace(hidden, things=scene.things) == scene
