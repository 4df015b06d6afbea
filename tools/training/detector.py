"""Train the detector on renders of the pocket world, a part of them restored by the autoencoder, and measure it.

Layout legend: B batch, G cells on a side, S sprites of the whole batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.pocket.captions import COLOURLESS
from chatdit.tools.pocket.detector import (
    ANGLE_UNIT,
    CELL_PIXELS,
    GRID,
    MIDDLE_SIDE,
    Answers,
    Detector,
    DetectorNetwork,
)
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS, Drawing, SpriteNumbers
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import PERSON_CLASS, Renderer
from chatdit.tools.pocket.samples import Sample, Wishes, random_sample
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement
from chatdit.tools.pocket.vocabulary import STYLES, SUBJECTS
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.training.streams import SetChunk, StreamOptions, stream
from chatdit.tools.training.team import mixed_precision

RESTORED_PART = 4
READ = Wishes(tuple(SUBJECTS), even_styles=True, mirrored=0.4, dressed=0.4)
"""What it learns to read: everything that panels may show, and more of what is hard to see."""
_SPREAD_CELLS = 0.8
_COLOURLESS = torch.tensor([list(STYLES).index(name) for name in COLOURLESS])
_LOG_EVERY = 50


@dataclass(frozen=True)
class DetectorRecipe:
    """How the detector is trained."""

    minutes: float = 5.0
    steps: int | None = None
    batch: int = 128
    chunk: int = 8192
    """Pictures rendered at once: a rendering costs a device much the same whether it is of few or of many."""
    loaders: int = 4
    peak: float = 2e-3
    checked: int = 512
    """Pictures of another seed that the trained network is measured on."""


SMALL_DETECTOR_RECIPE = DetectorRecipe(batch=16, chunk=16, loaders=0, checked=64)
"""For a machine without a GPU."""


class Targets(NamedTuple):
    """What the network should say; all but `heat`, `background` and `style` are of the S sprites."""

    heat: Tensor
    """float (B, 1, G, G): 1 in the cell of a sprite's middle, falling off around it."""
    cell: Tensor
    """int64 (S, 3): picture, row, column."""
    subject: Tensor
    shift: Tensor
    """float (S, 2)"""
    side: Tensor
    angle: Tensor
    tint: Tensor
    worn: Tensor
    worn_colour: Tensor
    shown: Tensor
    """bool: whether the picture's style shows colours."""
    background: Tensor
    style: Tensor


def train_detector(
    out: Path,
    autoencoder: PocketAutoencoder,
    recipe: DetectorRecipe,
    *,
    device: torch.device,
    seed: int,
    start: DetectorNetwork | None = None,
) -> DetectorNetwork:
    """A trained network, from `start` or from noise; its accuracy on another seed goes to `out/detector.jsonl`."""
    torch.manual_seed(seed)
    model = (start or DetectorNetwork()).to(device).train().requires_grad_(True)
    ends = {id(p) for layer in (model.near[1], model.cells, model.whole) for p in layer.parameters()}
    matrices = [p for p in model.parameters() if p.dim() == 4 and id(p) not in ends]
    chosen = {id(p) for p in matrices}
    optimiser = Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
    renderer = Renderer(device)
    clock, log = Clock(recipe.minutes, steps=recipe.steps), RunLog(out / "detector.jsonl")
    options = StreamOptions(1, recipe.chunk, READ)
    batches = _batches(stream(options, f"detector-{seed}", recipe.loaders), renderer, recipe.batch)
    taken = 0
    for step, share in clock.ticks():
        numbers, pictures = next(batches)
        pictures = _seen(pictures, autoencoder)
        with mixed_precision(device):
            answers = model(pictures)
        loss = detection_loss(answers, targets(numbers, device))
        loss.backward()  # type: ignore[no-untyped-call]
        factor = rate(share, step, warmup=50, flat=0.4)
        optimiser.step(recipe.peak * factor, recipe.peak * factor)
        taken = step + 1
        if step % _LOG_EVERY == 0:
            log.write(step=step, seconds=clock.seconds, loss=loss.item())
    scores = measure(Detector(model), renderer, seed + 1, recipe.checked)
    log.write(step=taken, seconds=clock.seconds, pictures=taken * recipe.batch, **scores)
    return model.eval()


