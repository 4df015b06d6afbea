"""Edits by words through inversion: a picture is carried up to noise by what it shows, and down again by what it shall.

Solvers of the flow's equation: Euler; the midpoint, which is RF-Solver's second order (arXiv 2411.04746); and FireFlow
(arXiv 2412.07517), which takes the last midpoint's velocity for the next step's first, at one call a step.

Layout legend: R rows, N image tokens, E elements of a token. Tokens are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.edited_rows import EditTokens, edit_tokens, edited_pictures, shared_plan, source_of, source_rows
from chatdit.tools.dit.forward import Forward
from chatdit.tools.dit.painter import Painter, Reporter, Settings
from chatdit.tools.dit.row_tokens import preview
from chatdit.tools.dit.rows import Route, Row, SampledRow
from chatdit.tools.dit.schedule import noise_levels

Velocity = Callable[[Tensor, float, int], Tensor]
"""Noise minus picture, like the tokens, from tokens, noise level and number of the step."""


class Solver:
    """Carries tokens from level to level, up or down; one for each way, since FireFlow remembers."""

    def __init__(self, velocity: Velocity, route: Route) -> None:
        self._velocity, self._route = velocity, route
        self._remembered: Tensor | None = None

    def step(self, x: Tensor, level: float, following: float, step: int) -> Tensor:
        """The tokens x, at `level`, at the level that follows."""
        now = self._velocity(x, level, step) if self._remembered is None else self._remembered
        if self._route != "euler":
            middle = (level + following) / 2
            now = self._velocity(x + (middle - level) * now, middle, step)
        if self._route == "fireflow":
            self._remembered = now
        return x + (following - level) * now


class InversionRun:
    """One group of edited rows; everything it knows dies with it.

    On the way down each row stands beside its source, at the place of the way up, if it shares its keys and values.
    """

    def __init__(self, painter: Painter, rows: Sequence[Row], settings: Settings, report: Reporter) -> None:
        report("prepare", 0)
        self.painter, self.rows, self.settings, self.report = painter, rows, settings, report
        sources, plan = source_rows(rows), shared_plan(rows)
        guidance, shown = [settings.guidance] * len(rows), [source_of(row).guidance for row in rows]
        self.up = Forward(painter, sources, AttentionPlan(), settings, shown)
        company, theirs = (sources, shown) if plan.ops else ([], [])
        self.down = Forward(painter, [*rows, *company], plan, settings, [*guidance, *theirs])
        self.tokens: EditTokens = edit_tokens(rows, painter)

    def pictures(self) -> list[SampledRow]:
        settings, clean = self.settings, self.tokens.clean
        levels = noise_levels(self.painter.scheduler, settings.steps, clean.shape[1], settings.shift)
        first = settings.steps - round(source_of(self.rows[0]).start * settings.steps)
        way = self._inverted(levels[first:], first)
        x = self._generated(way, levels[first:], first)
        self.report("decode", 2 * (settings.steps - first))
        return edited_pictures(self.rows, clean, x, self.painter, self.down.attention())

    def _inverted(self, levels: Sequence[float], first: int) -> list[Tensor]:
        """The rows' pictures (R, N, E) at each of the falling levels, under their sources' captions."""
        solver, way = self._solver(self.up), [self.tokens.clean]
        for i in reversed(range(len(levels) - 1)):
            way.append(solver.step(way[-1], levels[i + 1], levels[i], first + i))
            self.report("sample", len(way) - 1)
        return way[::-1]

    def _generated(self, way: Sequence[Tensor], levels: Sequence[float], first: int) -> Tensor:
        """The rows' tokens (R, N, E) at level 0, from where the way up has ended."""
        solver, rows = self._solver(self.down), len(self.rows)
        x, shared = way[0], len(self.down.rows) > rows
        for i, (level, following) in enumerate(pairwise(levels)):
            both = torch.cat([x, way[i]]) if shared else x
            x = solver.step(both, level, following, first + i)[:rows]
            x = torch.where(self.tokens.kept, way[i + 1], x)
            self.report("sample", len(levels) + i, self._preview(x, following, i))
        return x

    def _solver(self, forward: Forward) -> Solver:
        return Solver(forward.velocity, source_of(self.rows[0]).route)

    def _preview(self, x: Tensor, level: float, step: int) -> object | None:
        """Every other step, the first row as it stands, once it is more picture than noise."""
        if not (self.settings.preview and step % 2 and level < 0.5):
            return None
        return preview(self.rows[0], x[0], self.painter.images, self.painter.grid)
