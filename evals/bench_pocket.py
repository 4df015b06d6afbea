"""How well the embedded model draws what it is asked, read back by the recogniser.

Every share comes with the number of cases and a 95 % interval. The recogniser's own accuracy on
fresh renders of the same captions is part of the record: no share can be trusted beyond it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from chatdit.evals.intervals import Estimate, bootstrap_mean, bootstrap_ratio, proportion
from chatdit.evals.records import commit, describe_device, versions
from chatdit.evals.sprite_fidelity import Likeness, likeness, sighting_of
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.recogniser import Reading, Recogniser, load_recogniser
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import (
    MAX_PANELS,
    PICTURE_PIXELS,
    RELATIONS,
    Scene,
    Thing,
    nameless,
)
from chatdit.tools.pocket.templates import TemplateBank
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, STYLES, TINTS

Notify = Callable[[str, int, int], None]
Item = TypeVar("Item")
Look = Callable[[Tensor, Reading], None]
"""Is shown each picture (3, H, W) in [-1, 1] that was drawn, with its reading."""
SIZES = ("", "small", "medium", "large")
_CHUNK = 16


def run(
    *,
    model: str = "pocket",
    cases: int = 128,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Measure `model` on `cases` pictures (sets: half as many) for each question; a JSON record."""
    dit = DiT.load(model)
    recogniser = load_recogniser(bank=TemplateBank(Renderer(dit.device)))
    bench = _Bench(dit, recogniser, SamplingOptions(steps=steps, guidance=guidance), notify)
    sets = max(2, cases // 2)
    scores: dict[str, Estimate] = {"autoencoder_psnr_db": _psnr(dit, seed, cases)}
    scores |= bench.singles(cases, seed)
    scores |= bench.pairs(cases, seed)
    scores |= bench.attributes(cases, seed)
    scores |= bench.panels(sets, seed)
    scores |= bench.in_context(sets, seed)
    defaults = dit.defaults
    return {
        "benchmark": "pocket",
        "command": f"chatdit bench pocket --cases {cases} --seed {seed} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": dit.name, "weights": dit.weights_hash},
        "sampling": {
            "steps": steps or defaults.steps,
            "guidance": defaults.guidance if guidance is None else guidance,
        },
        "device": describe_device(dit.device),
        "versions": versions("diffusers"),
        "scores": {name: estimate.rounded() for name, estimate in scores.items()},
        "recogniser_on_renders": {
            name: estimate.rounded() for name, estimate in recogniser_accuracy(recogniser, 4 * cases, seed).items()
        },
    }


