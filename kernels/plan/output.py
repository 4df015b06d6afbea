"""What a sparse attention call gives back."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AttentionOutput(NamedTuple):
    """Output and what was asked for beside it.

    Layout legend: B batch, H heads, L queries, D head dim, n query blocks, m key blocks.

    `out` (B, H, L, D) in the dtype of q. `lse` (B, H, L): natural logarithm of the softmax's denominator,
    fp32 (fp64 for fp64), -inf for a query that meets no key. `block_mass` (B, H, n, m) in the same dtype: the
    share of a query block's attention that falls on a key block of the body, mean over the block's queries;
    it carries no gradient, and heads that are dense or skipped have zeros.
    """

    out: Tensor
    lse: Tensor | None
    block_mass: Tensor | None
