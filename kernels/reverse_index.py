"""For each key block, the rows that name it: what gradients of keys and values walk along.

Layout legend: B batch, G plan heads, n rows, m key blocks, K entries of a row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.block_rows import BlockRows
from chatdit.kernels.errors import KernelError


class ReverseIndex(NamedTuple):
    """`rows` (E,) int32 and `starts` (B·G, m + 1) int64: who names key block j of head i = b·G + g.

    Those are `rows[starts[i, j] : starts[i, j + 1]]`, ascending. Entries that a row does not use stand at the
    end, after the last start.
    """

    rows: Tensor
    starts: Tensor


def reverse_index(rows: BlockRows, blocks: int) -> ReverseIndex:
    """The transpose of fixed rows, (B, G, n, K) with or without counts, over so many key blocks.

    A stable sort: the same rows give the same order on every run. Nothing is read back from the device.

    Raises:
        KernelError: the rows are ragged.
    """
    if rows.starts is not None:
        raise KernelError("rows.starts is given; only fixed rows (B, G, n, K) are turned round without a read-back")
    b, g, n, k = rows.indices.shape
    heads = torch.arange(b * g, device=rows.indices.device).view(b, g, 1, 1)
    key = heads * blocks + rows.indices
    if rows.counts is not None:
        unused = torch.arange(k, device=key.device) >= rows.counts[..., None]
        key = key.masked_fill(unused, b * g * blocks)
    ranked, at = key.flatten().sort(stable=True)
    of_block = torch.arange(b * g * blocks + 1, device=key.device)
    edges = torch.searchsorted(ranked, of_block)
    first = torch.arange(b * g, device=key.device)[:, None] * blocks
    return ReverseIndex((at // k % n).int(), edges[first + torch.arange(blocks + 1, device=key.device)])
