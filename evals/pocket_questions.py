"""The pocket benchmark's questions on single pictures, and on the grid's sets of panels.

Layout legend: B batch, H and W 256 pixels; pictures are float in [-1, 1].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from chatdit.evals.intervals import Estimate, bootstrap_mean, bootstrap_ratio, proportion
from chatdit.evals.pocket_asking import CHUNK, Artist, Reader, See, chunks, read_all
from chatdit.evals.pocket_cases import Cases, ask, same_hero
from chatdit.evals.pocket_scores import all_counted, relation_holds, same_subject, tint_seen
from chatdit.evals.sprite_fidelity import Likeness, likeness, sighting_of
from chatdit.tools.pocket.recogniser import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import MAX_PANELS, Scene
from chatdit.tools.pocket.vocabulary import DRAWABLE, HELD_OUT, PERSON, STYLES

Scores = tuple[dict[str, Estimate], dict[str, Estimate]]
"""What every record of the benchmark has, and what is told besides."""
SIZES = ("", "small", "medium", "large")


@dataclass(frozen=True)
class Sitting:
    """What a question is asked with."""

    artist: Artist
    renderer: Renderer
    """It stands scenes up as the world does."""
    cases: Cases
    restore: Callable[[Tensor], Tensor]
    """What the autoencoder makes of pictures (B, 3, H, W)."""


def restored_singles(sitting: Sitting, cases: int, seed: int) -> list[Likeness | None]:
    """The scenes of `singles`, drawn true and sent through the autoencoder: the most that a generator can reach."""
    scenes, rng = sitting.cases.singles(cases, random.Random(f"singles-{seed}")), random.Random(f"restored-{seed}")
    found = []
    for part in chunks(scenes, CHUNK):
        truth, placements = sitting.renderer.pictures_and_placements(part, rng)
        for picture, scene, sprites in zip(sitting.restore(truth), part, placements, strict=True):
            found.append(_fidelity(sitting, scene, picture, sighting_of(sprites[0])))
    return found


def singles(sitting: Sitting, cases: int, seed: int, most: Sequence[Likeness | None]) -> Scores:
    """Single subjects, in each size: named right, and how like their true sprites, as a share of `most`."""
    rng = random.Random(f"singles-{seed}")
    scenes = sitting.cases.singles(cases, rng)
    found: list[Likeness | None] = []

    def compare(scene: Scene, picture: Tensor, reading: Reading) -> None:
        found.append(_fidelity(sitting, scene, picture, reading.find(scene.things[0].subject)))

    right = sitting.cases.right
    hits = [right(s, r) for s, r in scored(sitting, "single subjects", scenes, rng, compare)]
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
    rng, right = random.Random(f"pairs-{seed}"), sitting.cases.right
    found = scored(sitting, "pairs", sitting.cases.pairs(cases, rng), rng)
    scores = {
        "relation_accuracy": proportion([right(s, r) and relation_holds(s, r) for s, r in found]),
        "pair_both_named": proportion([right(s, r) for s, r in found]),
    }
    return parted(scores, "relation_accuracy")


def attributes(sitting: Sitting, cases: int, seed: int) -> Scores:
    """Styles and backgrounds, tints, and counts."""
    rng, world = random.Random(f"attributes-{seed}"), sitting.cases
    styles = list(STYLES)
    scenes = [replace(s, style=styles[i % len(styles)]) for i, s in enumerate(world.singles(cases, rng))]
    styled = scored(sitting, "styles and backgrounds", scenes, rng)
    tinted, counted = world.tinted(cases, rng), world.counted(cases // 2, rng)
    tints = scored(sitting, "tints", tinted, rng)
    counts = scored(sitting, "counts", counted, rng)
    scores = {
        "background_accuracy": proportion([s.background == r.background for s, r in styled]),
        "style_accuracy": proportion([s.style == r.style for s, r in styled]),
        "styled_top1": proportion([world.right(s, r) for s, r in styled]),
        "tint": proportion([tint_seen(s, r) for s, r in tints]),
        "count_accuracy": proportion([all_counted(s, r) for s, r in counts]),
    }
    return parted(scores, "background_accuracy", "style_accuracy", "count_accuracy")


def grid_panels(sitting: Sitting, sets: int, seed: int) -> Scores:
    """One subject in two and in four panels."""
    scores = {}
    for count in (2, MAX_PANELS):
        rng = random.Random(f"panels-{count}-{seed}")
        asks = [ask(same_hero(count, rng)) for _ in range(sets)]
        readings = sitting.artist.draw(f"sets of {count}", asks, rng)
        named = [
            sitting.cases.right(s, r)
            for one, rs in zip(asks, readings, strict=True)
            for s, r in zip(one.scenes, rs, strict=True)
        ]
        scores[f"panels{count}_top1"] = proportion(named)
        agree = "panel_identity" if count == MAX_PANELS else f"panels{count}_agree"
        scores[agree] = proportion([same_subject(rs) for rs in readings])
    return parted(scores, "panel_identity")


def grid_context(sitting: Sitting, sets: int, seed: int) -> Scores:
    """Pairs of panels whose caption does not name the subject: from noise, and with the first panel given."""
    asked, more = {}, {}
    for subjects, which in ((DRAWABLE, "seen"), (HELD_OUT, "heldout")):
        rng = random.Random(f"context-{which}-{seed}")
        asks = [ask(same_hero(2, rng, subjects), named=False) for _ in range(sets)]
        firsts = sitting.renderer.pictures([one.scenes[0] for one in asks], rng)
        with_first = [replace(one, given=first) for one, first in zip(asks, firsts, strict=True)]
        given = sitting.artist.draw(f"given panels, {which}", with_first, rng)
        shown = [one.scenes[0].things[0].subject for one in asks]
        copied = [r[1].find(s) is not None for s, r in zip(shown, given, strict=True)]
        asked[f"reference_identity_{which}"] = proportion(copied)
        if which == "seen":
            unnamed = sitting.artist.draw("nameless pairs", asks, rng)
            more["nameless_pair_agree"] = proportion([same_subject(r) for r in unnamed])
    return asked, more


def reader_accuracy(reader: Reader, cases: Cases, count: int, seed: int) -> dict[str, Estimate]:
    """The reader's shares right on fresh renders of the same kinds of captions."""
    rng = random.Random(f"renders-{seed}")
    renderer = Renderer(placer=cases.place)
    scenes = [replace(s, style=rng.choice(list(STYLES))) for s in cases.renders(count, rng)]
    readings = [r for part in chunks(scenes, 2 * CHUNK) for r in read_all(reader, renderer.pictures(part, rng))]
    found = list(zip(scenes, readings, strict=True))
    return {
        "subjects": proportion([cases.right(s, r) for s, r in found]),
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


def _fidelity(sitting: Sitting, scene: Scene, picture: Tensor, sighting: Sighting | None) -> Likeness | None:
    """None where nothing was seen, and for a person, whose pose no caption tells."""
    thing = scene.things[0]
    if sighting is None or thing.subject == PERSON:
        return None
    if sitting.cases.free:
        sighting = replace(sighting, tint=thing.tint, worn=thing.worn)
    return likeness(sitting.renderer, picture, scene, sighting, closely=sitting.cases.free)