def recogniser_accuracy(recogniser: Recogniser, cases: int, seed: int) -> dict[str, Estimate]:
    """The recogniser's shares right on fresh renders of the same kinds of captions."""
    rng = random.Random(f"renders-{seed}")
    renderer = Renderer()
    scenes = [*_single_scenes(cases // 2, rng), *_pair_scenes(cases // 2, rng)]
    scenes = [replace(s, style=rng.choice(list(STYLES))) for s in scenes]
    pictures = torch.cat([renderer.pictures(scenes[i : i + 32], rng) for i in range(0, len(scenes), 32)])
    readings = _read(recogniser, pictures)
    pairs = list(zip(scenes, readings, strict=True))
    return {
        "subjects": proportion([_all_named(s, r) for s, r in pairs]),
        "relation": proportion([_relation_holds(s, r) for s, r in pairs if s.relation]),
        "background": proportion([s.background == r.background for s, r in pairs]),
        "style": proportion([s.style == r.style for s, r in pairs]),
    }


class _Bench:
    """Draws cases with one model and reads them with one recogniser."""

    def __init__(self, dit: DiT, recogniser: Recogniser, sampling: SamplingOptions, notify: Notify) -> None:
        self._dit, self._recogniser, self._sampling, self._notify = dit, recogniser, sampling, notify
        self._renderer = Renderer(dit.device)

    def singles(self, cases: int, seed: int) -> dict[str, Estimate]:
        rng = random.Random(f"singles-{seed}")
        scenes = _single_scenes(cases, rng)
        found: list[Likeness | None] = []

        def compare(picture: Tensor, reading: Reading) -> None:
            scene = scenes[len(found)]
            sighting = reading.find(scene.things[0].subject)
            found.append(None if sighting is None else likeness(self._renderer, picture, scene, sighting))

        hits = [_all_named(s, r) for s, r in self._scored("single subjects", scenes, rng, compare)]
        most = self._restored(scenes, random.Random(f"restored-{seed}"))
        scores = {"single_top1": proportion(hits)}
        for size in SIZES:
            mine = [i for i, s in enumerate(scenes) if size in ("", s.things[0].size)]
            end = f"_{size}" if size else ""
            scores[f"single_top1{end}"] = proportion([hits[i] for i in mine])
            likenesses = [x for i in mine if (x := found[i]) is not None]
            if likenesses:
                scores[f"sprite_fidelity{end}"] = bootstrap_ratio(
                    [x.ssim for x in likenesses], [most[i].ssim for i in mine]
                )
                scores[f"sprite_psnr_db{end}"] = bootstrap_mean([x.psnr for x in likenesses])
        return scores

    def _restored(self, scenes: Sequence[Scene], rng: random.Random) -> list[Likeness]:
        """Of true pictures that went through the autoencoder: the most that a generator can reach."""
        found = []
        for part in _chunks(scenes, _CHUNK):
            truth, placements = self._renderer.pictures_and_placements(part, rng)
            restored = self._dit.images.decode(self._dit.images.encode(truth))
            for picture, scene, sprites in zip(restored, part, placements, strict=True):
                found.append(likeness(self._renderer, picture, scene, sighting_of(sprites[0])))
        return found

    def pairs(self, cases: int, seed: int) -> dict[str, Estimate]:
        rng = random.Random(f"pairs-{seed}")
        scored = self._scored("pairs", _pair_scenes(cases, rng), rng)
        return {
            "pair_both_named": proportion([_all_named(s, r) for s, r in scored]),
            "pair_relation": proportion([_relation_holds(s, r) for s, r in scored]),
        }

    def attributes(self, cases: int, seed: int) -> dict[str, Estimate]:
        rng = random.Random(f"attributes-{seed}")
        scenes = [replace(s, style=list(STYLES)[i % len(STYLES)]) for i, s in enumerate(_single_scenes(cases, rng))]
        scored = self._scored("styles and backgrounds", scenes, rng)
        tinted = [_tinted(s, rng) for s in _single_scenes(cases, rng)]
        counted = [Scene((Thing(rng.choice(DRAWABLE), 2 + i % 3),), _place(rng)) for i in range(cases // 2)]
        tints = self._scored("tints", tinted, rng)
        counts = self._scored("counts", counted, rng)
        return {
            "background": proportion([s.background == r.background for s, r in scored]),
            "style": proportion([s.style == r.style for s, r in scored]),
            "styled_top1": proportion([_all_named(s, r) for s, r in scored]),
            "tint": proportion([_tint_seen(s, r) for s, r in tints]),
            "count": proportion([_count_seen(s, r) for s, r in counts]),
        }

    def panels(self, sets: int, seed: int) -> dict[str, Estimate]:
        scores = {}
        for count in (2, MAX_PANELS):
            rng = random.Random(f"panels-{count}-{seed}")
            groups = [_same_hero(count, rng) for _ in range(sets)]
            captions = [joint_caption([caption(s) for s in g]) for g in groups]
            readings = self._drawn(f"sets of {count}", captions, count, rng)
            named = [
                _all_named(s, r) for g, rs in zip(groups, readings, strict=True) for s, r in zip(g, rs, strict=True)
            ]
            scores[f"panels{count}_top1"] = proportion(named)
            scores[f"panels{count}_agree"] = proportion([_agree(rs) for rs in readings])
        return scores

    def in_context(self, sets: int, seed: int) -> dict[str, Estimate]:
        """Pairs of panels whose caption does not name the subject, and a given first panel."""
        rng = random.Random(f"context-{seed}")
        groups = [_same_hero(2, rng) for _ in range(sets)]
        captions = [joint_caption([caption(nameless(s)) for s in g]) for g in groups]
        unnamed = self._drawn("nameless pairs", captions, 2, rng)
        renderer = Renderer()
        firsts = renderer.pictures([g[0] for g in groups], rng)
        given = self._drawn("given panels", captions, 2, rng, firsts)
        shown = [g[0].things[0].subject for g in groups]
        return {
            "nameless_pair_agree": proportion([_agree(r) for r in unnamed]),
            "given_panel_copied": proportion([r[1].find(s) is not None for s, r in zip(shown, given, strict=True)]),
        }

    def _scored(
        self, what: str, scenes: Sequence[Scene], rng: random.Random, look: Look | None = None
    ) -> list[tuple[Scene, Reading]]:
        readings = self._drawn(what, [caption(s) for s in scenes], 1, rng, look=look)
        return [(s, r[0]) for s, r in zip(scenes, readings, strict=True)]

    def _drawn(
        self,
        what: str,
        captions: Sequence[str],
        panels: int,
        rng: random.Random,
        given: Tensor | None = None,
        look: Look | None = None,
    ) -> list[list[Reading]]:
        rows = [
            Row(text, _segments(panels, None if given is None else given[i]), rng.randrange(2**31))
            for i, text in enumerate(captions)
        ]
        readings: list[list[Reading]] = []
        for part in _chunks(rows, max(1, _CHUNK // panels)):
            self._notify(what, len(readings), len(rows))
            drawn = self._dit.sample(part, sampling=self._sampling)
            for row in drawn:
                pictures = torch.stack(list(row.images)) * 2 - 1
                readings.append(_read(self._recogniser, pictures))
                if look is not None:
                    for picture, reading in zip(pictures, readings[-1], strict=True):
                        look(picture, reading)
        self._notify(what, len(rows), len(rows))
        return readings


def _segments(panels: int, first: Tensor | None) -> tuple[Segment, ...]:
    return tuple(
        Segment(PICTURE_PIXELS, PICTURE_PIXELS, panel=i, known=first if i == 0 else None) for i in range(panels)
    )


def _single_scenes(cases: int, rng: random.Random) -> list[Scene]:
    sizes = ("small", "medium", "large")
    return [
        Scene((Thing(rng.choice(DRAWABLE), size=sizes[i % 3]),), _place(rng))  # type: ignore[arg-type]
        for i in range(cases)
    ]


def _pair_scenes(cases: int, rng: random.Random) -> list[Scene]:
    scenes = []
    for i in range(cases):
        first, second = rng.sample(DRAWABLE, 2)
        scenes.append(Scene((Thing(first), Thing(second)), _place(rng), relation=RELATIONS[i % 4]))
    return scenes


def _same_hero(count: int, rng: random.Random) -> tuple[Scene, ...]:
    hero = Thing(rng.choice(DRAWABLE))
    return tuple(Scene((hero,), place) for place in rng.sample(list(BACKGROUNDS), count))


def _tinted(scene: Scene, rng: random.Random) -> Scene:
    return replace(scene, things=(replace(scene.things[0], tint=rng.choice(list(TINTS))),))


def _place(rng: random.Random) -> str:
    return rng.choice(list(BACKGROUNDS))


def _all_named(scene: Scene, reading: Reading) -> bool:
    return sorted(t.subject for t in scene.things) == sorted({s.subject for s in reading.sightings})


def _relation_holds(scene: Scene, reading: Reading) -> bool:
    first, second = (reading.find(thing.subject) for thing in scene.things)
    if first is None or second is None:
        return False
    across = (second.box.x1 + second.box.x2) - (first.box.x1 + first.box.x2)
    down = (second.box.y1 + second.box.y2) - (first.box.y1 + first.box.y2)
    return {"left of": across, "right of": -across, "above": down, "below": -down}[str(scene.relation)] > 0


def _tint_seen(scene: Scene, reading: Reading) -> bool:
    seen = reading.find(scene.things[0].subject)
    return seen is not None and seen.tint == scene.things[0].tint


def _count_seen(scene: Scene, reading: Reading) -> bool:
    thing = scene.things[0]
    return [s.subject for s in reading.sightings] == [thing.subject] * thing.count


def _agree(readings: Sequence[Reading]) -> bool:
    # the strongest sighting comes first
    mains = {reading.sightings[0].subject if reading.sightings else None for reading in readings}
    return len(mains) == 1 and None not in mains


def _read(recogniser: Recogniser, pictures: Tensor) -> list[Reading]:
    return [reading for part in torch.split(pictures, 32) for reading in recogniser.read(part)]


def _chunks(rows: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (rows[i : i + size] for i in range(0, len(rows), size))


def _psnr(dit: DiT, seed: int, cases: int) -> Estimate:
    rng = random.Random(f"psnr-{seed}")
    scenes = [replace(s, style=rng.choice(list(STYLES))) for s in _pair_scenes(cases, rng)]
    truth = Renderer().pictures(scenes, rng)
    with torch.no_grad():
        restored = torch.cat([dit.images.decode(dit.images.encode(part)).cpu() for part in torch.split(truth, 8)])
    errors = (restored.clamp(-1, 1) - truth).div(2).square().mean(dim=(1, 2, 3))
    return bootstrap_mean([float(-10 * torch.log10(e)) for e in errors])
