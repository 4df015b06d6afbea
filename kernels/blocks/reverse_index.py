"""For each key block, the rows that name it: what gradients of keys and values walk along.

Layout legend: B batch, G plan heads, n rows, m key blocks, K entries of a row, E entries of all rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.plan.block_rows import BlockRows


class ReverseIndex(NamedTuple):
    """`rows` (E,) int32 and `starts` (B|1, G|1, m + 1) int64: who names key block j of a head.

    Those are `rows[starts[b, g, j] : starts[b, g, j + 1]]`, ascending. Entries that no row uses stand at the
    end, after the last start.
    """

    rows: Tensor
    starts: Tensor


def reverse_index(rows: BlockRows, blocks: int) -> ReverseIndex:
    """The transpose of rows over so many key blocks.

    A stable sort: the same rows give the same order on every run. Nothing is read back from the device.
    """
    key, row, (b, g) = _ragged(rows, blocks) if rows.starts is not None else _fixed(rows, blocks)
    ranked, at = key.sort(stable=True)
    edges = torch.searchsorted(ranked, torch.arange(b * g * blocks + 1, device=key.device))
    first = torch.arange(b * g, device=key.device)[:, None] * blocks
    starts = edges[first + torch.arange(blocks + 1, device=key.device)]
    return ReverseIndex(row[at].int(), starts.view(b, g, blocks + 1))


def _fixed(rows: BlockRows, blocks: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """For every entry its head and key block as one number, its row, and B, G."""
    indices, counts = rows.indices, rows.counts
    n, k = indices.shape[2:]
    b, g = (
        max(x, y) for x, y in zip(indices.shape[:2], counts.shape[:2] if counts is not None else (1, 1), strict=True)
    )
    heads = torch.arange(b * g, device=indices.device).view(b, g, 1, 1)
    key = heads * blocks + indices
    if counts is not None:
        unused = torch.arange(k, device=key.device) >= counts[..., None]
        key = key.masked_fill(unused, b * g * blocks)
    row = torch.arange(n, device=key.device)[:, None].expand(key.shape)
    return key.flatten(), row.flatten(), (b, g)


def _ragged(rows: BlockRows, blocks: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """The same; heads' entries stand one after the other, and some may belong to nobody."""
    assert rows.starts is not None
    b, g, edges = rows.starts.shape
    place = torch.arange(rows.indices.numel(), device=rows.indices.device)
    interval = torch.searchsorted(rows.starts.flatten().long(), place, right=True) - 1
    head, row = interval.div(edges, rounding_mode="floor"), interval % edges
    nobody = (interval < 0) | (row == edges - 1)
    key = (head * blocks + rows.indices).masked_fill(nobody, b * g * blocks)
    return key, row, (b, g)
