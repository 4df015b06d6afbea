"""Captions of pocket scenes: the sentences the text encoder is trained on."""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.tools.pocket.scene import NAMELESS, Scene, Thing
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, COUNT_WORDS, SUBJECTS

_POSITION_PHRASE = {
    "left": "on the left",
    "right": "on the right",
    "middle": "in the middle",
    "top": "at the top",
    "bottom": "at the bottom",
}


def caption(scene: Scene) -> str:
    """One sentence that says everything about `scene`."""
    subject = _noun_phrase(scene.things[0])
    if scene.relation is not None:
        subject += f" {scene.relation} {_noun_phrase(scene.things[1])}"
    position = scene.things[0].position
    if position is not None:
        subject += f" {_POSITION_PHRASE[position]}"
    style = "" if scene.style == "plain" else f", {scene.style} style"
    return f"{subject} {BACKGROUNDS[scene.background].phrase}{style}"


def joint_caption(captions: Sequence[str]) -> str:
    """One caption for a set of panels, each introduced by its tag; a lone caption stays as it is."""
    if len(captions) == 1:
        return captions[0]
    return " ".join(f"[panel{i}] {text}" for i, text in enumerate(captions, start=1))


def _noun_phrase(thing: Thing) -> str:
    if thing.count > 1:
        plural = "subjects" if thing.subject == NAMELESS else SUBJECTS[thing.subject].plural
        return " ".join(w for w in (COUNT_WORDS[thing.count], thing.tint, plural) if w)
    size = None if thing.size == "medium" else thing.size
    words = " ".join(w for w in (size, thing.tint, thing.subject) if w)
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
