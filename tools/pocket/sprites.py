"""The sprites of the pocket world: the atlas, and what can be done to a sprite before it is pasted.

Layout legend: n subjects, k sprites, W pixels on a side. Tiles are float (k, W, W, 4) with whole values from 0 to 255,
colours multiplied by alpha.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chatdit.tools.pocket.styles import luminance
from chatdit.tools.pocket.vocabulary import TINTS


@cache
def atlas_tiles() -> NDArray[np.uint8]:
    """Every subject's sprite as it ships with the package: uint8 (n, 128, 128, 4), straight alpha."""
    folder = files("chatdit.tools.pocket")
    table = json.loads(folder.joinpath("vocabulary.json").read_text(encoding="utf-8"))
    side, columns, count = table["sprite_pixels"], table["columns"], len(table["subjects"])
    with folder.joinpath("sprites.png").open("rb") as file, Image.open(file) as atlas:
        pixels = np.asarray(atlas.convert("RGBA"))
    tiles = [pixels[i // columns * side :, i % columns * side :][:side, :side] for i in range(count)]
    return np.stack(tiles)


def tinted(tiles: Tensor, tints: Tensor) -> Tensor:
    """Tiles (k, W, W, 4) dyed with tints int64 (k,): 0 for none, then `TINTS`' order."""
    # a tint keeps the sprite's light and dark: dark goes to black, light towards the tint and white
    alpha = tiles[..., 3:]
    light = luminance(tiles[..., :3].movedim(-1, 1)).movedim(1, -1)
    dye = _dyes(tiles.device)[tints][:, None, None]
    dark, pale = light.minimum(alpha * 0.6) / 0.6, (light - alpha * 0.6).clamp_(min=0) / 0.8
    dyed = (dye * (dark - pale)).add_(pale)
    chosen = torch.where(tints[:, None, None, None] > 0, dyed.round_(), tiles[..., :3])
    return torch.cat([chosen, alpha], dim=-1)


def exchanged(tiles: Tensor, variants: Tensor) -> Tensor:
    """Tiles (k, W, W, 4) with their colour channels in the order of variants int64 (k,).

    Variant 0 is the sprite itself; odd ones are mirrored besides, which is not done here.
    """
    order = _channel_orders(tiles.device)[variants // 2]
    return tiles.gather(3, order[:, None, None].expand_as(tiles))


def tint_index(tint: str | None) -> int:
    """What `tinted` calls a tint."""
    return 0 if tint is None else 1 + _TINT_NAMES.index(tint)


_TINT_NAMES = tuple(TINTS)


# kept on the device: a copy from the host would make every batch wait
@cache
def _dyes(device: torch.device) -> Tensor:
    return torch.tensor([(0.0, 0.0, 0.0), *TINTS.values()], device=device)


@cache
def _channel_orders(device: torch.device) -> Tensor:
    return torch.tensor([(*order, 3) for order in permutations(range(3))], device=device)