def _batches(chunks: Iterator[SetChunk], renderer: Renderer, size: int) -> Iterator[tuple[Drawing, Tensor]]:
    """Batches of `size` single pictures, as numbers and rendered."""
    for chunk in chunks:
        numbers = chunk.drawing
        pictures = renderer.draw(numbers)
        for i in range(0, len(pictures), size):
            j = i + size
            part = Drawing(numbers.sprites[i:j], numbers.figures, numbers.grounds[i:j], numbers.styles[i:j])
            yield part, pictures[i:j]


def targets(numbers: Drawing, device: torch.device) -> Targets:
    """What a detector should say of a drawing."""
    places = (numbers.sprites[..., SpriteNumbers._fields.index("side")] > 0).nonzero()
    every = SpriteNumbers[Tensor](*numbers.sprites[places[:, 0], places[:, 1]].unbind(dim=1))
    is_worn = (every.tile >= len(SUBJECTS)) & (every.figure == 0)
    bearers, pictures = ~is_worn, places[:, 0]
    sprite = SpriteNumbers[Tensor](*(field[bearers] for field in every))
    picture = pictures[bearers]
    x, y = (start + sprite.side / 2 for start in (sprite.left, sprite.top))
    column, row = ((v / CELL_PIXELS).floor().clamp(0, GRID - 1).long() for v in (x, y))
    shift = torch.stack([x / CELL_PIXELS - column - 0.5, y / CELL_PIXELS - row - 0.5], dim=1)
    # each accessory belongs to the sprite of the same picture and owner
    slots = numbers.sprites.shape[1]
    owned = (pictures * slots + every.owner)[is_worn]
    things, colours = torch.zeros(2, len(numbers.sprites) * slots, dtype=torch.int64)
    things[owned], colours[owned] = every.tile[is_worn] - len(SUBJECTS) + 1, every.tint[is_worn]
    owner = picture * slots + sprite.owner
    subject = torch.where(sprite.figure > 0, PERSON_CLASS, sprite.tile)
    found = Targets(
        heat=_heat(len(numbers.sprites), picture, x / CELL_PIXELS - 0.5, y / CELL_PIXELS - 0.5, row, column),
        cell=torch.stack([picture, row, column], dim=1),
        subject=subject,
        shift=shift,
        side=(sprite.side / MIDDLE_SIDE).log(),
        angle=sprite.rotation / ANGLE_UNIT,
        tint=sprite.tint,
        worn=things[owner],
        worn_colour=colours[owner],
        shown=~torch.isin(numbers.styles, _COLOURLESS)[picture],
        background=numbers.grounds // BACKGROUND_VARIANTS,
        style=numbers.styles,
    )
    return Targets(*(field.to(device, non_blocking=True) for field in found))


def _heat(count: int, picture: Tensor, x: Tensor, y: Tensor, row: Tensor, column: Tensor) -> Tensor:
    cells = torch.arange(GRID)
    across, down = (cells - x[:, None]).square(), (cells - y[:, None]).square()
    bumps = (-(down[:, :, None] + across[:, None]) / (2 * _SPREAD_CELLS**2)).exp()
    cell = picture[:, None].expand(-1, GRID * GRID)
    heat = torch.zeros(count, GRID * GRID).scatter_reduce_(0, cell, bumps.flatten(1) * 0.99, "amax")
    heat = heat.view(count, 1, GRID, GRID)
    heat[picture, 0, row, column] = 1
    return heat


def detection_loss(answers: Answers, wanted: Targets) -> Tensor:
    """Penalty-reduced focal loss of the middles (arXiv 1904.07850, eq. 1), cross-entropies and L1 at the sprites."""
    logits, heat = answers.middle.float(), wanted.heat
    confidence = logits.sigmoid()
    is_middle = heat == 1
    hit = (1 - confidence).square() * F.logsigmoid(logits)
    miss = (1 - heat).pow(4) * confidence.square() * F.logsigmoid(-logits)
    count = max(1, len(wanted.cell))
    loss = -torch.where(is_middle, hit, miss).sum() / count
    picture, row, column = wanted.cell.unbind(dim=1)

    def at(maps: Tensor) -> Tensor:
        return maps.float()[picture, :, row, column]

    always = torch.ones_like(wanted.shown)
    for maps, names, told, weight in (
        (answers.subject, wanted.subject, always, 1.0),
        (answers.tint, wanted.tint, wanted.shown, 1.0),
        (answers.worn, wanted.worn, always, 2.0),
        # nothing is worn in no colour, whatever the style
        (answers.worn_colour, wanted.worn_colour, wanted.shown | (wanted.worn == 0), 2.0),
    ):
        each = F.cross_entropy(at(maps), names, reduction="none") * told
        loss = loss + weight * each.sum() / told.sum().clamp(min=1)
    loss = loss + F.l1_loss(at(answers.shift), wanted.shift) + 2 * F.l1_loss(at(answers.side)[:, 0], wanted.side)
    loss = loss + F.l1_loss(at(answers.angle)[:, 0], wanted.angle)
    whole = F.cross_entropy(answers.background.float(), wanted.background)
    return loss + whole + F.cross_entropy(answers.style.float(), wanted.style)


