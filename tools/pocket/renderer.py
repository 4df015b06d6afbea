"""Batched renderer of the pocket world: scenes to pictures with boxes, masks and class maps.

Layout legend: B batch, H and W 256 pixels, S sprites. Pictures are float (B, 3, H, W) in [-1, 1].
The same placements give the same bytes on every run; work is done by integer gathers on `device`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.backgrounds import VARIANTS, background_pictures
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.scene import (
    CELL_PIXELS,
    CELLS,
    PICTURE_PIXELS,
    SIZE_CELLS,
    Placement,
    Scene,
    place,
)
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS, TINTS

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
        sprites = _load_atlas()
        self._sprites = {
            cells: _resized(sprites, cells * CELL_PIXELS).to(self.device) for cells in sorted(set(SIZE_CELLS.values()))
        }
        self._backgrounds = torch.from_numpy(background_pictures().copy()).to(self.device)
        self._subject_index = {name: subject.index for name, subject in SUBJECTS.items()}
        self._background_index = {name: i for i, name in enumerate(BACKGROUNDS)}
        self._style_index = {name: i for i, name in enumerate(STYLES)}

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
        """The variants of the background number `index`, float (VARIANTS, 3, 256, 256) in [0, 1]."""
        chosen = self._backgrounds[index * VARIANTS : (index + 1) * VARIANTS]
        return chosen.permute(0, 3, 1, 2).float() / 255

    def sprites(self, tint: str | None, cells: int) -> Tensor:
        """Every subject's sprite as float (221, 4, S, S), colour in [0, 1] and alpha, for comparisons."""
        tiles = self._sprites[cells]
        colour = _tinted(tiles, _tint_rows([tint], self.device)) if tint else tiles[:, :3]
        return torch.cat([colour, tiles[:, 3:]], dim=1)

    def _draw(
        self,
        scenes: Sequence[Scene],
        placements: Sequence[tuple[Placement, ...]],
        rng: random.Random,
        owner: Tensor | None,
    ) -> Tensor:
        rows = [self._background_index[s.background] * VARIANTS + rng.randrange(VARIANTS) for s in scenes]
        canvas = self._backgrounds[torch.tensor(rows, device=self.device)].float().div_(255)
        for slot in range(max((len(p) for p in placements), default=0)):
            for cells in self._sprites:
                self._paste(canvas, placements, slot, cells, owner)
        pictures = _styled(canvas.permute(0, 3, 1, 2), [self._style_index[s.style] for s in scenes])
        return pictures.mul_(2).sub_(1)

    def _paste(
        self,
        canvas: Tensor,
        placements: Sequence[tuple[Placement, ...]],
        slot: int,
        cells: int,
        owner: Tensor | None,
    ) -> None:
        chosen = [(b, p[slot]) for b, p in enumerate(placements) if len(p) > slot and p[slot].cells == cells]
        if not chosen:
            return
        side = cells * CELL_PIXELS
        tiles = self._sprites[cells][self._indices([self._subject_index[s.subject] for _, s in chosen])]
        colour = _tinted(tiles, _tint_rows([s.tint for _, s in chosen], self.device)).permute(0, 2, 3, 1)
        alpha = tiles[:, 3, :, :, None]
        span = torch.arange(side, device=self.device)
        batch = self._indices([b for b, _ in chosen])[:, None, None]
        down = (self._indices([s.row * CELL_PIXELS for _, s in chosen])[:, None] + span)[:, :, None]
        across = (self._indices([s.column * CELL_PIXELS for _, s in chosen])[:, None] + span)[:, None, :]
        canvas[batch, down, across] = canvas[batch, down, across] * (1 - alpha) + colour * alpha
        if owner is not None:
            seen = tiles[:, 3] > 0.5
            owner[batch, down, across] = torch.where(seen, slot, owner[batch, down, across])

    def _indices(self, values: list[int]) -> Tensor:
        return torch.tensor(values, device=self.device)


