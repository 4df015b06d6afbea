"""What a picture of the pocket world shows, in the words of its captions; nothing is said of any other picture.

A reader trained on this world names something in a photograph too. So what was read is drawn again and compared: only
where that looks like the picture is it believed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.captions import COLOURLESS, caption
from chatdit.tools.pocket.closer_look import CloserLook, placed
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Position, RelationKind, Scene, Thing
from chatdit.tools.pocket.vocabulary import PERSON, Size


@dataclass(frozen=True)
class Seen:
    """A picture of this world: what it shows, as far as captions tell it, and whether that is all."""

    scene: Scene
    whole: bool

    @property
    def caption(self) -> str:
        """ "a red cat on the beach"."""
        return caption(self.scene)


MIN_SCORE = 0.5
MOST_AWAY = 0.1
"""Mean difference, in [0, 1], of what was read and drawn again to the picture, both on 32 x 32 pixels."""
_SMALL, _LARGE = 0.34, 0.58
_ASIDE = 0.36
_COARSE = 32
_DRESSED = 2


class Sight:
    """Describes pictures. Loads the reader when it is made."""

    def __init__(self) -> None:
        """Raises ToolError when the reader's weights are missing."""
        self._renderer = Renderer()
        self._reader = CloserLook(load_detector(), self._renderer)

    def look(self, image: Image.Image) -> Seen | None:
        """What `image` shows; None when it is no picture of this world."""
        picture = _tensor(image)
        reading = self._reader.read(picture[None])[0]
        seen = replace(reading, sightings=tuple(s for s in reading.sightings if s.score >= MIN_SCORE))
        if not seen.sightings or any(s.subject == PERSON for s in seen.sightings):
            return None
        if self._away(seen, picture) > MOST_AWAY:
            return None
        scene = scene_of(seen)
        return Seen(scene, all(s.worn is None for s in seen.sightings) or any(t.worn for t in scene.things))

    def _away(self, reading: Reading, picture: Tensor) -> float:
        """How far the reading, drawn before the background's likest view, is from the picture."""
        scene = Scene((Thing(reading.sightings[0].subject),), reading.background, reading.style)
        sprites = tuple(placed(s) for s in reading.sightings)
        scenes = [replace(scene, view=view) for view in range(BACKGROUND_VARIANTS)]
        drawn = self._renderer.pictures_of(scenes, [sprites] * len(scenes), random.Random(0))
        coarse = F.interpolate(torch.cat([drawn, picture[None]]), size=(_COARSE, _COARSE), mode="area").div(2)
        return float((coarse[:-1] - coarse[-1:]).abs().mean(dim=(1, 2, 3)).min())


def scene_of(reading: Reading) -> Scene:
    """The scene that a reading tells of, if it has a sighting; of more than two, nothing that is worn is told."""
    colours = reading.style not in COLOURLESS
    things: dict[tuple[str, str | None], Thing] = {}
    for sighting in reading.sightings:
        key = sighting.subject, sighting.tint if colours else None
        known = things.get(key)
        worn = sighting.worn if colours and len(reading.sightings) <= _DRESSED else None
        things[key] = (
            Thing(key[0], tint=key[1], worn=worn) if known is None else replace(known, count=known.count + 1, worn=None)
        )
    kinds = tuple(things.values())
    if len(reading.sightings) == 1:
        kinds = (_placed_alone(kinds[0], reading.sightings[0]),)
    relation = _relation(*reading.sightings) if len(kinds) == len(reading.sightings) == 2 else None
    return Scene(kinds, reading.background, reading.style, relation)


def _placed_alone(thing: Thing, sighting: Sighting) -> Thing:
    box = sighting.box
    side = max(box.x2 - box.x1, box.y2 - box.y1)
    size: Size = "small" if side < _SMALL else "large" if side > _LARGE else "medium"
    x = (box.x1 + box.x2) / 2
    position: Position | None = "left" if x < _ASIDE else "right" if x > 1 - _ASIDE else None
    return replace(thing, size=size, position=position)


def _relation(first: Sighting, second: Sighting) -> RelationKind:
    across = second.box.x1 + second.box.x2 - first.box.x1 - first.box.x2
    down = second.box.y1 + second.box.y2 - first.box.y1 - first.box.y2
    if abs(across) >= abs(down):
        return "left of" if across > 0 else "right of"
    return "above" if down > 0 else "below"


def _tensor(image: Image.Image) -> Tensor:
    """float (3, 256, 256) in [-1, 1]."""
    scaled = image.convert("RGB").resize((PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(scaled).copy()).permute(2, 0, 1).float().div(127.5).sub(1)
