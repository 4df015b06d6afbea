"""Edits that need no box and no mask: from what a picture shows and what it shall show, both in words, to the picture.

A picture of another size than the painter paints is edited on a frame of the painter's; what changes there is laid on
the picture, whose other pixels stay as they are. Layout legend: H, W pixels of the frame.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops

from chatdit.tools.dit.attention_plan import Scope
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import EditSource, Route, Row, SamplingDefaults, Segment
from chatdit.tools.fitting import resize_to
from chatdit.tools.framing import framed, outside, window
from chatdit.tools.in_context import Drawing, sampled_pictures
from chatdit.tools.panel_sizes import reference_size
from chatdit.tools.pixels import to_tensor
from chatdit.tools.pocket.caption_reader import read_caption
from chatdit.tools.pocket.captions import COLOURLESS, caption
from chatdit.tools.pocket.closer_look import own_reader, placed
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.retouch import retouch
from chatdit.tools.pocket.scene import Scene, Thing
from chatdit.tools.pocket.sight import scene_of
from chatdit.tools.pocket.vocabulary import BACKGROUNDS
from chatdit.tools.types import ProgressCallback, Sampling, ToolError


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
    (reading,) = own_reader().read(to_tensor(_frame(picture, dit.defaults))[None])
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
    keep = None if region is None else outside(region, frame.size)
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


def _frame(picture: Image.Image, painter: SamplingDefaults) -> Image.Image:
    """The picture in a size that the painter paints, whole."""
    return framed(picture, *reference_size(picture.size, painter, 1))


def _laid_on(picture: Image.Image, frame: Image.Image, made: Image.Image) -> Image.Image:
    """The picture with what of its frame has changed."""
    if picture.size == frame.size:
        return made
    place = window(picture.size, frame.size)
    apart = ImageChops.difference(frame, made).crop(place)
    changed = Image.fromarray(np.where(np.asarray(apart).max(axis=2) > 0, 255, 0).astype(np.uint8))
    result = picture.copy()
    result.paste(resize_to(made.crop(place), *picture.size), (0, 0), resize_to(changed, *picture.size))
    return result
