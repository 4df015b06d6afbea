"""A sparse policy during one sampling run: where the rows' tokens stand, and what became of each call.

Layout legend: B batch (passes x rows), S joint tokens with text first, T text tokens, H heads, D head dim;
queries, keys and values are (B, S, H, D).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.rows import AttentionSummary, Row
from chatdit.tools.dit.sparse_route import SparseAttention, Where, route_call


def row_geometry(rows: Sequence[Row], grid: Grid, text_tokens: int) -> Geometry | str:
    """Text, then the panels as frames; or why rows of one batch have no geometry that policies know."""
    shapes = {tuple(grid.tokens(segment) for segment in row.segments) for row in rows}
    if len(shapes) > 1:
        return "rows with panels of different sizes share a batch"
    (panels,) = shapes
    if len(set(panels)) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width in panels)
        return f"panels of {sizes} tokens; policies need panels of one size"
    return Geometry(*panels[0], len(panels), (Segment(0, text_tokens),))


@dataclass(frozen=True)
class Run:
    """What a policy must know of a sampling run besides q and k."""

    geometry: Geometry | str
    text_lengths: tuple[int, ...]
    steps: int
    layers: int


class SparseRun:
    """Made for one group of rows and dropped with it; policies that remember get a copy of their own."""

    def __init__(self, sparse: SparseAttention, run: Run, device: torch.device) -> None:
        self._sparse = replace(sparse, policy=copy.deepcopy(sparse.policy))
        self._run = run
        self._valid_text = _valid_text(run.text_lengths, device)
        self._calls = 0
        self._densities: list[Tensor] = []
        self._reasons: dict[str, int] = {}

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, step: int, layer: int) -> Tensor | None:
        """Output (B, S, H, D) of one layer, or None where the call has to be dense."""
        if isinstance(self._run.geometry, str):
            self.leave_dense(self._run.geometry)
            return None
        q, k, v = (x.permute(0, 2, 1, 3) for x in (q, k, v))
        where = Where(Place(step, self._run.steps), Place(layer, self._run.layers))
        routed = route_call(q, k, v, self._sparse, self._run.geometry, where, valid_text=self._valid_text)
        if routed.out is None:
            self.leave_dense(routed.reason)
            return None
        assert routed.density is not None
        self._calls += 1
        self._densities.append(routed.density)
        return routed.out.permute(0, 2, 1, 3)

    def leave_dense(self, reason: str) -> None:
        """Note a call that is computed densely, and why."""
        self._calls += 1
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def summary(self) -> AttentionSummary:
        """What became of the calls so far; reads the densities from the device."""
        sparse = len(self._densities)
        density = float(torch.stack(self._densities).mean()) if sparse else None
        return AttentionSummary(self._sparse.name, self._calls, sparse, density, tuple(self._reasons))


def _valid_text(lengths: tuple[int, ...], device: torch.device) -> Tensor | None:
    """(B, T): which text tokens are an entry's own; None if all are."""
    if min(lengths) == max(lengths):
        return None
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).to(device)
