"""From what a reader says of a picture to pixels: a mask of each thing seen, or of what it wears.

A thing is drawn as it was read, and moved, scaled, turned and changed in look to where it fits the picture best
(`tools/pocket/sprite_fit.py`, and `tools/pocket/figure_fit.py` for people, whose pose and clothes no reader tells).
Painted pictures bend their sprites a little; so the outline then follows the picture, piece by piece, by up to a few
pixels.

Layout legend: H and W 256 pixels, h and w those of a window, K shifts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.figure_fit import best_figure
from chatdit.tools.pocket.reading import Reading, Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing
from chatdit.tools.pocket.sprite_fit import WRONG, Stage, Window, best_fit
from chatdit.tools.pocket.tile_bank import Geometry, TileBank, level_of, look, window_of
from chatdit.tools.pocket.vocabulary import ACCESSORIES, PERSON, SUBJECTS
from chatdit.tools.pocket.wearing import worn_square

BEND = 4
"""Pixels that a piece of an outline may lie beside the sprite's."""
PIECE = 6
"""Pixels around each that bend alike, twice over."""
_STIFF, _SURE = 0.008, 0.004
"""The error that bending by one pixel must save, and the one that counts as no difference."""
_SMOOTH = 3
FOREIGN = 0.15
"""Difference, of 2, to the place that was read from which on a picture is hardly of this world, or of another shape."""
_ASIDE = 4
_UNLIKE, _CLEAR = 0.15, 0.5
"""Difference to the empty place, of 2, from which on a pixel speaks for a person, and beyond which it says no more."""


@dataclass(frozen=True, eq=False)
class _Outline:
    """A sprite where it fits best, and how far each pixel of it lies beside that: float (2, H, W), down and across."""

    sprite: Placement
    bent: Tensor


class Cutouts:
    """Masks of what was read in one picture, each found when it is first asked for."""

    def __init__(self, renderer: Renderer, picture: Tensor, reading: Reading) -> None:
        """`picture` is float (3, 256, 256) in [-1, 1]."""
        self._picture = picture.to(renderer.device).float()
        free = _beside(reading).to(renderer.device)
        scene, place = _empty_place(renderer, self._picture, reading, free)
        self.misfit = float((self._picture - place).abs().amax(dim=0)[free].median())
        """Median difference, of 2, between the picture beside all things and the place as the renderer draws it."""
        seen_place = place if self.misfit <= FOREIGN else _continued(self._picture, free)
        self._stage = Stage(renderer, scene, place, seen_place)
        self._off = (self._picture - seen_place).abs().amax(dim=0)
        self._noise = float(self._off[free].quantile(0.9))
        self._outlines: dict[Sighting, _Outline] = {}

    @torch.no_grad()
    def sprite(self, sighting: Sighting) -> Placement:
        """A thing that was read, where it fits the picture best."""
        return self._outline(sighting).sprite

    @torch.no_grad()
    def mask(self, sighting: Sighting) -> Tensor:
        """bool (H, W) on the CPU: what is seen of a thing and what it wears."""
        outline = self._outline(sighting)
        return _warped(self._drawn(outline.sprite)[1], outline.bent).cpu()

    @torch.no_grad()
    def worn_mask(self, sighting: Sighting) -> Tensor:
        """bool (H, W) on the CPU: what a thing wears, alone.

        Raises:
            ValueError: it wears nothing.
        """
        outline = self._outline(sighting)
        return _warped(worn_cover(outline.sprite).to(outline.bent.device), outline.bent).cpu()

    def _outline(self, sighting: Sighting) -> _Outline:
        if sighting not in self._outlines:
            sprite = self._fitted(sighting)
            self._outlines[sighting] = _Outline(sprite, self._bending(*self._drawn(sprite)))
        return self._outlines[sighting]

    def _fitted(self, sighting: Sighting) -> Placement:
        if sighting.subject != PERSON:
            return best_fit(self._stage, self._picture, sighting)
        unlike = self._off.clamp(max=_CLEAR) - max(_UNLIKE, 1.5 * self._noise)
        return best_figure(self._stage, self._picture, sighting, unlike)

    def _drawn(self, sprite: Placement) -> tuple[Tensor, Tensor]:
        """The picture with this sprite alone, and its mask."""
        drawn = self._stage.renderer.render([self._stage.scene], random.Random(0), [(sprite,)])
        return drawn.pictures[0], drawn.masks[0][0]

    def _bending(self, drawn: Tensor, mask: Tensor) -> Tensor:
        """How far each pixel of a drawn sprite lies beside its own in the picture, float (2, H, W)."""
        bent = torch.zeros(2, *mask.shape, device=mask.device)
        if not mask.any():
            return bent
        window = Window.holding(mask, BEND + 2 * PIECE)
        picture, place = window.of(self._picture), window.of(self._stage.place)
        sprite, edge = window.of(drawn), _grown(window.of(mask))
        errors = torch.stack([_error(picture, place, sprite, edge, shift) for shift in _SHIFTS])
        for _ in range(2):
            errors = F.avg_pool2d(errors[:, None], 2 * PIECE + 1, 1, PIECE, count_include_pad=False)[:, 0]
        shifts = torch.tensor(_SHIFTS, device=mask.device).float()
        errors = errors + _STIFF * shifts.norm(dim=1)[:, None, None]
        shares = (-(errors - errors.amin(dim=0)) / _SURE).softmax(dim=0)
        field = torch.einsum("khw,kc->chw", shares, shifts)
        window.of(bent).copy_(F.avg_pool2d(field[None], 2 * _SMOOTH + 1, 1, _SMOOTH, count_include_pad=False)[0])
        return bent


