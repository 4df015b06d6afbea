"""Orders are permutations of any grid, and what they promise to keep together stays together."""

from __future__ import annotations

import pytest
import torch

from chatdit.kernels.errors import KernelError
from chatdit.kernels.morton import inverse_order, morton_order, tile_of_token

GRIDS = [(1, 1, 1), (1, 4, 4), (1, 16, 16), (1, 7, 13), (3, 5, 6), (4, 8, 8), (1, 1, 40), (5, 1, 3)]


@pytest.mark.parametrize(("frames", "height", "width"), GRIDS)
def test_orders_are_permutations(frames: int, height: int, width: int) -> None:
    n = frames * height * width
    for order in (
        morton_order(height, width, frames=frames),
        tile_of_token(height, width, (2, 3), frames=frames, depth=2).argsort(stable=True),
    ):
        assert torch.equal(order.sort().values, torch.arange(n))
        x = torch.randn(n)
        assert torch.equal(x[order][inverse_order(order)], x)


def test_the_first_squares_of_the_curve() -> None:
    assert morton_order(4, 4).tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20), (64, 8)])
def test_sixteen_in_a_row_are_a_square_of_four(height: int, width: int) -> None:
    for some in morton_order(height, width).view(-1, 16):
        y, x = some // width, some % width
        assert int(y.max() - y.min()) == int(x.max() - x.min()) == 3


def test_in_a_video_eight_in_a_row_are_a_cube_of_two() -> None:
    for some in morton_order(6, 4, frames=4).view(-1, 8):
        f, y, x = some // 24, some // 4 % 6, some % 4
        assert [int(a.max() - a.min()) for a in (f, y, x)] == [1, 1, 1]


def test_tiles_are_whole_and_in_raster_order() -> None:
    order = tile_of_token(6, 8, (2, 4)).argsort(stable=True)
    assert order[:8].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    tiles = tile_of_token(5, 7, (2, 4), frames=3, depth=2)
    assert tiles.max() == 2 * 3 * 2 - 1
    assert torch.bincount(tiles).tolist() == [16, 12, 16, 12, 8, 6, 8, 6, 8, 6, 4, 3]


def test_grids_without_tokens_are_refused() -> None:
    with pytest.raises(KernelError, match="height is 0"):
        morton_order(0, 4)
    with pytest.raises(KernelError, match="tile is 0"):
        tile_of_token(4, 4, (0, 2))
