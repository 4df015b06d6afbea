"""What the tool `segment` is worth: a point in a thing to its mask, against the box that the reader alone gives.

Layout legend: H and W 256 pixels.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.evals.effects import Bench, Claim, Measured, Trial
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.pocket import world
from chatdit.tools.pocket.pointing import nearest, picks_of
from chatdit.tools.pocket.renderer import to_image
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Scene
from chatdit.tools.pocket.vocabulary import STYLES
from chatdit.tools.segment import Segment, SegmentInput, SegmentOutput
from chatdit.tools.tool import RunContext
from chatdit.tools.types import ImageRef, ToolError

Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Case:
    """A fresh picture of several things, one of them meant; points lie in that one and in another."""

    picture: Tensor
    """float (3, H, W) in [-1, 1]."""
    style: str
    subject: str
    truth: Tensor
    """bool (H, W)"""
    point: Point
    wrong_point: Point


def segment_iou(bench: Bench, count: int, seed: int) -> Measured:
    """IoU of a thing's true mask with the reader's box (base), the tool's mask of a point in it, and of one in another.

    Neutral: the masks of everything and of the background, asked for one by one, cover every pixel once.
    """
    trials, spent = [], {"box": 0.0, "tool": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        ref = store.put_image(Image.new("RGB", (PICTURE_PIXELS, PICTURE_PIXELS)))
        for i, case in enumerate(cases(bench, count, seed)):
            bench.notify("segment", i, count)
            ref = store.put_image(to_image(case.picture))
            started = time.perf_counter()
            box = _boxed(bench, case)
            looked = time.perf_counter()
            mask = _mask(bench, store, SegmentInput(image=ref, points=(case.point,)))
            spent["tool"] += time.perf_counter() - looked
            spent["box"] += looked - started
            other = _mask(bench, store, SegmentInput(image=ref, points=(case.wrong_point,)))
            trials.append(Trial(*(iou(found, case.truth) for found in (box, mask, other))))
        bench.notify("segment", count, count)
        return Measured(tuple(trials), _uncovered(bench, store, ref), spent["tool"] / spent["box"])


def cases(bench: Bench, count: int, seed: int) -> Iterator[Case]:
    """Pictures that nobody trained on, of two things or more, every style as often as the others."""
    rng = random.Random(f"effects-segment-{seed}")
    for i in range(count):
        style = tuple(STYLES)[i % len(STYLES)]
        scene = _crowded(rng, style)
        drawn = bench.renderer.render([scene], rng)
        masks = drawn.masks[0].cpu()
        meant, other = rng.sample(range(len(masks)), 2)
        yield Case(
            drawn.pictures[0],
            style,
            drawn.placements[0][meant].subject,
            masks[meant],
            _point_in(masks[meant], rng),
            _point_in(masks[other], rng),
        )


def iou(found: Tensor | None, truth: Tensor) -> float:
    """Of two masks bool (H, W): what they share as a share of both together; 0 for none."""
    return 0.0 if found is None else float((found & truth).sum() / (found | truth).sum())


SEGMENT = Claim(
    "segment",
    "a point in a thing gives its mask",
    "IoU with the true mask",
    "Segment Anything, arXiv 2304.02643: a prompt gives a mask; in the pocket world by reading and fitting",
    segment_iou,
)


def _crowded(rng: random.Random, style: str) -> Scene:
    """A scene of two sprites or more."""
    while True:
        scene = world.random_scene(rng, style=style)
        if sum(thing.count for thing in scene.things) > 1:
            return scene


def _mask(bench: Bench, store: ArtifactStore, request: SegmentInput) -> Tensor | None:
    """bool (H, W) of the one mask that the tool gives; None where it refuses."""
    try:
        made = Segment().run(request, RunContext(lambda: bench.dit, store, lambda progress: None))
    except ToolError:
        return None
    assert isinstance(made, SegmentOutput)
    return torch.from_numpy(np.asarray(store.open_mask(made.masks[0])) > 127)


def _boxed(bench: Bench, case: Case) -> Tensor | None:
    """bool (H, W): the box of the thing at the point, as the reader tells it."""
    reading = bench.reader.read(case.picture[None])[0]
    found = nearest(case.point, picks_of(reading, None), lambda sighting: torch.zeros_like(case.truth))
    if found is None:
        return None
    inside = torch.zeros_like(case.truth)
    x1, y1, x2, y2 = (round(v * PICTURE_PIXELS) for v in (found.box.x1, found.box.y1, found.box.x2, found.box.y2))
    inside[y1:y2, x1:x2] = True
    return inside


def _uncovered(bench: Bench, store: ArtifactStore, picture: ImageRef) -> float:
    """Largest difference of any pixel, in [0, 1], between all and everything together with the background."""
    parts = [_mask(bench, store, SegmentInput(image=picture, phrase=phrase)) for phrase in ("everything", "background")]
    if parts[0] is None or parts[1] is None:
        return 1.0
    return float((parts[0].float() + parts[1].float() - 1).abs().max())


def _point_in(mask: Tensor, rng: random.Random) -> Point:
    """The middle of a pixel well inside a mask (H, W), as a person points."""
    inner = -F.max_pool2d(-mask.float()[None], 5, 1, 2)[0] > 0
    places = (inner if inner.any() else mask).nonzero().tolist()
    row, column = rng.choice(places)
    return (column + 0.5) / PICTURE_PIXELS, (row + 0.5) / PICTURE_PIXELS
