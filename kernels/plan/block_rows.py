"""Which key blocks each query block meets, as lists of indices; never as a mask.

Layout legend: B batch, G plan heads, n query blocks (or rows that several share), K entries of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import check_integers, for_head


@dataclass(frozen=True, eq=False)
class BlockRows:
    """Rows of key-block indices, in any order, none twice in one row.

    Fixed rows: `indices` (B|1, G|1, n, K) int32; with `counts` (B|1, G|1, n) only the first so many entries
    of each row are valid. Ragged rows: `indices` (E,) int32 and `starts` (B|1, G|1, n + 1) int64; row r of a
    head is `indices[starts[r] : starts[r + 1]]`, one head's after the other's; entries that no row names may
    follow or stand between. Static rows are either kind with axes of size 1.

    Raises:
        KernelError: a shape or dtype does not fit.
    """

    indices: Tensor
    counts: Tensor | None = None
    starts: Tensor | None = None

    def __post_init__(self) -> None:
        if self.indices.dtype != torch.int32:
            raise KernelError(f"indices is {self.indices.dtype}; block indices are torch.int32")
        check_integers("counts", self.counts, dims=3)
        check_integers("starts", self.starts, dims=3)
        if self.starts is None:
            self._check_fixed()
        elif self.indices.dim() != 1 or self.counts is not None:
            raise KernelError(
                f"indices has shape {tuple(self.indices.shape)}; ragged rows (with starts) are one flat list, no counts"
            )
        elif self.starts.shape[2] < 1:
            raise KernelError(f"starts has shape {tuple(self.starts.shape)}; n rows have n + 1 starts")

    def _check_fixed(self) -> None:
        if self.indices.dim() != 4:
            raise KernelError(f"indices has shape {tuple(self.indices.shape)}; fixed rows are (B|1, G|1, n, K)")
        if self.counts is None:
            return
        have, want = self.counts.shape, self.indices.shape[:3]
        if have[2] != want[2] or any(a not in (1, b) and b != 1 for a, b in zip(have, want, strict=True)):
            raise KernelError(f"counts has shape {tuple(have)}; the rows of indices are {tuple(want)}")

    @property
    def rows(self) -> int:
        """Rows of one head, n."""
        return self.indices.shape[2] if self.starts is None else self.starts.shape[2] - 1

    @property
    def width(self) -> int | None:
        """Entries of every row, K, or None for ragged rows."""
        return self.indices.shape[3] if self.starts is None else None

    def tensors(self) -> tuple[tuple[str, Tensor], ...]:
        """The tensors with batch and head axes, by name."""
        named = [("counts", self.counts), ("starts", self.starts)]
        if self.starts is None:
            named.insert(0, ("indices", self.indices))
        return tuple((name, tensor) for name, tensor in named if tensor is not None)


def head_rows(rows: BlockRows, batch: int, head: int) -> tuple[Tensor, Tensor]:
    """One head's rows as flat lists: key blocks (E,) int64, row by row, and entries per row (n,) int64."""
    if rows.starts is not None:
        starts = for_head(rows.starts, batch, head).long()
        return rows.indices[int(starts[0]) : int(starts[-1])].long(), starts.diff()
    table = for_head(rows.indices, batch, head).long()
    if rows.counts is None:
        return table.flatten(), torch.full((table.shape[0],), table.shape[1], device=table.device)
    counts = for_head(rows.counts, batch, head).long()
    valid = torch.arange(table.shape[1], device=table.device) < counts[:, None]
    return table[valid], counts


def rows_from_mask(mask: Tensor) -> BlockRows:
    """Ragged rows from a block map (B|1, G|1, n, m) of booleans: small maps and offline plans only.

    The number of entries is read back from the device.
    """
    counts = mask.sum(dim=-1).flatten()
    starts = torch.zeros(counts.numel() + 1, dtype=torch.int64, device=mask.device)
    starts[1:] = counts.cumsum(0)
    n = mask.shape[2]
    first = torch.arange(counts.numel() // n, device=mask.device)[:, None] * n
    per_head = starts[first + torch.arange(n + 1, device=mask.device)]
    return BlockRows(mask.nonzero()[:, 3].int(), starts=per_head.view(*mask.shape[:2], n + 1))
