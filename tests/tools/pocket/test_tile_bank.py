"""Sampling of sprites: what comes out is the sprite, at every size, turned and mirrored, to the byte."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from chatdit.tools.pocket.sprites import atlas_tiles
from chatdit.tools.pocket.tile_bank import (
    SHARPNESS,
    Geometry,
    TileBank,
    Tiles,
    level_of,
    look,
    nearest,
    reach,
    window_of,
)
from chatdit.tools.pocket.vocabulary import SUBJECTS


@pytest.fixture(scope="module")
def bank() -> TileBank:
    return TileBank(torch.device("cpu"))


def test_at_its_own_size_a_sprite_is_what_the_atlas_holds(bank: TileBank) -> None:
    fox = torch.from_numpy(atlas_tiles()[SUBJECTS["fox"].index]).float()
    truth = torch.cat([fox[..., :3] * fox[..., 3:] / 255, fox[..., 3:]], dim=2)
    seen = _look(bank, "fox", side=128, window=128)
    assert (seen - truth).abs().mean() < 2


@pytest.mark.parametrize("side", [56, 100, 150, 208])
def test_quarter_turns_and_mirrors_are_exact(bank: TileBank, side: int) -> None:
    upright = _look(bank, "fox", side, window=256)
    for turns in (1, 2, 3):
        turned = _look(bank, "fox", side, window=256, rotation=90 * turns)
        # counterclockwise, as rot90 is where rows run down
        assert (turned - torch.rot90(upright, turns)).abs().max() <= 2
    assert (_look(bank, "fox", side, window=256, mirrored=1) - upright.flip(1)).abs().max() <= 2


def test_no_size_loses_light_or_shape(bank: TileBank) -> None:
    """What a sprite covers grows with the square of its side, in every sharpness."""
    covers = [_look(bank, "owl", side, 256).mean(dim=(0, 1)) * 256**2 / side**2 for side in (56, 64, 65, 90, 128, 208)]
    assert all(torch.allclose(cover, covers[-1], rtol=0.02) for cover in covers)


def test_a_window_stays_in_the_picture_and_holds_the_sprite(bank: TileBank) -> None:
    number = torch.tensor([SUBJECTS["pizza"].index])
    for left, top in ((0, 0), (256 - 96, 0), (256 - 96, 256 - 96)):
        geometry = Geometry(*(torch.tensor([v]) for v in (96, left, top, 0, 0)))
        seen = look(bank.tiles(number, torch.tensor([level_of(96)])), geometry, window_of(96, 0))
        assert seen.rows.min() >= 0 and seen.rows.max() < 256 and seen.columns.max() < 256
        assert seen.rows.min() <= top and seen.rows.max() >= top + 95
    assert window_of(208, 18) == 256 and reach(100, 45) == 142 and reach(100, 0) == 100


def test_levels_follow_the_size() -> None:
    assert [level_of(side) for side in (8, 64, 65, 104, 105, 208)] == [0, 0, 1, 2, 3, 3]
    assert tuple(sorted(SHARPNESS)) == SHARPNESS


def test_maps_are_read_without_mixing() -> None:
    parts = torch.zeros(64, 64, dtype=torch.uint8)
    parts[16:48, 16:48] = 5
    geometry = Geometry(*(torch.tensor([v]) for v in (100, 78, 78, 30, 0)))
    # behind another map, which is not to be seen
    texels = torch.cat([torch.ones(100, dtype=torch.uint8), parts.flatten()])
    seen = nearest(Tiles(texels, torch.tensor([100]), torch.tensor([64])), geometry, 160)
    assert set(seen.flatten().tolist()) == {0, 5}
    assert int((seen == 5).sum()) == pytest.approx(50 * 50, rel=0.05)


def _look(bank: TileBank, name: str, side: int, window: int, rotation: int = 0, mirrored: int = 0) -> Tensor:
    start = (256 - side) // 2 if window == 256 else 0
    geometry = Geometry(*(torch.tensor([v]) for v in (side, start, start, rotation, mirrored)))
    tiles = bank.tiles(torch.tensor([SUBJECTS[name].index]), torch.tensor([level_of(side)]))
    return look(tiles, geometry, window).colours[0].float()