def worn_cover(sprite: Placement) -> Tensor:
    """bool (H, W) on the CPU: the pixels that a sprite's accessory covers.

    Raises:
        ValueError: it wears nothing.
    """
    left, top, side = worn_square(sprite)
    assert sprite.worn is not None
    numbers = (side, left, top, sprite.rotation, sprite.variant % 2)
    tile = torch.tensor([len(SUBJECTS) + ACCESSORIES.index(sprite.worn.kind)])
    tiles = TileBank(torch.device("cpu")).tiles(tile, torch.tensor([level_of(side)]))
    seen = look(tiles, Geometry(*(torch.tensor([n]) for n in numbers)), window_of(side, sprite.rotation))
    cover = torch.zeros(PICTURE_PIXELS, PICTURE_PIXELS, dtype=torch.bool)
    cover[seen.rows[0], seen.columns[0]] = seen.colours[0, ..., 3] > 127
    return cover


def _empty_place(renderer: Renderer, picture: Tensor, reading: Reading, free: Tensor) -> tuple[Scene, Tensor]:
    """The view of the place that a picture shows where it is `free`, and that place drawn with nothing in it."""
    nobody = Scene((Thing(next(iter(SUBJECTS))),), reading.background, reading.style)
    views = [replace(nobody, view=view) for view in range(BACKGROUND_VARIANTS)]
    drawn = renderer.pictures_of(views, [()] * len(views), random.Random(0))
    best = int((drawn - picture).abs().mean(dim=1).clamp(max=WRONG)[:, free].mean(dim=1).argmin())
    return views[best], drawn[best]


def _beside(reading: Reading) -> Tensor:
    """bool (H, W): what lies in no thing's box; everything, when nothing lies beside them."""
    free = torch.ones(PICTURE_PIXELS, PICTURE_PIXELS, dtype=torch.bool)
    for sighting in reading.sightings:
        Window.around(sighting.box, _ASIDE).of(free).fill_(False)
    return free if free.any() else ~free


def _continued(picture: Tensor, free: Tensor) -> Tensor:
    """float (3, H, W): the picture where it is free, and elsewhere what lies around, ever more of it further in."""
    seen, known = picture * free, free.float()[None]
    for side in (3, 7, 15, 31, 63, 127, 255):
        # along one axis and then along the other, which costs little
        down, across = ((side, 1), 1, (side // 2, 0)), ((1, side), 1, (0, side // 2))
        share, around = (F.avg_pool2d(F.avg_pool2d(x, *down), *across) for x in (known, seen))
        around = around / share.clamp(min=1e-6)
        fresh = (known == 0) & (share > 0)
        seen, known = torch.where(fresh, around, seen), torch.where(fresh, 1.0, known)
    return seen


_SHIFTS = [(down, across) for down in range(-BEND, BEND + 1) for across in range(-BEND, BEND + 1)]


def _error(picture: Tensor, place: Tensor, sprite: Tensor, edge: Tensor, shift: tuple[int, int]) -> Tensor:
    """float (h, w): difference of the picture to the place with the sprite moved."""
    moved, where = sprite.roll(shift, (-2, -1)), edge.roll(shift, (-2, -1))
    return (picture - torch.where(where, moved, place)).abs().mean(dim=0).clamp(max=WRONG)


def _grown(mask: Tensor) -> Tensor:
    """bool (h, w): the mask and its soft edge, which is a pixel wide."""
    return F.max_pool2d(mask.float()[None], 3, 1, 1)[0] > 0


def _warped(mask: Tensor, bent: Tensor) -> Tensor:
    """bool (H, W): the mask with every pixel of it moved as far as it is bent."""
    side = torch.arange(PICTURE_PIXELS, device=mask.device).float()
    down, across = side[:, None] - bent[0], side - bent[1]
    grid = (torch.stack([across, down], dim=-1) * 2 + 1) / PICTURE_PIXELS - 1
    return F.grid_sample(mask.float()[None, None], grid[None], align_corners=False)[0, 0] > 0.5
