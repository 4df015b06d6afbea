"""Edits that need no box and no mask: from what a picture shows and what it shall show, both in words, to the picture.

A picture of another size than the painter paints is edited on a frame of the painter's; what changes there is laid on
the picture, whose other pixels stay as they are. Layout legend: H, W pixels of the frame.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor

from chatdit.tools.dit.attention_plan import Scope
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import EditSource, Route, Row, SamplingDefaults, Segment
from chatdit.tools.fitting import pad_to, resize_to
from chatdit.tools.in_context import Drawing, sampled_pictures
from chatdit.tools.panel_sizes import reference_size
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import COLOURLESS, caption
from chatdit.tools.pocket.closer_look import CloserLook, placed
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.retouch import retouch
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.sight import scene_of
from chatdit.tools.pocket.vocabulary import BACKGROUNDS
from chatdit.tools.types import ProgressCallback, Sampling, ToolError

PixelBox = tuple[int, int, int, int]
_SAME_SHAPE = 0.05
"""Of the aspect: what a picture is stretched by rather than padded."""


@dataclass(frozen=True)
class Words:
    """What a picture shows and what it shall show, as the painter reads it."""

    shown: str
    wanted: str


@dataclass(frozen=True)
class Way:
    """How words become an edit; see `EditSource`. `guidance` is towards what is wanted, if a request asks for none."""

    route: Route = "flow_edit"
    start: float = 1.0
    guidance: float = 1.0
    source_guidance: float = 1.0
    draws: int = 1
    shared: Scope | None = None


POCKET = Way(guidance=2.0, source_guidance=2.0)
"""Measured; see `evals/effect_edit_words.py`."""
DISTILLED = Way(start=24 / 28, guidance=5.5, source_guidance=1.5)
"""FlowEdit's own choice for FLUX.1-dev (arXiv 2412.08629)."""
UNGUIDED = Way(start=0.75)
"""For painters of a few steps that know no guidance, such as FLUX.1-schnell. Not measured."""


def way_for(dit: DiT) -> Way:
    """The way that suits a painter."""
    if not dit.defaults.open_vocabulary:
        return POCKET
    return DISTILLED if dit.defaults.guidance > 1 else UNGUIDED


def words_for(dit: DiT, picture: Image.Image, wanted: str, shown: str = "", seed: int = 0) -> Words:
    """Both captions in the painter's words; a painter of the pocket world looks what the picture shows.

    Raises ToolError where nobody says what the picture shows, or `wanted` is no scene of the painter's world.
    """
    if dit.defaults.open_vocabulary:
        if not shown:
            raise ToolError("nothing says what the picture shows: expected its caption; describe it in words")
        return Words(shown, wanted)
    (reading,) = _reader().read(to_tensor(_frame(picture, dit.defaults))[None])
    found, scene = retouch(reading, wanted, random.Random(seed)), read_caption(wanted)
    if found is None or scene is None:
        raise ToolError(f"{wanted!r} is no scene that {dit.name} can draw: expected subjects, a place and a style")
    return Words(told(reading, scene.scene), found.caption)


def edited_by_words(
    dit: DiT,
    picture: Image.Image,
    words: Words,
    sampling: Sampling,
    progress: ProgressCallback,
    *,
    way: Way | None = None,
    region: Image.Image | None = None,
    preview: bool = False,
) -> Image.Image:
    """`picture` as the words want it; `region`, of its size and mode L, is black where nothing may change."""
    way = way or way_for(dit)
    frame = _frame(picture, dit.defaults)
    keep = None if region is None else _kept(region, frame.size)
    source = EditSource(words.shown, way.route, way.start, way.source_guidance, way.draws, way.shared)
    segment = Segment(*frame.size, known=to_tensor(frame), keep=keep)
    row = Row(words.wanted, (segment,), sampling.seed, "edited", source=source)
    if sampling.guidance is None:
        sampling = sampling.model_copy(update={"guidance": way.guidance})
    (made,) = sampled_pictures(dit, Drawing(row, 0), sampling, progress, preview=preview).pictures
    result = _laid_on(picture, frame, made)
    return result if region is None else Image.composite(result, picture, region.point(lambda level: level and 255))


