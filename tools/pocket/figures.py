"""A person with joints and clothes, drawn from tapered limbs, with a map of the parts.

Layout legend: k figures, S texels on a side. The frame is 1024 units wide and high, y down; a figure is k rows
of whole numbers, so that the same numbers give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.tools.pocket.scene import HAIRS, SKINS, Garment, Outfit
from chatdit.tools.pocket.styles import square_root
from chatdit.tools.pocket.tile_bank import cosine
from chatdit.tools.pocket.vocabulary import BOTTOMS, GARMENT_TEXTURES, TINTS, TOPS

PARTS: tuple[str, ...] = ("skin", "hair", "top", "bottom", "shoes", "eyes", "mouth")
"""Names of the numbers 1, 2, ... of a part map; 0 is nothing."""
FRAME = 1024
_SKIN_COLOURS = ((255, 219, 172), (224, 172, 105), (141, 85, 36), (255, 204, 34))
_HAIR_COLOURS = ((44, 34, 30), (106, 56, 24), (222, 170, 60), (150, 150, 156))
_SHOES, _EYES, _MOUTH = (70, 60, 70), (40, 30, 30), (190, 70, 70)
_TEXTURE_UNITS = 56


class _Limb(NamedTuple):
    """From one joint to another, with a radius at each; `part` counts from 1 in `PARTS`, `flat` has no round ends.

    Only figures with the garment `kind` have it, if there is one.
    """

    start: str
    end: str
    radii: tuple[int, int]
    part: int
    kind: str = ""
    flat: bool = False


def random_outfit(rng: random.Random) -> Outfit:
    """Clothes, skin and hair drawn evenly."""
    top, bottom = (
        Garment(rng.choice(kinds), rng.choice(GARMENT_TEXTURES), rng.choice(list(TINTS))) for kinds in (TOPS, BOTTOMS)
    )
    return Outfit(top, bottom, rng.randrange(SKINS), rng.randrange(HAIRS))


def random_pose(rng: random.Random) -> tuple[int, ...]:
    """Angles in degrees: both upper arms and forearms, both thighs and shins, then the head's tilt."""
    arms = [angle for _ in range(2) for angle in (rng.randint(8, 150), rng.randint(-20, 90))]
    legs = [angle for _ in range(2) for angle in (rng.randint(4, 40), rng.randint(-40, 8))]
    return (*arms, *legs, rng.randint(-12, 12))


STANDING = (20, 10, 20, 10, 8, -4, 8, -4, 0)
"""The pose of someone who does nothing."""
POSE_ANGLES = len(STANDING)
FIGURE_NUMBERS = POSE_ANGLES + 8


def figure_numbers(outfit: Outfit, pose: Sequence[int]) -> tuple[int, ...]:
    """A figure as FIGURE_NUMBERS whole numbers: the pose, then kinds, textures, colours, skin and hair."""
    colours = list(TINTS)
    top = (TOPS.index(outfit.top.kind), GARMENT_TEXTURES.index(outfit.top.texture), colours.index(outfit.top.colour))
    bottom = (
        BOTTOMS.index(outfit.bottom.kind),
        GARMENT_TEXTURES.index(outfit.bottom.texture),
        colours.index(outfit.bottom.colour),
    )
    return (*pose, *top, *bottom, outfit.skin, outfit.hair)


