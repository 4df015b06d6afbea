"""The pocket benchmark's questions on sets: what comes from one panel into the others.

A row's panels are set beside the same captions drawn as rows of one, which share nothing: what those reach is owed to
words and chance alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from chatdit.evals.intervals import Estimate, proportion
from chatdit.evals.pocket_asking import CHUNK, Reader, chunks, read_all
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
    person_scenes,
    rows_of_one,
)
from chatdit.evals.pocket_questions import Scores, Sitting, parted, scored
from chatdit.evals.pocket_scores import all_counted, all_stay, as_asked, hero_kept, one_identity, worn_seen
from chatdit.evals.sprite_fidelity import mirroring
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import MAX_PANELS, Placement, Scene
from chatdit.tools.pocket.vocabulary import DRAWABLE, HELD_OUT

MIRROR_SLACK = 1.2
"""A subject counts as mirrored unless the sprite as it is fits better by more: some are as good as symmetric."""
Readings = list[list[Reading]]


def looks(sitting: Sitting, cases: int, seed: int) -> Scores:
    """Things worn, groups of one kind, and people."""
    rng = random.Random(f"looks-{seed}")
    worn = scored(sitting, "things worn", dressed_scenes(cases, rng), rng)
    groups = scored(sitting, "groups", group_scenes(cases, rng), rng)
    people = scored(sitting, "people", person_scenes(cases, rng), rng)
    return {}, {
        "worn": proportion([worn_seen(s, r) for s, r in worn]),
        "group_count": proportion([all_counted(s, r) for s, r in groups]),
        "person_top1": proportion([all_counted(s, r) for s, r in people]),
    }


def panel_identity(sitting: Sitting, sets: int, seed: int) -> Scores:
    """Four panels around one hero: bare, tinted, wearing something, or mirrored, whose first panel is given."""
    rng = random.Random(f"identity-{seed}")
    asked = identity_sets(sets, rng, sitting.renderer)
    hits: dict[str, list[bool]] = {}
    right: list[bool] = []
    alone: list[bool] = []
    for look in LOOKS:
        asks = asked[look]
        if look == "mirrored":
            hits[look] = _mirrored(sitting, asks, rng)
            continue
        readings = sitting.artist.draw(f"sets of four, {look}", asks, rng)
        hits[look] = _agreeing(asks, readings)
        right += [all_counted(s, r) for one, rs in zip(asks, readings, strict=True) for s, r in _each(one, rs)]
        alone += _agreeing(asks, _alone(sitting, f"the same alone, {look}", asks, rng))
    scores = {f"panel_identity_{look}": proportion(found) for look, found in hits.items() if found}
    scores["panel_identity"] = proportion([hit for found in hits.values() for hit in found])
    scores["panel_identity_alone"] = proportion(alone)
    scores[f"panels{MAX_PANELS}_top1"] = proportion(right)
    return parted(scores, "panel_identity")


def references(sitting: Sitting, sets: int, seed: int) -> Scores:
    """Whether a hero that no word names goes from a given panel or reference into the other panel."""
    asked, more = {}, {}
    for subjects, which in ((DRAWABLE, "seen"), (HELD_OUT, "heldout")):
        rng = random.Random(f"references-{which}-{seed}")
        asks = context_sets(sets, rng, sitting.renderer, subjects, 2)
        targets = [one.scenes[1] for one in asks]
        seen = [r[1] for r in sitting.artist.draw(f"references, {which}", asks, rng)]
        kept = [hero_kept(s, r) for s, r in zip(targets, seen, strict=True)]
        alone = [r[0] for r in sitting.artist.draw(f"the same alone, {which}", _targets_alone(asks), rng)]
        name = f"reference_identity_{which}"
        asked[name] = proportion(kept)
        more[f"{name}_from_panel"] = proportion(kept[0::2])
        more[f"{name}_from_reference"] = proportion(kept[1::2])
        more[f"{name}_alone"] = proportion([hero_kept(s, r) for s, r in zip(targets, alone, strict=True)])
        more[f"reference_subject_{which}"] = proportion(
            [r.find(s.things[0].subject) is not None for s, r in zip(targets, seen, strict=True)]
        )
    return asked, more


def context(sitting: Sitting, sets: int, seed: int) -> Scores:
    """Four panels of a held-out identity that no word names: the first given, from noise, and as rows of one."""
    rng = random.Random(f"context-{seed}")
    asks = context_sets(sets, rng, sitting.renderer, HELD_OUT, MAX_PANELS)
    given = sitting.artist.draw("held-out sets of four", asks, rng)
    noise = [replace(one, given=None) for one in asks]
    return {}, {
        "context_agreement_heldout": proportion(
            [all(hero_kept(s, r) for s, r in _each(one, rs)[1:]) for one, rs in zip(asks, given, strict=True)]
        ),
        "context_agreement_nameless": proportion(
            _agreeing(noise, sitting.artist.draw("nameless sets of four", noise, rng))
        ),
        "context_agreement_alone": proportion(_agreeing(noise, _alone(sitting, "nameless alone", noise, rng))),
    }


def edits(sitting: Sitting, sets: int, seed: int) -> Scores:
    """Whether an edit is made, and leaves where it is whatever it does not name."""
    rng = random.Random(f"edits-{seed}")
    asks = edit_asks(sets, rng, sitting.renderer)
    seen = [r[1] for r in sitting.artist.draw("edits", asks, rng)]
    alone = [r[0] for r in sitting.artist.draw("edits alone", [ask(one.scenes[1:]) for one in asks], rng)]
    kept = [_kept(one) for one in asks]
    return {}, {
        "edit_made": proportion([as_asked(one.scenes[1], r) for one, r in zip(asks, seen, strict=True)]),
        "layout_copy": proportion([all_stay(k, r) for k, r in zip(kept, seen, strict=True)]),
        "layout_copy_alone": proportion([all_stay(k, r) for k, r in zip(kept, alone, strict=True)]),
    }


def reader_limits(reader: Reader, cases: int, seed: int) -> dict[str, Estimate]:
    """What these questions can reach with this reader at most: its shares right on fresh renders.

    Identities of heroes in plain style, seen and held out, and squares of all sprites.
    """
    renderer, found = Renderer(), {}
    for subjects, which in ((DRAWABLE, "seen"), (HELD_OUT, "heldout")):
        rng = random.Random(f"limits-{which}-{seed}")
        asks = [s for one in context_sets(cases, rng, renderer, subjects, 1) for s in one.scenes]
        kept = [hero_kept(s, r) for s, _, r in _renders(reader, renderer, asks, rng)]
        found[f"identity_{which}"] = proportion(kept)
    rng = random.Random(f"limits-layout-{seed}")
    renders = _renders(reader, renderer, hero_scenes(cases, rng), rng)
    return found | {"layout": proportion([all_stay(sprites, r) for _, sprites, r in renders])}


def _renders(
    reader: Reader, renderer: Renderer, scenes: Sequence[Scene], rng: random.Random
) -> list[tuple[Scene, tuple[Placement, ...], Reading]]:
    found: list[tuple[Scene, tuple[Placement, ...], Reading]] = []
    for part in chunks(scenes, CHUNK):
        pictures, placements = renderer.pictures_and_placements(part, rng)
        found += zip(part, placements, read_all(reader, pictures), strict=True)
    return found


def _mirrored(sitting: Sitting, asks: Sequence[Ask], rng: random.Random) -> list[bool]:
    """For each set whether all panels but the given one show its hero, mirrored as it is."""
    begun: list[Callable[[], tuple[float, float]] | None] = []

    def look(scene: Scene, picture: Tensor, reading: Reading) -> None:
        sighting = reading.find(scene.things[0].subject)
        kept = sighting is not None and hero_kept(scene, reading)
        begun.append(sitting.comparer.begin(mirroring, picture, scene, sighting) if kept and sighting else None)

    sitting.artist.draw("sets of four, mirrored", asks, rng, look)
    hits = [end is not None and _is_mirrored(*end()) for end in begun]
    return [all(hits[i + 1 : i + MAX_PANELS]) for i in range(0, len(hits), MAX_PANELS)]


def _is_mirrored(straight: float, mirrored: float) -> bool:
    return mirrored <= MIRROR_SLACK * straight


def _agreeing(asks: Sequence[Ask], readings: Readings) -> list[bool]:
    return [one_identity(one.scenes, rs) for one, rs in zip(asks, readings, strict=True)]


def _alone(sitting: Sitting, what: str, asks: Sequence[Ask], rng: random.Random) -> Readings:
    """Readings of each row's panels drawn as rows of one."""
    readings = iter(sitting.artist.draw(what, rows_of_one(asks), rng))
    return [[next(readings)[0] for _ in one.scenes] for one in asks]


def _targets_alone(asks: Sequence[Ask]) -> list[Ask]:
    return [Ask(one.scenes[1:], one.captions[1:]) for one in asks]


def _each(one: Ask, readings: Sequence[Reading]) -> list[tuple[Scene, Reading]]:
    return list(zip(one.scenes, readings, strict=True))


def _kept(one: Ask) -> list[Placement]:
    """The sprites after an edit that stand where one stood before."""
    assert one.stood is not None
    before, after = one.stood
    squares = {(s.left, s.top, s.side) for s in before}
    return [s for s in after if (s.left, s.top, s.side) in squares]
