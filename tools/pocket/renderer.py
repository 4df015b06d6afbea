"""Batched renderer of the pocket world: scenes to pictures with boxes, masks, class maps and identities.

Layout legend: B batch, H and W 256 pixels, S sprites, k sprites of one kind. Pictures are float (B, 3, H, W) in
[-1, 1]. The same placements give the same bytes on every machine: levels are whole numbers at every step.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from chatdit.tools.pocket import world
from chatdit.tools.pocket.backgrounds import background_pictures
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS, Drawing, SpriteNumbers, drawing
from chatdit.tools.pocket.figures import figure_tiles
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene
from chatdit.tools.pocket.sprites import exchanged, tint_index, tinted
from chatdit.tools.pocket.styles import in_styles
from chatdit.tools.pocket.tile_bank import SHARPNESS, Geometry, Seen, TileBank, Tiles, level_of, look, nearest
from chatdit.tools.pocket.vocabulary import PERSON, SUBJECTS

NO_CLASS = -1
PERSON_CLASS = len(SUBJECTS)


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
    """One bool (S, 256, 256) each, what is seen of every sprite and what it wears."""
    class_map: Tensor
    """int64 (B, 256, 256): the subject's index at each pixel, PERSON_CLASS for people, -1 for background."""
    identities: tuple[tuple[int, ...], ...]
    """One number for each sprite, equal where they show the same one."""
    part_map: Tensor
    """uint8 (B, 256, 256): the part of a person at each pixel, counted from 1 in `figures.PARTS`, else 0."""


@dataclass(frozen=True)
class SpriteMaps:
    """What is noted while sprites are pasted: the placement and the part of a person seen at each pixel."""

    owner: Tensor
    part: Tensor


@dataclass(frozen=True)
class _Group:
    """Sprites that are seen through windows of one size, ready to paste."""

    seen: Seen
    places: Tensor
    """int64 (k, 2) on the CPU: picture and slot."""
    owners: Tensor
    """int64 (k,) on the CPU."""
    parts: Tensor | None
    """uint8 (k, W, W), of figures."""


class _People(NamedTuple):
    """Painted figures, in the order in which a drawing has them: what `Tiles` needs, and the part at each texel."""

    texels: Tensor
    parts: Tensor
    """uint8, one for each texel."""
    starts: Tensor
    sides: Tensor


