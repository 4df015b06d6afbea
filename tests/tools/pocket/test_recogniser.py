"""The recogniser's decoding, on perfect logits, and the shipped weights on fresh renders."""

from __future__ import annotations

import random

import pytest
import torch

from chatdit.tools.pocket.recogniser import (
    SIDES,
    SUBJECT_NAMES,
    TINT_NAMES,
    Logits,
    Recogniser,
    _reading,
    corner_targets,
    load_recogniser,
)
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Scene, Thing, place, random_scene
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES
from chatdit.tools.types import ToolError


def test_perfect_answers_are_decoded_to_the_scene() -> None:
    rng = random.Random(0)
    for _ in range(60):
        scene = random_scene(rng)
        sprites = place(scene, rng)
        reading = _reading(_perfect(scene, corner_targets([sprites])))
        found = sorted((s.subject, str(s.tint), s.box.x1, s.box.y1) for s in reading.sightings)
        assert found == sorted((s.subject, str(s.tint), s.column / 8, s.row / 8) for s in sprites)
        assert (reading.background, reading.style) == (scene.background, scene.style)
        assert reading.find("no such thing") is None


def test_other_sizes_are_read_and_other_shapes_refused() -> None:
    model = Recogniser().eval()
    assert len(model.read(torch.zeros(2, 3, 512, 512))) == 2
    with pytest.raises(ToolError, match="expected"):
        model.read(torch.zeros(3, 256, 256))


def test_missing_weights_are_one_clear_line(tmp_path: object) -> None:
    from pathlib import Path

    with pytest.raises(ToolError, match="no recogniser weights"):
        load_recogniser(Path(str(tmp_path)) / "none.safetensors")


def test_the_shipped_recogniser_reads_renders() -> None:
    model, renderer, rng = load_recogniser(), Renderer(), random.Random(11)
    scenes = [
        Scene((Thing(name), Thing(other)), place_name, relation="left of") for name, other, place_name in _TRIPLES
    ]
    readings = model.read(renderer.pictures(scenes, rng))
    hits = [
        {t.subject for t in s.things} == {x.subject for x in r.sightings} and s.background == r.background
        for s, r in zip(scenes, readings, strict=True)
    ]
    assert sum(hits) >= len(hits) - 1


_TRIPLES = [
    ("cat", "rocket", "beach"),
    ("fox", "house", "moon"),
    ("dog", "guitar", "forest"),
    ("owl", "car", "city"),
    ("panda", "umbrella", "snow"),
    ("whale", "anchor", "underwater"),
    ("lion", "cake", "desert"),
    ("robot", "key", "kitchen"),
]


def _perfect(scene: Scene, targets: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> Logits:
    def sure(target: torch.Tensor, classes: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(target[0], classes).permute(2, 0, 1).float() * 20

    corner, subject, tint = targets
    return Logits(
        sure(corner, 1 + len(SIDES)),
        sure(subject, 1 + len(SUBJECT_NAMES)),
        sure(tint, len(TINT_NAMES)),
        torch.tensor([20.0 * (name == scene.background) for name in BACKGROUNDS]),
        torch.tensor([20.0 * (name == scene.style) for name in STYLES]),
    )
