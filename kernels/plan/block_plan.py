"""The plan of a sparse attention call: who meets whom, as block indices, before any work is done.

Layout legend: B batch, H heads of the model, G plan heads (1, H, or head groups), N body tokens,
n query blocks, M coarse tokens, D head dim. Axes of size 1 are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.predicates import Predicate
from chatdit.kernels.plan.structure import check_structure
from chatdit.kernels.plan.values import check_values

HeadKind = Literal["dense", "skip"] | int
"""Attend to everything, to nothing (zeros), or as that group of the plan says."""


@dataclass(frozen=True, eq=False)
class CoarseStream:
    """Summary keys and values that join the softmax beside the tokens themselves.

    `keys`, `values` (B, H, M, D). Without values, each is the mean of v over `span` consecutive positions of
    the key side, as many as its key summarises. `log_weight` (B|1, H|1, M), or one number, is added to the
    logits: ln of the number of tokens that a summary counts for, -inf to leave it out. With `rows`, query
    block i meets the entries of row i // `share`, each naming `block` consecutive coarse tokens; without,
    all of them. Coarse token t stands for block t of the next finer stream, the first stream's for key block
    t: with `selected="exclude"` a query block that meets those in detail does not meet t as well.
    """

    keys: Tensor
    values: Tensor | None = None
    log_weight: Tensor | float = 0.0
    rows: BlockRows | None = None
    block: int = 1
    share: int = 1
    span: int | None = None
    selected: Literal["keep", "exclude"] = "keep"

    @property
    def tokens(self) -> int:
        """Coarse tokens, M."""
        return self.keys.shape[2]

    @property
    def blocks(self) -> int:
        """What an entry of `rows` may name."""
        return -(-self.tokens // self.block)


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """Blocks of both sides, and for each query block the key blocks it meets.

    `rows` names blocks met in full; `partial` names blocks in which `predicate` decides for each pair.
    `coarse` goes from fine to coarse. `heads` gives each head of the model its kind; without it, plan head h
    is head h. Tokens of the dense segments of `q` meet every key, those of `k` are met by every query.
    `key_lengths` (B,): keys from there on are padding, never read. Queries that meet no key get zeros.
    A `trusted` plan is one whose maker guarantees the values in its tensors: nothing is read back from the
    device to check them.

    Raises:
        KernelError: a shape, dtype, device, index or number does not fit; the message names it.
    """

    q: BlockAxis
    k: BlockAxis
    rows: BlockRows | None = None
    partial: BlockRows | None = None
    predicate: Predicate | None = None
    coarse: tuple[CoarseStream, ...] = ()
    heads: tuple[HeadKind, ...] | None = None
    key_lengths: Tensor | None = None
    trusted: bool = False

    def __post_init__(self) -> None:
        check_structure(self)
        if not self.trusted:
            check_values(self)

    def tensors(self) -> tuple[tuple[str, Tensor], ...]:
        """Every tensor with a batch and a plan-head axis, by its name."""
        parts = [("q", self.q), ("k", self.k), ("rows", self.rows), ("partial", self.partial)]
        parts += [(f"coarse[{i}].rows", stream.rows) for i, stream in enumerate(self.coarse)]
        return tuple((f"{part}.{name}", x) for part, holder in parts if holder for name, x in holder.tensors())

    @property
    def batch(self) -> int:
        """Batch entries that the plan tells apart."""
        return max(self.row_batch, self.key_lengths.shape[0] if self.key_lengths is not None else 1)

    @property
    def row_batch(self) -> int:
        """Batch entries that have rows of their own."""
        sizes = [x.shape[0] for _, x in self.tensors()]
        return max([*sizes, self.predicate.batch if self.predicate is not None else 1])

    @property
    def plan_heads(self) -> int:
        """Plan heads, G."""
        return max((x.shape[1] for _, x in self.tensors()), default=1)

    def kind(self, head: int) -> HeadKind:
        """What a head of the model does: its plan head, "dense" or "skip"."""
        if self.heads is not None:
            return self.heads[head]
        return head if self.plan_heads > 1 else 0


def dense_plan(
    q_tokens: int, k_tokens: int, *, heads: int, block: int = 128, key_lengths: Tensor | None = None
) -> BlockPlan:
    """The plan in which every query meets every key: what a policy returns where it does not pay."""
    kind: HeadKind = "dense"
    axes = BlockAxis(q_tokens, block), BlockAxis(k_tokens, block)
    return BlockPlan(axes[0], axes[1], heads=(kind,) * heads, key_lengths=key_lengths)