def figure_tiles(figures: Tensor, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Packed tiles int32 (k, side, side), as a tile bank holds them, and part maps uint8 (k, side, side).

    `figures` int64 (k, FIGURE_NUMBERS) is on the CPU.
    """
    # one by one a limb's own rectangle is all that is computed; together there are fewer kernels to launch
    parts = [_painted(f, side, device) for f in torch.split(figures, 1 if device.type == "cpu" else len(figures))]
    return torch.cat([tile for tile, _ in parts]), torch.cat([part for _, part in parts])


def _painted(figures: Tensor, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    joints = [_joints(row[:POSE_ANGLES]) for row in figures.tolist()]
    looks = _Looks(figures[:, POSE_ANGLES:], device)
    colour = torch.zeros(len(figures), side, side, 3, device=device)
    alpha = torch.zeros(len(figures), side, side, device=device)
    parts = torch.zeros(len(figures), side, side, dtype=torch.uint8, device=device)
    for limb in _LIMBS:
        wearing = looks.wearing(limb)
        if not wearing.any():
            continue
        ends = torch.tensor([(*j[limb.start], *j[limb.end]) for j in joints], dtype=torch.float32)
        here = (slice(None), *_extent(ends[wearing], limb, side))
        cover, along, aside = _cover(ends.to(device, non_blocking=True), limb, side, here[1:])
        cover = cover * wearing.to(device, non_blocking=True)[:, None, None]
        paint = looks.paint(limb, along, aside)
        colour[here] = colour[here] * (1 - cover[..., None]) + paint * cover[..., None]
        alpha[here] = alpha[here] * (1 - cover) + cover
        parts[here] = torch.where(cover > 0.5, limb.part, parts[here].int()).to(torch.uint8)
    tiles = torch.cat([colour, alpha[..., None] * 255], dim=3).round_().to(torch.uint8)
    return tiles.view(torch.int32)[..., 0], parts


class _Looks:
    """Clothes, skin and hair of k figures."""

    def __init__(self, numbers: Tensor, device: torch.device) -> None:
        top, top_texture, top_dye, bottom, bottom_texture, bottom_dye, skin, hair = numbers.unbind(dim=1)
        self._kinds = {3: (top, TOPS), 4: (bottom, BOTTOMS)}
        dyes = torch.tensor(list(TINTS.values())).mul(255).round()
        plain = torch.tensor([(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), _SHOES, _EYES, _MOUTH]).float()
        colours = plain[None].repeat(len(numbers), 1, 1)
        colours[:, 1], colours[:, 2] = (
            torch.tensor(_SKIN_COLOURS)[skin].float(),
            torch.tensor(_HAIR_COLOURS)[hair].float(),
        )
        colours[:, 3], colours[:, 4] = dyes[top_dye], dyes[bottom_dye]
        self._colours = colours[:, :, None, None].to(device, non_blocking=True)
        # a quarter of the colour, the rest white
        self._pale = (colours + 3 * 255).div(4).floor()[:, :, None, None].to(device, non_blocking=True)
        self._textures = {
            part: textures[:, None, None].to(device, non_blocking=True)
            for part, textures in ((3, top_texture), (4, bottom_texture))
        }

    def wearing(self, limb: _Limb) -> Tensor:
        """Which figures have the limb, bool (k,) on the CPU."""
        if not limb.kind:
            return torch.ones(len(self._colours), dtype=torch.bool)
        chosen, names = self._kinds[4 if limb.kind in BOTTOMS else 3]
        return chosen == names.index(limb.kind)

    def paint(self, limb: _Limb, along: Tensor, aside: Tensor) -> Tensor:
        """Colours that broadcast to (k, rows, columns, 3)."""
        plain = self._colours[:, limb.part]
        if limb.part not in self._textures:
            return plain
        return torch.where(
            _pattern(self._textures[limb.part], along, aside)[..., None], self._pale[:, limb.part], plain
        )


def _joints(pose: Sequence[int]) -> dict[str, tuple[int, int]]:
    middle = FRAME // 2
    found = {"neck": (middle, 300), "waist": (middle, 560), "chest": (middle, 330)}
    found["head"] = _towards((middle, 310), 180 - pose[8], 130)
    found["crown"] = _towards(found["head"], 180 - pose[8], 42)
    for i, (name, sign) in enumerate((("left", -1), ("right", 1))):
        upper, lower = pose[2 * i : 2 * i + 2]
        thigh, shin = pose[4 + 2 * i : 6 + 2 * i]
        found[f"{name} shoulder"] = (middle + sign * 92, 345)
        found[f"{name} elbow"] = _towards(found[f"{name} shoulder"], sign * upper, 135)
        found[f"{name} hand"] = _towards(found[f"{name} elbow"], sign * (upper + lower), 125)
        found[f"{name} hip"] = (middle + sign * 48, 585)
        found[f"{name} knee"] = _towards(found[f"{name} hip"], sign * thigh, 180)
        found[f"{name} ankle"] = _towards(found[f"{name} knee"], sign * (thigh + shin), 175)
        ankle = found[f"{name} ankle"]
        found[f"{name} toe"] = (ankle[0] + sign * 34, ankle[1] + 8)
        hip, knee = found[f"{name} hip"], found[f"{name} knee"]
        found[f"{name} sleeve"] = _between(found[f"{name} shoulder"], found[f"{name} elbow"], 6)
        found[f"{name} cuff"] = _between(hip, knee, 7)
    found |= {"hem": (middle, 730), "shirt hem": (middle, 600), "collar": (middle, 306)}
    x, y = found["head"]
    for name, sign in (("left", -1), ("right", 1)):
        found[f"{name} eye"] = (x + sign * 34, y + 2)
        found[f"{name} lip"] = (x + sign * 16, y + 46)
    return found


def _limbs() -> tuple[_Limb, ...]:
    """Everything a figure can be made of, from back to front."""
    limbs = [_Limb("head", "crown", (104, 100), 2)]
    for name in ("left", "right"):
        hip, knee, ankle = f"{name} hip", f"{name} knee", f"{name} ankle"
        limbs += [
            _Limb(hip, knee, (44, 36), 1),
            _Limb(knee, ankle, (36, 30), 1),
            _Limb(ankle, f"{name} toe", (34, 30), 5),
            _Limb(hip, knee, (54, 46), 4, "trousers"),
            _Limb(knee, ankle, (46, 42), 4, "trousers", flat=True),
            _Limb(hip, f"{name} cuff", (56, 58), 4, "shorts"),
        ]
    limbs += [
        _Limb("waist", "hem", (96, 170), 4, "skirt", flat=True),
        _Limb("left hip", "right hip", (52, 52), 4),
        _Limb("collar", "head", (34, 34), 1),
        _Limb("left shoulder", "right shoulder", (40, 40), 3),
        _Limb("collar", "shirt hem", (124, 100), 3, flat=True),
    ]
    for name in ("left", "right"):
        shoulder, elbow, hand = f"{name} shoulder", f"{name} elbow", f"{name} hand"
        limbs += [
            _Limb(shoulder, elbow, (34, 30), 1),
            _Limb(elbow, hand, (30, 32), 1),
            _Limb(shoulder, f"{name} sleeve", (42, 40), 3, "shirt"),
            _Limb(shoulder, elbow, (42, 40), 3, "sweater"),
            _Limb(elbow, hand, (40, 36), 3, "sweater", flat=True),
        ]
    limbs.append(_Limb("head", "head", (94, 94), 1))
    limbs += [_Limb(f"{name} eye", f"{name} eye", (13, 13), 6) for name in ("left", "right")]
    return (*limbs, _Limb("left lip", "right lip", (9, 9), 7))


_LIMBS = _limbs()


def _extent(ends: Tensor, limb: _Limb, side: int) -> tuple[slice, slice]:
    """The rows and columns that a limb can touch in any of the figures, by its ends (k, 4) on the CPU."""
    reach = max(limb.radii) + 2 * FRAME // side
    low, high = ends.view(-1, 2).amin(dim=0).tolist(), ends.view(-1, 2).amax(dim=0).tolist()
    columns, rows = (
        slice(max(0, int(a - reach) * side // FRAME), min(side, -(-int(b + reach) * side // FRAME)))
        for a, b in zip(low, high, strict=True)
    )
    return rows, columns


def _cover(ends: Tensor, limb: _Limb, side: int, where: tuple[slice, slice]) -> tuple[Tensor, Tensor, Tensor]:
    """How much of each texel a limb covers, and the texel's place along and across it in units of the frame."""
    first, second = ends[:, :2], ends[:, 2:]
    step = second - first
    length = square_root(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1])
    # a limb without length is a disc, and its own direction does not matter
    unit = torch.where(
        length[:, None] > 0, step / length.clamp(min=1)[:, None], torch.tensor([0.0, 1.0], device=ends.device)
    )
    length = length.clamp(min=1)[:, None, None]
    ux, uy = unit[:, 0, None, None], unit[:, 1, None, None]
    y, x = (torch.arange(s.start, s.stop, device=ends.device) * (FRAME / side) + FRAME / side / 2 for s in where)
    dx, dy = x - first[:, 0, None, None], y[:, None] - first[:, 1, None, None]
    along, aside = dx * ux + dy * uy, dy * ux - dx * uy
    share = (along / length).clamp(0, 1)
    radius = share * (limb.radii[1] - limb.radii[0]) + limb.radii[0]
    if limb.flat:
        depth = torch.minimum(torch.minimum(along, length - along), radius - aside.abs())
    else:
        off = along - share * length
        depth = radius - square_root(off * off + aside * aside)
    # one texel of soft edge
    return (depth * (side / FRAME)).add(0.5).clamp(0, 1), along, aside


