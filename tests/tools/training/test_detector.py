"""The detector: what it should say is what was drawn, reading it back gives that, and it learns."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.detector import (
    BACKGROUND_NAMES,
    CLASS_NAMES,
    GRID,
    STYLE_NAMES,
    TINT_NAMES,
    WORN_NAMES,
    Answers,
    Detector,
    DetectorNetwork,
    readings,
)
from chatdit.tools.pocket.drawing import drawing
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import Sample, Wishes, random_sample
from chatdit.tools.pocket.vocabulary import SUBJECTS
from chatdit.tools.training.detector import Targets, detection_loss, scores, targets
from chatdit.tools.training.muon import Muon
from chatdit.tools.types import ToolError

CPU = torch.device("cpu")


def _samples(count: int, seed: int = 3) -> list[Sample]:
    rng = random.Random(seed)
    return [random_sample(rng, 1, Wishes(tuple(SUBJECTS), even_styles=True)) for _ in range(count)]


def _targets(samples: list[Sample]) -> Targets:
    scenes = [s.scenes[0] for s in samples]
    return targets(drawing(scenes, [s.placements[0] for s in samples], random.Random(0)), CPU)


def _perfect(wanted: Targets, count: int) -> Answers:
    """Maps that say exactly what is wanted."""
    picture, row, column = wanted.cell.unbind(dim=1)

    def of(values: Tensor) -> Tensor:
        maps = torch.zeros(count, values.shape[1], GRID, GRID)
        maps[picture, :, row, column] = values.float()
        return maps

    def named(indices: Tensor, names: int) -> Tensor:
        return of(10.0 * F.one_hot(indices.long(), names))

    return Answers(
        middle=torch.logit(wanted.heat, eps=1e-4),
        subject=named(wanted.subject, len(CLASS_NAMES)),
        shift=of(wanted.shift),
        side=of(wanted.side[:, None]),
        angle=of(wanted.angle[:, None]),
        tint=named(wanted.tint, len(TINT_NAMES)),
        worn=named(wanted.worn, len(WORN_NAMES)),
        worn_colour=named(wanted.worn_colour, len(TINT_NAMES)),
        background=10.0 * F.one_hot(wanted.background, len(BACKGROUND_NAMES)),
        style=10.0 * F.one_hot(wanted.style, len(STYLE_NAMES)),
    )


def test_perfect_answers_read_back_as_what_was_drawn() -> None:
    samples = _samples(96)
    found = readings(_perfect(_targets(samples), len(samples)))
    right = scores(samples, found)
    assert right["subjects"] == right["place"] == right["style"] == right["found"] == 1
    assert right["tint"] == right["worn"] == 1
    assert right["middle_error"] < 0.01 and right["side_error"] < 0.01 and right["angle_error"] < 0.5
    assert sum(p.worn is not None for s in samples for p in s.placements[0]) >= 5, "things worn are among them"


def test_wrong_answers_score_less() -> None:
    samples = _samples(32)
    wanted = _targets(samples)
    others = _perfect(
        wanted._replace(subject=(wanted.subject + 1) % len(CLASS_NAMES), worn=(wanted.worn + 1) % 2), len(samples)
    )
    right = scores(samples, readings(others))
    assert right["subjects"] < 0.2 and right["found"] < 0.3 and right["place"] == 1
    assert scores(samples, readings(_perfect(wanted, 32))[1:] + readings(_perfect(wanted, 32))[:1])["subjects"] < 0.2


def test_the_loss_is_least_for_perfect_answers() -> None:
    samples = _samples(16)
    wanted = _targets(samples)
    perfect = _perfect(wanted, len(samples))
    best = detection_loss(perfect, wanted)
    for name in ("shift", "side", "angle"):
        worse = perfect._replace(**{name: getattr(perfect, name) + 0.5})
        assert detection_loss(worse, wanted) > best + 0.4
    assert detection_loss(perfect._replace(middle=-perfect.middle), wanted) > best + 1


def test_colours_are_asked_for_where_the_style_shows_them() -> None:
    samples = _samples(48)
    wanted = _targets(samples)
    perfect = _perfect(wanted, len(samples))
    best = detection_loss(perfect, wanted)
    assert 0.2 < wanted.shown.float().mean() < 0.8
    picture, row, column = wanted.cell.unbind(dim=1)

    def elsewhere(which: Tensor) -> Tensor:
        """Another tint for these sprites."""
        maps = perfect.tint.clone()
        at = (picture[which], slice(None), row[which], column[which])
        maps[at] = maps[at].roll(1, dims=1)
        return maps

    assert detection_loss(perfect._replace(tint=elsewhere(~wanted.shown)), wanted) == best
    assert detection_loss(perfect._replace(tint=elsewhere(wanted.shown)), wanted) > best + 1


def test_a_small_network_learns_a_few_pictures_by_heart() -> None:
    torch.manual_seed(0)
    samples = _samples(4, seed=8)
    scenes, placements = [s.scenes[0] for s in samples], [s.placements[0] for s in samples]
    pictures = Renderer().pictures_of(scenes, placements, random.Random(0))
    network, wanted = DetectorNetwork((8, 24, 32)), _targets(samples)
    matrices = [p for p in network.joint.parameters() if p.dim() == 4]
    chosen = {id(p) for p in matrices}
    optimiser = Muon(matrices, [p for p in network.parameters() if id(p) not in chosen])
    losses = []
    for _ in range(80):
        loss = detection_loss(network(pictures), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(5e-3, 5e-3)
        losses.append(loss.item())
    right = scores(samples, Detector(network).read(pictures))
    assert losses[-1] < losses[0] / 10
    assert right["subjects"] == right["place"] == right["style"] == 1 and right["middle_error"] < 8


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ToolError, match="expected"):
        Detector(DetectorNetwork((8, 8, 8))).read(torch.zeros(3, 256, 256))
