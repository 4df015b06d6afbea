"""The pocket benchmark's questions on single pictures.

Layout legend: B batch, H and W 256 pixels; pictures are float in [-1, 1].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from chatdit.evals.intervals import Estimate, bootstrap_mean, bootstrap_ratio, proportion
from chatdit.evals.pocket_asking import CHUNK, Artist, Reader, See, chunks, read_all
from chatdit.evals.pocket_cases import ask, hero_scenes, kinds_scenes, mixed_scenes, pair_scenes, tinted_scenes
from chatdit.evals.pocket_scores import all_counted, relation_holds, tint_seen
from chatdit.evals.sprite_fidelity import Comparer, Likeness, likeness, sighting_of
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Scene
from chatdit.tools.pocket.vocabulary import PERSON, STYLES

Scores = tuple[dict[str, Estimate], dict[str, Estimate]]
"""What every record of the benchmark has, and what is told besides."""
SIZES = ("", "small", "medium", "large")


@dataclass(frozen=True)
class Sitting:
    """What a question is asked with."""

    artist: Artist
    renderer: Renderer
    restore: Callable[[Tensor], Tensor]
    """What the autoencoder makes of pictures (B, 3, H, W)."""
    comparer: Comparer
    """Lays sprites beside the true ones."""


def restored_singles(sitting: Sitting, cases: int, seed: int) -> list[Likeness | None]:
    """The scenes of `singles`, drawn true and sent through the autoencoder: the most that a generator can reach."""
    scenes, rng = hero_scenes(cases, random.Random(f"singles-{seed}")), random.Random(f"restored-{seed}")
    begun = []
    for part in chunks(scenes, CHUNK):
        truth, placements = sitting.renderer.pictures_and_placements(part, rng)
        for picture, scene, sprites in zip(sitting.restore(truth), part, placements, strict=True):
            begun.append(_fidelity(sitting, scene, picture, sighting_of(sprites[0])))
    return [end() for end in begun]


def singles(sitting: Sitting, cases: int, seed: int, most: Sequence[Likeness | None]) -> Scores:
    """Single subjects, in each size: named right, and how like their true sprites, as a share of `most`."""
    rng = random.Random(f"singles-{seed}")
    scenes = hero_scenes(cases, rng)
    begun: list[Callable[[], Likeness | None]] = []

    def compare(scene: Scene, picture: Tensor, reading: Reading) -> None:
        begun.append(_fidelity(sitting, scene, picture, reading.find(scene.things[0].subject)))

    hits = [all_counted(s, r) for s, r in scored(sitting, "single subjects", scenes, rng, compare)]
    found = [end() for end in begun]
    scores = {}
    for size in SIZES:
        mine = [i for i, s in enumerate(scenes) if size in ("", s.things[0].size)]
        end = f"_{size}" if size else ""
        scores[f"subject_top1{end}"] = proportion([hits[i] for i in mine])
        likenesses, limits = ([x for i in mine if (x := each[i]) is not None] for each in (found, most))
        if likenesses:
            scores[f"sprite_fidelity{end}"] = bootstrap_ratio([x.ssim for x in likenesses], [x.ssim for x in limits])
            scores[f"sprite_psnr_db{end}"] = bootstrap_mean([x.psnr for x in likenesses])
    return parted(scores, "subject_top1", "sprite_fidelity")


def pairs(sitting: Sitting, cases: int, seed: int) -> Scores:
    """Two subjects in a relation."""
    rng = random.Random(f"pairs-{seed}")
    found = scored(sitting, "pairs", pair_scenes(cases, rng), rng)
    scores = {
        "relation_accuracy": proportion([all_counted(s, r) and relation_holds(s, r) for s, r in found]),
        "pair_both_named": proportion([all_counted(s, r) for s, r in found]),
    }
    return parted(scores, "relation_accuracy")


def attributes(sitting: Sitting, cases: int, seed: int) -> Scores:
    """Styles and backgrounds, tints, and counts."""
    rng = random.Random(f"attributes-{seed}")
    styles = list(STYLES)
    scenes = [replace(s, style=styles[i % len(styles)]) for i, s in enumerate(hero_scenes(cases, rng))]
    styled = scored(sitting, "styles and backgrounds", scenes, rng)
    tinted, counted = tinted_scenes(cases, rng), kinds_scenes(cases // 2, rng)
    tints = scored(sitting, "tints", tinted, rng)
    counts = scored(sitting, "counts", counted, rng)
    scores = {
        "background_accuracy": proportion([s.background == r.background for s, r in styled]),
        "style_accuracy": proportion([s.style == r.style for s, r in styled]),
        "styled_top1": proportion([all_counted(s, r) for s, r in styled]),
        "tint": proportion([tint_seen(s, r) for s, r in tints]),
        "count_accuracy": proportion([all_counted(s, r) for s, r in counts]),
    }
    return parted(scores, "background_accuracy", "style_accuracy", "count_accuracy")


def reader_accuracy(reader: Reader, count: int, seed: int) -> dict[str, Estimate]:
    """The reader's shares right on fresh renders of the same kinds of captions."""
    rng = random.Random(f"renders-{seed}")
    renderer = Renderer()
    scenes = [replace(s, style=rng.choice(list(STYLES))) for s in mixed_scenes(count, rng)]
    readings = [r for part in chunks(scenes, 2 * CHUNK) for r in read_all(reader, renderer.pictures(part, rng))]
    found = list(zip(scenes, readings, strict=True))
    return {
        "subjects": proportion([all_counted(s, r) for s, r in found]),
        "relation": proportion([relation_holds(s, r) for s, r in found if s.relation]),
        "background": proportion([s.background == r.background for s, r in found]),
        "style": proportion([s.style == r.style for s, r in found]),
    }


def scored(
    sitting: Sitting, what: str, scenes: Sequence[Scene], rng: random.Random, see: See | None = None
) -> list[tuple[Scene, Reading]]:
    """Every scene drawn as a row of one, with its reading."""
    readings = sitting.artist.draw(what, [ask([s]) for s in scenes], rng, see)
    return [(s, r[0]) for s, r in zip(scenes, readings, strict=True)]


def parted(scores: Mapping[str, Estimate], *asked: str) -> Scores:
    """The scores that are asked for, and the others."""
    return {n: e for n, e in scores.items() if n in asked}, {n: e for n, e in scores.items() if n not in asked}


def _fidelity(
    sitting: Sitting, scene: Scene, picture: Tensor, sighting: Sighting | None
) -> Callable[[], Likeness | None]:
    """Ends with None where nothing was seen, and for a person, whose pose no caption tells."""
    thing = scene.things[0]
    if sighting is None or thing.subject == PERSON:
        return lambda: None
    return sitting.comparer.begin(likeness, picture, scene, replace(sighting, tint=thing.tint, worn=thing.worn))