def told(reading: Reading, wanted: Scene) -> str:
    """What a picture shows, with every sprite's spot, in the order and as wordily as a caption of `wanted`.

    So the two captions differ where the scenes do, and in nothing else.
    """
    reading = replace(reading, sightings=tuple(_in_order(reading.sightings, wanted.things)))
    scene = scene_of(reading)
    if not scene.things:
        return f"{BACKGROUNDS[scene.background].phrase}, {scene.style} style"
    things = tuple(_as_wordily(t, wanted.things[min(i, len(wanted.things) - 1)]) for i, t in enumerate(scene.things))
    scene = replace(scene, things=things, relation=scene.relation if wanted.relation else None)
    keys = [_key(t.subject, t.tint, scene.style) for t in things]
    sightings = sorted(reading.sightings, key=lambda s: keys.index(_key(s.subject, s.tint, scene.style)))
    return caption(scene, [placed(s) for s in sightings])


def _in_order(sightings: Sequence[Sighting], things: Sequence[Thing]) -> list[Sighting]:
    """The sightings as a caption tells of them: each at its subject's place, others at the places that are left."""
    left = list(sightings)
    places: list[Sighting | None] = []
    for subject in (t.subject for t in things for _ in range(t.count)):
        mine = next((s for s in left if s.subject == subject), None)
        places.append(mine)
        if mine is not None:
            left.remove(mine)
    filled = [left.pop(0) if s is None and left else s for s in places]
    return [s for s in filled if s is not None] + left


def _as_wordily(thing: Thing, wanted: Thing) -> Thing:
    """The thing without its size and position, unless a caption of `wanted` tells those."""
    return replace(
        thing,
        size=thing.size if wanted.size != "medium" else "medium",
        position=thing.position if wanted.position else None,
    )


def _key(subject: str, tint: str | None, style: str) -> tuple[str, str | None]:
    return subject, None if style in COLOURLESS else tint


@cache
def _reader() -> CloserLook:
    return CloserLook(load_detector())


def _frame(picture: Image.Image, painter: SamplingDefaults) -> Image.Image:
    """The picture in a size that the painter paints, whole."""
    size = reference_size(picture.size, painter, 1)
    same = abs(picture.width * size[1] / (picture.height * size[0]) - 1) <= _SAME_SHAPE
    return resize_to(picture, *size) if same else pad_to(picture, *size)


def _kept(region: Image.Image, frame: tuple[int, int]) -> Tensor:
    """bool (H, W): True where nothing may change; bars around the picture may not."""
    left, top, right, bottom = _window(region.size, frame)
    free = Image.new("L", frame)
    some = region.point(lambda level: level and 255)
    free.paste(some.resize((right - left, bottom - top), Image.Resampling.BOX), (left, top))
    return torch.from_numpy(np.asarray(free) == 0)


def _laid_on(picture: Image.Image, frame: Image.Image, made: Image.Image) -> Image.Image:
    """The picture with what of its frame has changed."""
    if picture.size == frame.size:
        return made
    window = _window(picture.size, frame.size)
    apart = ImageChops.difference(frame, made).crop(window)
    changed = Image.fromarray(np.where(np.asarray(apart).max(axis=2) > 0, 255, 0).astype(np.uint8))
    result = picture.copy()
    result.paste(resize_to(made.crop(window), *picture.size), (0, 0), resize_to(changed, *picture.size))
    return result


def _window(inner: tuple[int, int], frame: tuple[int, int]) -> PixelBox:
    """Where in its frame a picture of size `inner` stands."""
    if abs(inner[0] * frame[1] / (inner[1] * frame[0]) - 1) <= _SAME_SHAPE:
        return 0, 0, *frame
    scale = min(frame[0] / inner[0], frame[1] / inner[1])
    width, height = round(inner[0] * scale), round(inner[1] * scale)
    left, top = (frame[0] - width) // 2, (frame[1] - height) // 2
    return left, top, left + width, top + height
