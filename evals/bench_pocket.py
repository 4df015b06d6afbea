"""How well the embedded model draws what it is asked, read back by the recogniser.

Every number comes with its cases and a 95 % interval. The recogniser's own accuracy on fresh renders of the same
captions is part of the record: no share can be trusted beyond it. A model of few steps is asked at its own steps, and
for single subjects also in quality mode, with twice as many.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from chatdit.evals.bench_pocket_speed import quality_mode
from chatdit.evals.intervals import Estimate, bootstrap_mean, bootstrap_median, bootstrap_ratio, proportion
from chatdit.evals.records import commit, describe_device, versions
from chatdit.evals.sprite_fidelity import Likeness, likeness, sighting_of
from chatdit.tools import pocket
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
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, HELD_OUT, STYLES, TINTS

Notify = Callable[[str, int, int], None]
Item = TypeVar("Item")
Look = Callable[[Tensor, Reading], None]
"""Is shown each picture (3, H, W) in [-1, 1] that was drawn, with its reading."""
Scores = tuple[dict[str, Estimate], dict[str, Estimate]]
"""What every record of the benchmark has, and what is told besides."""
_MIB = 2**20
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
    quality = quality_mode(dit) if steps is None else None
    asked = _measured_alone(model, steps, few=quality is not None) | {"autoencoder_psnr_db": _psnr(dit, seed, cases)}
    accuracy = recogniser_accuracy(recogniser, 4 * cases, seed)
    asked["recogniser_top1"] = accuracy["subjects"]
    single, more = bench.singles(cases, seed)
    if quality is None:
        asked |= single
    else:
        asked |= {f"{name}_few_step": estimate for name, estimate in single.items()}
        best, most = _Bench(dit, recogniser, quality, notify).singles(cases, seed)
        asked |= best
        more |= {f"{name}_quality": estimate for name, estimate in most.items()}
    for part, others in (
        bench.pairs(cases, seed),
        bench.attributes(cases, seed),
        bench.panels(sets, seed),
        bench.in_context(sets, seed),
    ):
        asked |= part
        more |= others
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
            **({} if quality is None else {"steps_quality": quality.steps}),
        },
        "device": describe_device(dit.device),
        "versions": versions("diffusers"),
        "note": "count_accuracy is of two to four of one kind; panel_identity of four panels; reference_identity of a "
        "given panel whose subject no word names; seconds are medians, memory the whole process's",
        **_told(asked),
        "weights_mib": Estimate(size := _weights_mib(), size, size, 1).rounded(2),
        "more": _told(more),
        "recogniser_on_renders": _told(accuracy),
    }


def _told(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: estimate.rounded() for name, estimate in sorted(estimates.items())}


_ALONE = """
import json, sys
from chatdit.evals.bench_pocket_speed import run
print(json.dumps(run(model=sys.argv[1], steps=int(sys.argv[2]) or None)))
"""


def _measured_alone(model: str, steps: int | None, *, few: bool, processes: int = 3) -> dict[str, Estimate]:
    """Seconds and memory on the CPU, of processes that do nothing else."""
    records = []
    for _ in range(processes):
        command = [sys.executable, "-P", "-c", _ALONE, model, str(steps or 0)]
        records.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    def seconds(field: str) -> Estimate:
        return bootstrap_median([t for record in records for t in record[field]["each"]])

    fields = {"seconds_four_panel": "seconds_four_panels"}
    if few:
        fields |= {"seconds_few_step": "seconds_per_picture", "seconds_quality": "seconds_quality"}
    else:
        fields["seconds_quality"] = "seconds_per_picture"
    memory = bootstrap_median([record["peak_memory_mib"] * _MIB / 1e6 for record in records])
    return {name: seconds(field) for name, field in fields.items()} | {"peak_memory_mb": memory}


def _weights_mib() -> float:
    """Of all weights that the package ships, in MiB."""
    folder = Path(str(pocket.__file__)).parent
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / _MIB


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

    def singles(self, cases: int, seed: int) -> Scores:
        rng = random.Random(f"singles-{seed}")
        scenes = _single_scenes(cases, rng)
        found: list[Likeness | None] = []

        def compare(picture: Tensor, reading: Reading) -> None:
            scene = scenes[len(found)]
            sighting = reading.find(scene.things[0].subject)
            found.append(None if sighting is None else likeness(self._renderer, picture, scene, sighting))

        hits = [_all_named(s, r) for s, r in self._scored("single subjects", scenes, rng, compare)]
        most = self._restored(scenes, random.Random(f"restored-{seed}"))
        scores = {}
        for size in SIZES:
            mine = [i for i, s in enumerate(scenes) if size in ("", s.things[0].size)]
            end = f"_{size}" if size else ""
            scores[f"subject_top1{end}"] = proportion([hits[i] for i in mine])
            likenesses = [x for i in mine if (x := found[i]) is not None]
            if likenesses:
                scores[f"sprite_fidelity{end}"] = bootstrap_ratio(
                    [x.ssim for x in likenesses], [most[i].ssim for i in mine]
                )
                scores[f"sprite_psnr_db{end}"] = bootstrap_mean([x.psnr for x in likenesses])
        return _parted(scores, "subject_top1", "sprite_fidelity")

    def _restored(self, scenes: Sequence[Scene], rng: random.Random) -> list[Likeness]:
        """Of true pictures that went through the autoencoder: the most that a generator can reach."""
        found = []
        for part in _chunks(scenes, _CHUNK):
            truth, placements = self._renderer.pictures_and_placements(part, rng)
            restored = self._dit.images.decode(self._dit.images.encode(truth))
            for picture, scene, sprites in zip(restored, part, placements, strict=True):
                found.append(likeness(self._renderer, picture, scene, sighting_of(sprites[0])))
        return found

    def pairs(self, cases: int, seed: int) -> Scores:
        rng = random.Random(f"pairs-{seed}")
        scored = self._scored("pairs", _pair_scenes(cases, rng), rng)
        scores = {
            "relation_accuracy": proportion([_all_named(s, r) and _relation_holds(s, r) for s, r in scored]),
            "pair_both_named": proportion([_all_named(s, r) for s, r in scored]),
        }
        return _parted(scores, "relation_accuracy")

    def attributes(self, cases: int, seed: int) -> Scores:
        rng = random.Random(f"attributes-{seed}")
        scenes = [replace(s, style=list(STYLES)[i % len(STYLES)]) for i, s in enumerate(_single_scenes(cases, rng))]
        scored = self._scored("styles and backgrounds", scenes, rng)
        tinted = [_tinted(s, rng) for s in _single_scenes(cases, rng)]
        counted = [Scene((Thing(rng.choice(DRAWABLE), 2 + i % 3),), _place(rng)) for i in range(cases // 2)]
        tints = self._scored("tints", tinted, rng)
        counts = self._scored("counts", counted, rng)
        scores = {
            "background_accuracy": proportion([s.background == r.background for s, r in scored]),
            "style_accuracy": proportion([s.style == r.style for s, r in scored]),
            "styled_top1": proportion([_all_named(s, r) for s, r in scored]),
            "tint": proportion([_tint_seen(s, r) for s, r in tints]),
            "count_accuracy": proportion([_count_seen(s, r) for s, r in counts]),
        }
        return _parted(scores, "background_accuracy", "style_accuracy", "count_accuracy")

    def panels(self, sets: int, seed: int) -> Scores:
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
            agree = "panel_identity" if count == MAX_PANELS else f"panels{count}_agree"
            scores[agree] = proportion([_agree(rs) for rs in readings])
        return _parted(scores, "panel_identity")

    def in_context(self, sets: int, seed: int) -> Scores:
        """Pairs of panels whose caption does not name the subject: from noise, and with the first panel given."""
        asked, more = {}, {}
        for subjects, which in ((DRAWABLE, "seen"), (HELD_OUT, "heldout")):
            rng = random.Random(f"context-{which}-{seed}")
            groups = [_same_hero(2, rng, subjects) for _ in range(sets)]
            captions = [joint_caption([caption(nameless(s)) for s in g]) for g in groups]
            firsts = self._renderer.pictures([g[0] for g in groups], rng)
            given = self._drawn(f"given panels, {which}", captions, 2, rng, firsts)
            shown = [g[0].things[0].subject for g in groups]
            copied = [r[1].find(s) is not None for s, r in zip(shown, given, strict=True)]
            asked[f"reference_identity_{which}"] = proportion(copied)
            if which == "seen":
                unnamed = self._drawn("nameless pairs", captions, 2, rng)
                more["nameless_pair_agree"] = proportion([_agree(r) for r in unnamed])
        return asked, more

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


def _parted(scores: Mapping[str, Estimate], *asked: str) -> Scores:
    return {n: e for n, e in scores.items() if n in asked}, {n: e for n, e in scores.items() if n not in asked}


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


def _same_hero(count: int, rng: random.Random, subjects: Sequence[str] | None = None) -> tuple[Scene, ...]:
    hero = Thing(rng.choice(subjects or DRAWABLE))
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
