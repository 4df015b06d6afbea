"""What an attached policy did: every attention call seen, its route and the reason.

Layout legend: B batch, H heads, L queries, K keys, D head dim.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from rich.table import Table
from torch import Tensor

Route = Literal["sparse", "dense", "passed"]
"""By the plan; dense although the policy speaks of it; none of the policy's business."""

_Key = tuple[str, tuple[int, ...], int, Route, str]


@dataclass(frozen=True)
class AttentionCall:
    """Calls of one module that were alike: q's shape (B, H, L, D), keys K, and how often they came.

    `density` is the share of pairs that was computed, mean over the calls; None unless they were sparse.
    """

    layer: str
    shape: tuple[int, ...]
    keys: int
    route: Route
    reason: str
    density: float | None
    count: int


@dataclass(frozen=True)
class CoverageReport:
    """All calls, in the order in which they first came, and what else a person should know."""

    policy: str
    calls: tuple[AttentionCall, ...]
    notes: tuple[str, ...] = ()

    def count(self, route: Route) -> int:
        """How many calls took a route."""
        return sum(call.count for call in self.calls if call.route == route)

    def json(self) -> str:
        """The report as JSON, an object with `policy`, `notes` and `calls`."""
        return json.dumps(asdict(self), indent=2)

    def table(self) -> Table:
        """The report for a terminal."""
        table = Table(
            "layer", "q (B, H, L, D)", "keys", "route", "density", "calls", "reason",
            title=f"{self.policy}: {self.count('sparse')} sparse, {self.count('dense')} dense, "
            f"{self.count('passed')} passed", caption="\n".join(self.notes) or None, box=None,
        )  # fmt: skip
        for call in self.calls:
            density = "" if call.density is None else f"{call.density:.3f}"
            shape = "x".join(map(str, call.shape))
            table.add_row(call.layer, shape, str(call.keys), call.route, density, str(call.count), call.reason)
        return table


class CallLog:
    """Collects calls while a model runs; densities stay on the device until the report is asked for."""

    def __init__(self) -> None:
        self._counts: dict[_Key, int] = {}
        self._densities: dict[_Key, Tensor] = {}
        self.total = 0

    def add(
        self, layer: str, q: Tensor, keys: int, route: Route, reason: str = "", density: Tensor | None = None
    ) -> None:
        """Note one call; q is (B, H, L, D)."""
        key = (layer, tuple(q.shape), keys, route, reason)
        self.total += 1
        self._counts[key] = self._counts.get(key, 0) + 1
        if density is not None:
            self._densities[key] = self._densities[key] + density if key in self._densities else density

    def add_unseen(self, layer: str, reason: str) -> None:
        """Note a module that ran without an attention call that could be seen."""
        key: _Key = (layer, (), 0, "passed", reason)
        self._counts[key] = self._counts.get(key, 0) + 1

    def calls(self) -> tuple[AttentionCall, ...]:
        """What was noted; this reads the densities from the device."""
        found = []
        for key, count in self._counts.items():
            total = self._densities.get(key)
            found.append(AttentionCall(*key, None if total is None else float(total) / count, count))
        return tuple(found)

    def clear(self) -> None:
        """Forget all calls."""
        self._counts.clear()
        self._densities.clear()
