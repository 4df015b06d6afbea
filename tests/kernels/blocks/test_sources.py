"""Keys laid out in the order of their blocks: which token stands where, and what is left as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.kernels.blocks.sources import Source, laid_out, sources_of
from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.policies.geometry import Geometry, tiled_axis

TEXT = (Segment(0, 3),)


def _first(axis: BlockAxis, keys: Tensor, rows: int, lengths: Tensor | None = None) -> Source:
    every = BlockRows(torch.arange(axis.blocks, dtype=torch.int32).expand(1, 1, rows, axis.blocks).contiguous())
    plan = BlockPlan(axis, axis, every, key_lengths=lengths)
    return next(sources_of(keys, keys + 1000, plan, ()))


def _numbered(heads: int, tokens: int) -> Tensor:
    """Keys (1, H, L, 1) that say 100 times their head and their place in the sequence."""
    return (100.0 * torch.arange(heads)[:, None] + torch.arange(tokens))[None, ..., None]


def test_tiles_at_the_border_are_filled_up_to_equal_blocks() -> None:
    axis = tiled_axis(Geometry(4, 6, text=TEXT), (4, 4), torch.device("cpu"))
    found = laid_out(_first(axis, _numbered(2, 27), 2), [0, 0])
    assert (found.side.block, found.side.blocks, found.side.tokens.place) == (16, 2, None)
    assert found.side.sizes is not None and found.side.sizes.tolist() == [[[16, 8]]]
    whole = [3 + 6 * row + column for row in range(4) for column in range(4)]
    border = [3 + 6 * row + column for row in range(4) for column in (4, 5)]
    assert found.keys[0, 0, :, 0].tolist() == [*whole, *border, *[border[-1]] * 8]
    assert torch.equal(found.values, found.keys + 1000)
    assert torch.equal(found.keys[0, 1], found.keys[0, 0] + 100)


def test_every_head_has_the_order_of_its_plan_head() -> None:
    order = torch.stack([torch.arange(32), torch.arange(32).flip(0)])[None]
    found = laid_out(_first(BlockAxis(32, 16, order=order), _numbered(3, 32), 2), [1, 0, 1])
    assert (found.side.block, found.side.offsets, found.side.sizes) == (16, None, None)
    rows = [list(range(31, -1, -1)), list(range(100, 132)), list(range(231, 199, -1))]
    assert found.keys[0, ..., 0].tolist() == rows


def test_what_is_in_order_or_needs_its_own_numbers_stays() -> None:
    keys = _numbered(1, 32)
    plain = _first(BlockAxis(32, 16), keys, 2)
    assert laid_out(plain, [0]) is plain
    turned = BlockAxis(32, 16, order=torch.arange(32).flip(0)[None, None])
    padded = _first(turned, keys, 2, torch.tensor([20]))
    assert laid_out(padded, [0]) is padded
    unbounded = laid_out(_first(BlockAxis(32, offsets=torch.tensor([[[0, 20, 32]]])), keys, 2), [0])
    assert unbounded.side.offsets is not None and unbounded.keys is keys