class Renderer:
    """Holds the sprites and the backgrounds on one device."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._bank = TileBank(self.device)
        self._upright = lru_cache(maxsize=4)(self._upright_tiles)
        self._backgrounds = torch.from_numpy(background_pictures().copy()).to(self.device)

    def pictures(self, scenes: Sequence[Scene], rng: random.Random) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1], without the annotations: the training path."""
        return self.pictures_and_placements(scenes, rng)[0]

    def pictures_and_placements(
        self, scenes: Sequence[Scene], rng: random.Random
    ) -> tuple[Tensor, list[tuple[Placement, ...]]]:
        """Pictures float (B, 3, 256, 256) in [-1, 1] and where every sprite stands."""
        placements = [world.place(scene, rng) for scene in scenes]
        return self.pictures_of(scenes, placements, rng), placements

    def pictures_of(
        self, scenes: Sequence[Scene], placements: Sequence[tuple[Placement, ...]], rng: random.Random
    ) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1] of sprites placed by hand; scenes give place and style."""
        return self.draw(drawing(scenes, placements, rng))

    def render(
        self, scenes: Sequence[Scene], rng: random.Random, placements: Sequence[tuple[Placement, ...]] | None = None
    ) -> Rendering:
        """Pictures with everything that is known about them; scenes are stood up here unless `placements` are given.

        Raises:
            ValueError: a scene that cannot be stood up.
        """
        stood = tuple(world.place(scene, rng) for scene in scenes) if placements is None else tuple(placements)
        shape = (len(scenes), PICTURE_PIXELS, PICTURE_PIXELS)
        maps = SpriteMaps(
            torch.full(shape, NO_CLASS, device=self.device), torch.zeros(shape, dtype=torch.uint8, device=self.device)
        )
        pictures = self.draw(drawing(scenes, stood, rng), maps)
        masks = tuple(_masks(maps.owner[i], len(p)) for i, p in enumerate(stood))
        class_map = maps.owner.clone()
        for i, sprites in enumerate(stood):
            for slot, sprite in enumerate(sprites):
                class_map[i][masks[i][slot]] = class_index(sprite.subject)
        return Rendering(
            pictures=pictures,
            captions=tuple(caption(scene) for scene in scenes),
            placements=stood,
            boxes=tuple(torch.stack([_box(m) for m in mask]) if len(mask) else torch.zeros(0, 4) for mask in masks),
            masks=masks,
            class_map=class_map,
            identities=tuple(tuple(sprite.identity for sprite in sprites) for sprites in stood),
            part_map=maps.part,
        )

    def backgrounds(self, index: int) -> Tensor:
        """The variants of the background number `index`, float (BACKGROUND_VARIANTS, 3, 256, 256) in [0, 1]."""
        chosen = self._backgrounds[index * BACKGROUND_VARIANTS : (index + 1) * BACKGROUND_VARIANTS]
        return chosen.permute(0, 3, 1, 2).float() / 255

    def sprites(self, tint: str | None, side: int, subjects: Sequence[int]) -> Tensor:
        """The sprites of subjects, given by index, on `side` pixels.

        Float (n, 4, side, side) in [0, 1], colours multiplied by alpha.
        """
        tiles = self._upright(side)[list(subjects)].float()
        if tint is not None:
            tiles = tinted(tiles, torch.full((len(tiles),), tint_index(tint), device=self.device))
        return tiles.permute(0, 3, 1, 2).contiguous().div_(255)

    def _upright_tiles(self, side: int) -> Tensor:
        which = torch.arange(len(SUBJECTS))
        nought = torch.zeros_like(which)
        tiles = self._bank.tiles(which, nought + level_of(side))
        return look(tiles, Geometry(nought + side, nought, nought, nought, nought), side).colours

    def draw(self, numbers: Drawing, maps: SpriteMaps | None = None) -> Tensor:
        """Pictures float (B, 3, 256, 256) in [-1, 1]; `maps` are filled in."""
        canvas = self._backgrounds[numbers.grounds.to(self.device)].float()
        groups = list(self._groups(numbers, parts=maps is not None))
        for slot in range(numbers.sprites.shape[1]):
            for group in groups:
                _paste(canvas, group, slot, maps)
        styled = in_styles(canvas.permute(0, 3, 1, 2).div(255), numbers.styles)
        # to whole levels, which no machine rounds differently
        return styled.mul_(255).round_().clamp_(0, 255).div_(127.5).sub_(1)

    def _groups(self, numbers: Drawing, *, parts: bool) -> Iterator[_Group]:
        # which sprites are meant is settled on the CPU, so that nothing is read back from the device
        places = (numbers.sprites[..., SpriteNumbers._fields.index("side")] > 0).nonzero()
        flat = numbers.sprites[places[:, 0], places[:, 1]]
        every = SpriteNumbers[Tensor](*flat.unbind(dim=1))
        kinds = torch.stack([every.window, every.figure])
        is_figure = every.figure > 0
        people = self._people(numbers, every.tile[is_figure], every.level[is_figure])
        for window, figure in torch.unique(kinds, dim=1).T.tolist() if len(flat) else []:
            chosen = ((kinds[0] == window) & (kinds[1] == figure)).nonzero()[:, 0]
            sprites = SpriteNumbers[Tensor](*flat[chosen].unbind(dim=1))
            geometry = Geometry(sprites.side, sprites.left, sprites.top, sprites.rotation, sprites.variant % 2)
            part = None
            if figure:
                starts, sides = people.starts[sprites.tile], people.sides[sprites.tile]
                tiles = Tiles(people.texels, starts, sides)
                part = nearest(Tiles(people.parts, starts, sides), geometry, window) if parts else None
            else:
                tiles = self._bank.tiles(sprites.tile, sprites.level)
            yield _Group(self._dyed(look(tiles, geometry, window), sprites), places[chosen], sprites.owner, part)

    def _people(self, numbers: Drawing, which: Tensor, levels: Tensor) -> _People:
        """All figures, painted together for each level: a painting costs a device much the same for any number."""
        starts, sides, level = torch.zeros(3, len(numbers.figures), dtype=torch.int64)
        level[which] = levels
        texels, parts, length = [], [], 0
        for i in sorted(set(levels.tolist())):
            rows, side = (level == i).nonzero()[:, 0], 2 * SHARPNESS[i]
            painted, drawn = figure_tiles(numbers.figures[rows], side, self.device)
            starts[rows], sides[rows] = length + torch.arange(len(rows)) * side * side, side
            texels.append(painted.flatten())
            parts.append(drawn.flatten())
            length += len(rows) * side * side
        empty = torch.zeros(0, dtype=torch.int32, device=self.device)
        return _People(torch.cat([empty, *texels]), torch.cat([empty.byte(), *parts]), starts, sides)

    def _dyed(self, seen: Seen, sprites: SpriteNumbers[Tensor]) -> Seen:
        tints, variants = (t.to(self.device, non_blocking=True) for t in (sprites.tint, sprites.variant))
        colours = seen.colours
        for changed, change, how in ((sprites.tint > 0, tinted, tints), (sprites.variant > 1, exchanged, variants)):
            rows = changed.nonzero()[:, 0].to(self.device, non_blocking=True)
            if len(rows):
                colours[rows] = change(colours[rows].float(), how[rows]).to(torch.uint8)
        return seen


def to_image(picture: Tensor) -> Image.Image:
    """A PIL picture of float (3, H, W) in [-1, 1]."""
    pixels = picture.detach().float().cpu().add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGB")


def class_index(subject: str) -> int:
    """What the class map calls a subject."""
    return PERSON_CLASS if subject == PERSON else SUBJECTS[subject].index


def _paste(canvas: Tensor, group: _Group, slot: int, maps: SpriteMaps | None) -> None:
    """Lay the group's sprites of one slot over canvas (B, H, W, 3) of levels."""
    rows = (group.places[:, 1] == slot).nonzero()[:, 0]
    if not len(rows):
        return
    chosen = torch.stack([rows, group.places[rows, 0], group.owners[rows]]).to(canvas.device, non_blocking=True)
    here = (chosen[1][:, None, None], group.seen.rows[chosen[0]], group.seen.columns[chosen[0]])
    tiles = group.seen.colours[chosen[0]].float()
    left = canvas[here].mul_(255 - tiles[..., 3:]).div_(255).round_()
    canvas[here] = left.add_(tiles[..., :3]).clamp_(max=255)
    if maps is not None:
        seen = tiles[..., 3] > 127
        maps.owner[here] = torch.where(seen, chosen[2][:, None, None], maps.owner[here])
        part = torch.zeros_like(maps.part[here]) if group.parts is None else group.parts[chosen[0]]
        maps.part[here] = torch.where(seen, part, maps.part[here])


def _masks(owner: Tensor, count: int) -> Tensor:
    return torch.stack([owner == slot for slot in range(count)])


def _box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return torch.zeros(4)
    corners = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return corners.float().cpu() / PICTURE_PIXELS
