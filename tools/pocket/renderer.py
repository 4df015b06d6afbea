"""Batched renderer of the pocket world: scenes to pictures with boxes, masks and class maps.

Layout legend: B batch, H and W 256 pixels, S sprites. Pictures are float (B, 3, H, W) in [-1, 1].
The same placements give the same bytes on every run; work is done by integer gathers on `device`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from chatdit.tools.pocket.backgrounds import background_pictures
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS, Drawing, drawing
from chatdit.tools.pocket.scene import (
    CELL_PIXELS,
    CELLS,
    PICTURE_PIXELS,
    SIZE_CELLS,
    Placement,
    Scene,
    place,
)
from chatdit.tools.pocket.sprites import load_atlas, resized, tinted, varied
from chatdit.tools.pocket.styles import in_styles
from chatdit.tools.pocket.vocabulary import SUBJECTS, TINTS

NO_CLASS = -1


@dataclass(frozen=True)
class Rendering:
    """What the renderer knows of a batch of pictures."""

    pictures: Tensor
    """float (B, 3, 256, 256) in [-1, 1]."""
    captions: tuple[str, ...]
    placements: tuple[tuple[Placement, ...], ...]
    boxes: tuple[Tensor, ...]
    """One float (S, 4) each: xyxy of the visible pixels, in fractions of the picture."""
    masks: tuple[Tensor, ...]
    """One bool (S, 256, 256) each, what is seen of every sprite."""
    class_map: Tensor
    """int64 (B, 256, 256): the subject's index at each pixel, -1 for background."""


class Renderer:
    """Holds the sprite atlas and the backgrounds on one device."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        sprites = load_atlas()
        self._sprites = {
            cells: resized(sprites, cells * CELL_PIXELS).to(self.device) for cells in sorted(set(SIZE_CELLS.values()))
        }
        self._backgrounds = torch.from_numpy(background_pictures().copy()).to(self.device)
        self._subject_index = {name: subject.index for name, subject in SUBJECTS.items()}

    def pictures(self, scenes: Sequence[Scene], rng: random.Random) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1], without the annotations: the training path."""
        return self.pictures_and_placements(scenes, rng)[0]

    def pictures_and_placements(
        self, scenes: Sequence[Scene], rng: random.Random
    ) -> tuple[Tensor, list[tuple[Placement, ...]]]:
        """Pictures float (B, 3, 256, 256) in [-1, 1] and where every sprite stands."""
        placements = [place(scene, rng) for scene in scenes]
        return self.pictures_of(scenes, placements, rng), placements

    def pictures_of(
        self, scenes: Sequence[Scene], placements: Sequence[tuple[Placement, ...]], rng: random.Random
    ) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1] of sprites placed by hand; scenes give place and style."""
        return self._draw(scenes, placements, rng, None)

    def render(self, scenes: Sequence[Scene], rng: random.Random) -> Rendering:
        """Pictures with everything that is known about them.

        Raises:
            ValueError: a scene that `scene.check` refuses.
        """
        placements = tuple(place(scene, rng) for scene in scenes)
        owner = torch.full((len(scenes), PICTURE_PIXELS, PICTURE_PIXELS), NO_CLASS, device=self.device)
        pictures = self._draw(scenes, placements, rng, owner)
        masks = tuple(_masks(owner[i], len(p)) for i, p in enumerate(placements))
        class_map = owner.clone()
        for i, sprites in enumerate(placements):
            for slot, sprite in enumerate(sprites):
                class_map[i][masks[i][slot]] = self._subject_index[sprite.subject]
        return Rendering(
            pictures=pictures,
            captions=tuple(caption(scene) for scene in scenes),
            placements=placements,
            boxes=tuple(torch.stack([_box(m) for m in mask]) for mask in masks),
            masks=masks,
            class_map=class_map,
        )

    def backgrounds(self, index: int) -> Tensor:
        """The variants of the background number `index`, float (BACKGROUND_VARIANTS, 3, 256, 256) in [0, 1]."""
        chosen = self._backgrounds[index * BACKGROUND_VARIANTS : (index + 1) * BACKGROUND_VARIANTS]
        return chosen.permute(0, 3, 1, 2).float() / 255

    def sprites(self, tint: str | None, cells: int) -> Tensor:
        """Every subject's sprite as float (221, 4, S, S), colour in [0, 1] and alpha, for comparisons."""
        tiles = self._sprites[cells]
        index = 1 + list(TINTS).index(tint) if tint else 0
        tints = torch.full((len(tiles),), index, device=self.device)
        return torch.cat([tinted(tiles, tints), tiles[:, 3:]], dim=1)

    def _draw(
        self,
        scenes: Sequence[Scene],
        placements: Sequence[tuple[Placement, ...]],
        rng: random.Random,
        owner: Tensor | None,
    ) -> Tensor:
        return self.draw(drawing(scenes, placements, rng), owner)

    def draw(self, numbers: Drawing, owner: Tensor | None = None) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1]; an `owner` map gets the slot seen at each pixel."""
        canvas = self._backgrounds[numbers.grounds.to(self.device)].float().div_(255)
        for slot in range(numbers.sprites.shape[1]):
            for cells in self._sprites:
                self._paste(canvas, numbers.sprites[:, slot], slot, cells, owner)
        return in_styles(canvas.permute(0, 3, 1, 2), numbers.styles).mul_(2).sub_(1)

    def _paste(self, canvas: Tensor, sprites: Tensor, slot: int, cells: int, owner: Tensor | None) -> None:
        # which rows are meant is settled on the CPU, so that the device never has to be waited for
        rows = (sprites[:, 2] == cells).nonzero()[:, 0]
        if not len(rows):
            return
        changed = bool(sprites[rows, 5].any())
        chosen = torch.cat([rows[:, None], sprites[rows]], dim=1).to(self.device, non_blocking=True)
        batch, subject, tint, _, row, column, variant = chosen.unbind(dim=1)
        tiles = self._sprites[cells][subject]
        tiles = torch.cat([tinted(tiles, tint), tiles[:, 3:]], dim=1)
        if changed:
            tiles = varied(tiles, variant)
        span = torch.arange(cells * CELL_PIXELS, device=self.device)
        down = (row[:, None] * CELL_PIXELS + span)[:, :, None]
        across = (column[:, None] * CELL_PIXELS + span)[:, None, :]
        batch = batch[:, None, None]
        colour, alpha = tiles[:, :3].permute(0, 2, 3, 1), tiles[:, 3, :, :, None]
        canvas[batch, down, across] = canvas[batch, down, across] * (1 - alpha) + colour * alpha
        if owner is not None:
            owner[batch, down, across] = torch.where(tiles[:, 3] > 0.5, slot, owner[batch, down, across])


def to_image(picture: Tensor) -> Image.Image:
    """A PIL picture of float (3, H, W) in [-1, 1]."""
    pixels = picture.detach().float().cpu().add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGB")


def _masks(owner: Tensor, count: int) -> Tensor:
    return torch.stack([owner == slot for slot in range(count)])


def _box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return torch.zeros(4)
    corners = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return corners.float().cpu() / (CELLS * CELL_PIXELS)
