"""Sets of the pocket world that its base draws badly, to train LoRAs on: `pocket:growth`, `pocket:colouring`.

colouring   a pencil sketch, given, and the same picture in colour
sandstorm   a picture, and the same picture in a sandstorm
growth      one subject in one place, three times, each time half as large again, its feet where they were
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.samples import LoraSample
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.composer import grounded
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import NAMELESS, Placement, Scene, Thing
from chatdit.tools.pocket.spots import spot_words
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE

LEFT_OUT = DRAWABLE[::4]
"""Subjects of no sample, so that what is learned can be measured on them."""
LEARNED = tuple(name for name in DRAWABLE if name not in LEFT_OUT)
SMALLEST, GROWTH = (40, 56), (1.5, 1.75)
"""Pixels of the first side, and by how much a panel's is longer than that of the one before."""
FEET, MIDDLE = (205, 240), (92, 164)
_TOLD = 0.8
_SAND = (0.72, 0.42, 0.02)
_Set = tuple[list[Scene], list[tuple[Placement, ...]], tuple[str, ...]]


def growth_scenes(rng: random.Random, subjects: Sequence[str] = LEARNED) -> _Set:
    """Scenes, placements and captions of one subject that grows; no caption tells its size."""
    scene = _scene(rng, subjects)
    x, feet, side = rng.randint(*MIDDLE), rng.randint(*FEET), float(rng.randint(*SMALLEST))
    sprites: list[tuple[Placement, ...]] = []
    for _ in range(3):
        whole = round(side)
        sprites.append((Placement(scene.things[0].subject, None, round(x - side / 2), feet - whole, whole),))
        side *= rng.uniform(*GROWTH)
    return [scene] * 3, sprites, (caption(scene),) * 3


def colouring_scenes(rng: random.Random, subjects: Sequence[str] = LEARNED) -> _Set:
    """Scenes, placements and captions of a sketch and its painting.

    Half of the captions name the subject and the place, most tell where it stands.
    """
    scene = _scene(rng, subjects)
    sprites = grounded(scene, rng)
    spots = sprites if rng.random() < _TOLD else ()
    said = caption(scene, spots) if rng.random() < 0.5 else " ".join([f"a {NAMELESS}", *map(spot_words, spots)])
    return [replace(scene, style="sketch"), scene], [sprites] * 2, (said, said)


def sandstorm_scenes(rng: random.Random, subjects: Sequence[str] = LEARNED) -> _Set:
    """Scenes, placements and captions of a picture twice; most captions tell where its subject stands."""
    scene = _scene(rng, subjects)
    sprites = grounded(scene, rng)
    said = caption(scene, sprites if rng.random() < _TOLD else ())
    return [scene] * 2, [sprites] * 2, (said, said)


def in_sandstorm(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] through sand: darker, dyed, thicker towards the ground, in drifting bands."""
    height, width = pictures.shape[-2:]
    down = torch.linspace(0, 1, height, device=pictures.device)[:, None]
    across = torch.linspace(0, 1, width, device=pictures.device)[None]
    bands = 0.1 * torch.sin(2 * torch.pi * (6 * down + 1.5 * across))
    thick = (0.35 + 0.35 * down + bands).clamp(0, 1)
    sand = torch.tensor(_SAND, device=pictures.device)[:, None, None]
    return (1 - thick) * pictures * 0.8 + thick * sand


def _scene(rng: random.Random, subjects: Sequence[str]) -> Scene:
    thing, place = Thing(rng.choice(subjects)), rng.choice(list(BACKGROUNDS))
    return Scene((thing,), place, view=rng.randrange(BACKGROUND_VARIANTS))


_CARDS = (
    LoraCard(
        name="colouring",
        family="pocket",
        summary="a pencil sketch, and the same picture in colour",
        columns=2,
        captions=("{}, sketch style", "{}"),
        given=(1,),
        alike=True,
    ),
    LoraCard(
        name="sandstorm",
        family="pocket",
        summary="a picture, and the same picture in a sandstorm",
        columns=2,
        given=(1,),
        alike=True,
    ),
    LoraCard(
        name="growth", family="pocket", summary="one subject in three stages of growth", columns=3, given=(1, 2, 3)
    ),
)
_DRAWN: dict[str, Callable[[random.Random], _Set]] = {
    "colouring": colouring_scenes,
    "sandstorm": sandstorm_scenes,
    "growth": growth_scenes,
}
SETS = {card.name: card for card in _CARDS}
"""The cards of the sets that can be rendered."""


def render_samples(name: str, count: int, seed: int) -> tuple[LoraCard, list[LoraSample]]:
    """`count` samples of a set of the pocket world; the same arguments give the same."""
    card, draw = SETS[name], _DRAWN[name]
    rng, renderer = random.Random(f"lora-{name}-{seed}"), Renderer()
    samples = []
    for number in range(1, count + 1):
        scenes, placements, captions = draw(rng)
        pictures = renderer.pictures_of(scenes, placements, rng)
        if name == "sandstorm":
            pictures[1:] = in_sandstorm(pictures[:1])
        samples.append(LoraSample(f"{number:04d}", tuple(to_image(p) for p in pictures), captions))
    return card, samples