def in_style(pictures: Tensor, style: str) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as `style` shows them."""
    return pictures if style == "plain" else _STYLE_FILTERS[style](pictures)


def to_image(picture: Tensor) -> Image.Image:
    """A PIL picture of float (3, H, W) in [-1, 1]."""
    pixels = picture.detach().float().cpu().add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGB")


def _load_atlas() -> Tensor:
    folder = files("chatdit.tools.pocket")
    table = json.loads(folder.joinpath("vocabulary.json").read_text(encoding="utf-8"))
    side, columns, count = table["sprite_pixels"], table["columns"], len(table["subjects"])
    with folder.joinpath("sprites.png").open("rb") as file, Image.open(file) as atlas:
        pixels = np.asarray(atlas.convert("RGBA"))
    tiles = [pixels[i // columns * side :, i % columns * side :][:side, :side] for i in range(count)]
    return torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float().div_(255)


def _resized(sprites: Tensor, side: int) -> Tensor:
    if sprites.shape[-1] == side:
        return sprites
    # premultiplied, so that transparent pixels lend no colour to the edges
    alpha = sprites[:, 3:]
    merged = torch.cat([sprites[:, :3] * alpha, alpha], dim=1)
    scaled = F.interpolate(merged, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp_(0, 1)
    return torch.cat([(scaled[:, :3] / scaled[:, 3:].clamp(min=1e-4)).clamp_(0, 1), scaled[:, 3:]], dim=1)


def _tint_rows(tints: Sequence[str | None], device: torch.device) -> Tensor:
    rows = [(*TINTS[t], 1.0) if t else (0.0, 0.0, 0.0, 0.0) for t in tints]
    return torch.tensor(rows, device=device)


def _tinted(tiles: Tensor, tints: Tensor) -> Tensor:
    # a tint keeps the sprite's light and dark: dark goes to black, light towards the tint and white
    light = (tiles[:, :3] * tiles.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    colour = tints[:, :3, None, None]
    dyed = torch.where(light < 0.6, colour * light / 0.6, colour + (1 - colour) * (light - 0.6) / 0.8)
    return torch.where(tints[:, 3:, None, None] > 0, dyed, tiles[:, :3])


def _styled(pictures: Tensor, styles: list[int]) -> Tensor:
    pictures = pictures.contiguous()
    for index, name in enumerate(STYLES):
        rows = [i for i, s in enumerate(styles) if s == index]
        if rows and name != "plain":
            chosen = torch.tensor(rows, device=pictures.device)
            pictures[chosen] = in_style(pictures[chosen], name)
    return pictures


def _luminance(x: Tensor) -> Tensor:
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


def _sketch(x: Tensor) -> Tensor:
    light = F.pad(_luminance(x), (1, 1, 1, 1), mode="replicate")
    smooth = F.avg_pool2d(light, 3, stride=1)
    smooth = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    ink = (across.square() + down.square()).sqrt().mul(5).clamp(0, 1)
    shade = 0.92 + 0.08 * _luminance(x)
    return (shade * (1 - 0.85 * ink)).expand(-1, 3, -1, -1)


def _pixel_art(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 8), scale_factor=8, mode="nearest")


def _monochrome(x: Tensor) -> Tensor:
    return _luminance(x).expand(-1, 3, -1, -1)


def _sepia(x: Tensor) -> Tensor:
    dark, pale = x.new_tensor([0.16, 0.09, 0.04]), x.new_tensor([1.0, 0.93, 0.78])
    return dark[:, None, None] + _luminance(x) * (pale - dark)[:, None, None]


def _negative(x: Tensor) -> Tensor:
    return 1 - x


_STYLE_FILTERS = {
    "sketch": _sketch,
    "pixel art": _pixel_art,
    "monochrome": _monochrome,
    "sepia": _sepia,
    "negative": _negative,
}


def _masks(owner: Tensor, count: int) -> Tensor:
    return torch.stack([owner == slot for slot in range(count)])


def _box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return torch.zeros(4)
    corners = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return corners.float().cpu() / (CELLS * CELL_PIXELS)
