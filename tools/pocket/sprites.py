"""The sprites of the pocket world: the atlas, and what can be done to a sprite before it is pasted.

Layout legend: n sprites, S pixels on a side. Tiles are float (n, 4, S, S), colour and alpha in [0, 1].
"""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import permutations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.pocket.vocabulary import TINTS


def load_atlas() -> Tensor:
    """Every subject's sprite as it ships with the package, 128 pixels a side."""
    folder = files("chatdit.tools.pocket")
    table = json.loads(folder.joinpath("vocabulary.json").read_text(encoding="utf-8"))
    side, columns, count = table["sprite_pixels"], table["columns"], len(table["subjects"])
    with folder.joinpath("sprites.png").open("rb") as file, Image.open(file) as atlas:
        pixels = np.asarray(atlas.convert("RGBA"))
    tiles = [pixels[i // columns * side :, i % columns * side :][:side, :side] for i in range(count)]
    return torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float().div_(255)


def resized(sprites: Tensor, side: int) -> Tensor:
    """The sprites at another size."""
    if sprites.shape[-1] == side:
        return sprites
    # premultiplied, so that transparent pixels lend no colour to the edges
    alpha = sprites[:, 3:]
    merged = torch.cat([sprites[:, :3] * alpha, alpha], dim=1)
    scaled = F.interpolate(merged, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp_(0, 1)
    return torch.cat([(scaled[:, :3] / scaled[:, 3:].clamp(min=1e-4)).clamp_(0, 1), scaled[:, 3:]], dim=1)


def tinted(tiles: Tensor, tints: Tensor) -> Tensor:
    """Colours (n, 3, S, S) of tiles (n, 4, S, S) dyed with tints int64 (n,): 0 for none, then `TINTS`' order."""
    # a tint keeps the sprite's light and dark: dark goes to black, light towards the tint and white
    light = (tiles[:, :3] * tiles.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    colour = tiles.new_tensor([(0.0, 0.0, 0.0), *TINTS.values()])[tints][:, :, None, None]
    dyed = torch.where(light < 0.6, colour * light / 0.6, colour + (1 - colour) * (light - 0.6) / 0.8)
    return torch.where(tints[:, None, None, None] > 0, dyed, tiles[:, :3])


def varied(tiles: Tensor, variants: Tensor) -> Tensor:
    """Tiles (n, 4, S, S) with their colour channels exchanged and mirrored, by variants int64 (n,).

    Variant 0 is the sprite itself; `SPRITE_VARIANTS` counts them.
    """
    order = torch.tensor(_CHANNEL_ORDERS, device=tiles.device)[variants // 2]
    mixed = tiles.gather(1, order[:, :, None, None].expand_as(tiles))
    return torch.where((variants % 2 > 0)[:, None, None, None], mixed.flip(-1), mixed)


_CHANNEL_ORDERS = [(*order, 3) for order in permutations(range(3))]
