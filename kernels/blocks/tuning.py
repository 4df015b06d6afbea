"""Sizes that the Triton kernels of any plan run with."""

from __future__ import annotations

from dataclasses import dataclass

from chatdit.kernels.blocks.sources import Side, Source

LEAST_TILE = 16
WANTED_PROGRAMS = 512
"""Where few keys meet all queries, these are split until there are so many programs."""
MOST_SPLITS = 32


@dataclass(frozen=True)
class BlockLaunch:
    """Queries of a tile, keys of a step (in the gradient of keys the other way round), warps, loads in flight."""

    tile: int
    keys: int
    warps: int
    stages: int = 2


FORWARD = {32: BlockLaunch(64, 64, 4, 3), 64: BlockLaunch(64, 128, 4, 2), 128: BlockLaunch(128, 64, 4, 2)}
"""For each head dim, where blocks of queries are of 128; 64 and 128 from a sweep on an NVIDIA H200."""


def block_launch(side: Side, source: Source, head_dim: int) -> BlockLaunch:
    """The forward's sizes: a tile is a block of queries, of variable ones whose size is not known 64.

    Blocks under 64 take fewer warps.
    """
    sizes = FORWARD[head_dim]
    if side.offsets is not None and side.largest is None:
        return BlockLaunch(64, sizes.keys, 4, 2)
    block = side.block or side.largest
    tile = min(sizes.tile, 1 << (block - 1).bit_length()) if block else sizes.tile
    tile = max(tile, LEAST_TILE)
    if tile >= 128:
        return BlockLaunch(tile, sizes.keys, sizes.warps, sizes.stages)
    return BlockLaunch(tile, sizes.keys, 4 if tile >= 64 else 2, sizes.stages if tile >= 64 else 2)


def grad_launch(head_dim: int) -> BlockLaunch:
    """The backward's sizes."""
    return BlockLaunch(64, 64, 4) if head_dim <= 64 else BlockLaunch(64, 32, 4)