def measure(detector: Detector, renderer: Renderer, seed: int, pictures: int) -> dict[str, float]:
    """Shares read right on fresh renders: all subjects, tints, things worn, place, style; and errors where found.

    Errors are means over the sprites that were found: of the square's middle and side in pixels, and of the angle.
    """
    rng = random.Random(f"detector-check-{seed}")
    samples = [random_sample(rng, 1, READ) for _ in range(pictures)]
    readings: list[Reading] = []
    for i in range(0, pictures, 32):
        part = samples[i : i + 32]
        truth = renderer.pictures_of([s.scenes[0] for s in part], [s.placements[0] for s in part], rng)
        readings += detector.read(truth)
    return scores(samples, readings)


def scores(samples: Sequence[Sample], found: Sequence[Reading]) -> dict[str, float]:
    """The measures of `measure`, of readings of single pictures; colours count where the style shows them."""
    matched = [
        (sprite, sighting, sample.scenes[0].style not in COLOURLESS)
        for sample, reading in zip(samples, found, strict=True)
        for sprite, sighting in _matched(sample.placements[0], reading)
    ]
    pairs = [(sprite, sighting) for sprite, sighting, _ in matched]
    shown = [(sprite, sighting) for sprite, sighting, coloured in matched if coloured]
    sprites = sum(len(sample.placements[0]) for sample in samples)
    whole = [
        (
            sorted(s.subject for s in reading.sightings) == sorted(p.subject for p in sample.placements[0]),
            reading.background == sample.scenes[0].background,
            reading.style == sample.scenes[0].style,
        )
        for sample, reading in zip(samples, found, strict=True)
    ]
    shares = {name: sum(row[i] for row in whole) / len(whole) for i, name in enumerate(("subjects", "place", "style"))}
    near = max(1, len(pairs))
    return shares | {
        "found": len(pairs) / max(1, sprites),
        "tint": sum(p.tint == s.tint for p, s in shown) / max(1, len(shown)),
        "worn": sum(p.worn == s.worn for p, s in shown) / max(1, len(shown)),
        "middle_error": sum(_distance(p, s) for p, s in pairs) / near,
        "side_error": sum(abs(p.side - (s.box.x2 - s.box.x1) * PICTURE_PIXELS) for p, s in pairs) / near,
        "angle_error": sum(abs(p.rotation - s.rotation) for p, s in pairs) / near,
    }


def _matched(sprites: Sequence[Placement], reading: Reading) -> list[tuple[Placement, Sighting]]:
    """Each sprite with the nearest sighting of its subject within half its side; no sighting serves two."""
    left = list(reading.sightings)
    pairs = []
    for sprite in sprites:
        near = [s for s in left if s.subject == sprite.subject and _distance(sprite, s) < sprite.side / 2]
        if near:
            pairs.append((sprite, min(near, key=lambda s: _distance(sprite, s))))
            left.remove(pairs[-1][1])
    return pairs


def _distance(sprite: Placement, sighting: Sighting) -> float:
    """Pixels between the middles of two squares."""
    box, (x, y) = sighting.box, sprite.centre
    return math.hypot(x - (box.x1 + box.x2) / 2 * PICTURE_PIXELS, y - (box.y1 + box.y2) / 2 * PICTURE_PIXELS)


@torch.no_grad()
def _seen(pictures: Tensor, autoencoder: PocketAutoencoder) -> Tensor:
    """The pictures, a quarter of them as the autoencoder restores them: what a generator draws looks like that."""
    restored = max(1, len(pictures) // RESTORED_PART)
    with mixed_precision(pictures.device):
        pictures[:restored] = autoencoder.decode(autoencoder.encode(pictures[:restored])).float().clamp(-1, 1)
    return pictures