def _pattern(textures: Tensor, along: Tensor, aside: Tensor) -> Tensor:
    """Where the paler colour shows, bool (k, rows, columns), by textures (k, 1, 1)."""
    rows, columns = along / _TEXTURE_UNITS, aside / _TEXTURE_UNITS
    striped = rows.floor().remainder(2) == 1
    checked = (rows.floor() + columns.floor()).remainder(2) == 1
    down, right = rows - rows.floor() - 0.5, columns - columns.floor() - 0.5
    dotted = down * down + right * right < 0.09
    shown = {"striped": striped, "checked": checked, "dotted": dotted}
    pale = torch.zeros_like(striped)
    for name, where in shown.items():
        pale = pale | (where & (textures == GARMENT_TEXTURES.index(name)))
    return pale


def _towards(start: tuple[int, int], degrees: int, length: int) -> tuple[int, int]:
    """The point at `length` from `start`; 0 degrees is down, 90 to the right."""
    return start[0] + (length * cosine(degrees - 90) >> 16), start[1] + (length * cosine(degrees) >> 16)


def _between(start: tuple[int, int], end: tuple[int, int], tenths: int) -> tuple[int, int]:
    return start[0] + (end[0] - start[0]) * tenths // 10, start[1] + (end[1] - start[1]) * tenths // 10
