"""Sparse-vDiT (arXiv 2506.03065): each head has one of five patterns, found once, offline, and kept in a table.

Layout legend: B batch, H heads, L tokens, N body tokens, n blocks, D head dim.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_plan import BlockPlan, HeadKind
from chatdit.kernels.plan.block_rows import rows_from_mask
from chatdit.kernels.policies.geometry import Geometry, Place, all_dense, check_fit

Mode = Literal["full", "skip", "diagonal", "multi_diagonal", "stripe"]
MODES: tuple[Mode, ...] = ("full", "skip", "diagonal", "multi_diagonal", "stripe")


@dataclass(frozen=True)
class Pattern:
    """A head's mode, and for "stripe" the key blocks that every query meets (beside its own block)."""

    mode: Mode
    columns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise KernelError(f"mode is {self.mode!r}; it must be one of {MODES}")
        if bool(self.columns) != (self.mode == "stripe"):
            raise KernelError(f"columns is {self.columns} for mode {self.mode!r}; 'stripe' has columns, others none")


@dataclass(frozen=True)
class PatternTable:
    """What the search found: one pattern for each head of each layer, and the block and window it was found for.

    `window` is how many blocks on each side of the diagonal are kept.
    """

    heads: tuple[tuple[Pattern, ...], ...]
    block: int = 128
    window: int = 2

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> PatternTable:
        """Read a table.

        Raises:
            KernelError: a field is unknown or missing, or a pattern is none.
        """
        found = json.loads(path.read_text(encoding="utf-8"))
        try:
            heads = tuple(
                tuple(Pattern(head["mode"], tuple(head["columns"])) for head in layer) for layer in found.pop("heads")
            )
            return cls(heads, **found)
        except (KeyError, TypeError, AttributeError) as wrong:
            raise KernelError(f"{path} is no pattern table: {wrong!r}; it needs heads, block and window") from wrong


@dataclass(frozen=True)
class SparseVdit:
    """The table's pattern for each head; the first 10 steps and the first 2 layers are dense, as in the paper."""

    table: PatternTable
    dense_steps: int = 10
    dense_layers: int = 2

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Static plan: heads of one pattern share a group.

        Raises:
            KernelError: the table lacks the layer, or has another number of heads.
        """
        check_fit(q, k, geometry)
        if step.index < self.dense_steps or layer.index < self.dense_layers:
            return all_dense(q, geometry)
        if not 0 <= layer.index < len(self.table.heads):
            raise KernelError(f"layer is {layer.index}; the table holds {len(self.table.heads)} layers")
        patterns = self.table.heads[layer.index]
        if len(patterns) != q.shape[1]:
            raise KernelError(f"the table has {len(patterns)} heads in layer {layer.index}; q has {q.shape[1]}")
        return pattern_plan(patterns, geometry, self.table.block, self.table.window, q.device)


def pattern_plan(
    patterns: tuple[Pattern, ...], geometry: Geometry, block: int, window: int, device: torch.device
) -> BlockPlan:
    """One plan for the patterns of all heads; equal patterns become one group."""
    groups = [p for p in dict.fromkeys(patterns) if p.mode not in ("full", "skip")]
    own: dict[Mode, HeadKind] = {"full": "dense", "skip": "skip"}
    kinds: tuple[HeadKind, ...] = tuple(own[p.mode] if p.mode in own else groups.index(p) for p in patterns)
    if not groups:
        axis = geometry.axis(block)
        return BlockPlan(axis, axis, heads=kinds, key_lengths=geometry.key_lengths)
    order = torch.stack([_order(p, geometry, device) for p in groups])[None]
    axis = geometry.axis(block, order=order)
    mask = torch.stack([block_map(p, axis.blocks, window) for p in groups])[None].to(device)
    return BlockPlan(axis, axis, rows_from_mask(mask), heads=kinds, key_lengths=geometry.key_lengths)


def block_map(pattern: Pattern, blocks: int, window: int) -> Tensor:
    """(n, n): which blocks a pattern keeps, in its own order of tokens."""
    number = torch.arange(blocks)
    if pattern.mode == "stripe":
        wrong = [c for c in pattern.columns if not 0 <= c < blocks]
        if wrong:
            raise KernelError(f"columns has {wrong[0]}; the plan has {blocks} key blocks")
        return (number[:, None] == number) | torch.isin(number, torch.tensor(pattern.columns))
    if pattern.mode in ("diagonal", "multi_diagonal"):
        return (number[:, None] - number).abs() <= window
    return torch.full((blocks, blocks), pattern.mode == "full")


def density(pattern: Pattern, blocks: int, window: int) -> float:
    """The share of blocks that a pattern computes, 1 - S in the paper's cost model."""
    return float(block_map(pattern, blocks, window).float().mean())


def _order(pattern: Pattern, geometry: Geometry, device: torch.device) -> Tensor:
    """Raster order; for "multi_diagonal" the frames of one place side by side, which makes its diagonals one."""
    raster = torch.arange(geometry.body, device=device)
    if pattern.mode != "multi_diagonal":
        return raster
    return raster.view(geometry.frames, -1).T.flatten()
