"""Sampling: groups of rows through the transformer, step by step, from noise to pictures.

Layout legend: R rows of a group, N image tokens, E elements of a token. Tokens are float32 whatever the model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.edited_rows import check_edited, check_unplanned, edit_steps, lanes_of, way_of
from chatdit.tools.dit.flow_edit import FlowEditRun
from chatdit.tools.dit.forward import Forward
from chatdit.tools.dit.grouping import check_row, grouped
from chatdit.tools.dit.inversion import InversionRun
from chatdit.tools.dit.painter import Painter, Report, Reporter, Settings
from chatdit.tools.dit.row_tokens import finished, preview, row_tokens
from chatdit.tools.dit.rows import EditSource, Row, SampledRow
from chatdit.tools.dit.schedule import noise_levels, reshifted, shift_of
from chatdit.tools.types import ToolError

__all__ = ["Painter", "Report", "Settings", "sample_rows"]


class _Course(Protocol):
    """How a group of rows comes to its pictures."""

    def pictures(self) -> list[SampledRow]: ...


def sample_rows(
    painter: Painter, rows: Sequence[Row], plan: AttentionPlan | None, settings: Settings, report: Report | None
) -> list[SampledRow]:
    """One SampledRow for each row, in order; see `DiT.sample`."""
    for row in rows:
        check_row(row, painter.grid)
        check_edited(row, painter.layers)
    if any(row.negative for row in rows) and (painter.distilled or settings.guidance <= 1):
        remedy = "drop it" if painter.distilled else f"guidance is {settings.guidance:g}: raise it above 1, or drop it"
        raise ToolError(f"a row has a negative caption, and there is no second pass to read it: {remedy}")
    plan = plan or AttentionPlan()
    tokens = [sum(painter.grid.area(segment) for segment in row.segments) for row in rows]
    plan.check(rows=len(rows), layers=painter.layers, tokens=tokens)
    check_unplanned(plan, rows)
    groups = _groups(rows, plan, tokens)
    steps = [edit_steps(rows[group[0]], settings.steps) for group in groups]
    results: dict[int, SampledRow] = {}
    for number, group in enumerate(groups):
        reporter = Reporter(report, sum(steps[:number]), sum(steps))
        course = _course(painter, [rows[i] for i in group], plan.for_rows(group), settings, reporter)
        results.update(zip(group, course.pictures(), strict=True))
    return [results[i] for i in range(len(rows))]


def _groups(rows: Sequence[Row], plan: AttentionPlan, tokens: Sequence[int]) -> list[list[int]]:
    """Rows by forward: those that go the same way, as `grouped` has them."""
    ways: dict[EditSource | None, list[int]] = {}
    for i, row in enumerate(rows):
        ways.setdefault(way_of(row), []).append(i)
    return [
        [mine[i] for i in group]
        for mine in ways.values()
        for group in grouped(plan.for_rows(mine), [tokens[i] * lanes_of(rows[i]) for i in mine])
    ]


def _course(
    painter: Painter, rows: Sequence[Row], plan: AttentionPlan, settings: Settings, report: Reporter
) -> _Course:
    source = rows[0].source
    if source is None:
        return _Run(painter, rows, plan, settings, report)
    return (FlowEditRun if source.route == "flow_edit" else InversionRun)(painter, rows, settings, report)


class _Run:
    """One group of rows; everything it knows dies with it."""

    def __init__(
        self, painter: Painter, rows: Sequence[Row], plan: AttentionPlan, settings: Settings, report: Reporter
    ) -> None:
        report("prepare", 0)
        self.painter, self.rows, self.settings, self.report = painter, rows, settings, report
        self.forward = Forward(painter, rows, plan, settings, [settings.guidance] * len(rows))
        self.tokens = row_tokens(rows, painter.images, painter.grid, settings.given, painter.device)

    def pictures(self) -> list[SampledRow]:
        settings, x = self.settings, self.tokens.noise
        levels = noise_levels(self.painter.scheduler, settings.steps, x.shape[1], settings.shift)
        for step, (level, following) in enumerate(pairwise(levels)):
            fed = self.tokens.fed(x, self._known_level(level))
            output = self.forward.output(fed, self.tokens.moving * level, step)
            x, picture = self.forward.advanced(fed, output, level, following)
            self.report("sample", step + 1, self._preview(picture, step))
        x = self.tokens.restored(x)
        self.report("decode", settings.steps)
        parts = self.painter.images, self.painter.grid
        drawn = [finished(row, tokens, *parts) for row, tokens in zip(self.rows, x, strict=True)]
        return [replace(row, attention=self.forward.attention()) for row in drawn]

    def _known_level(self, level: float) -> float | Tensor:
        """The noise level of what is known: that of the step, or (R, 1, 1) where rows have schedules of their own."""
        powers = [row.noise_shift for row in self.rows]
        if all(power == 1.0 for power in powers):
            return level
        painter, tokens = self.painter, self.tokens.noise.shape[1]
        shift = shift_of(painter.scheduler, tokens, self.settings.shift)
        own = [reshifted(level, shift, power) for power in powers]
        return torch.tensor(own, device=painter.device)[:, None, None]

    def _preview(self, picture: Tensor, step: int) -> object | None:
        """Every other step, the first row that is being drawn, from the estimate (R, N, E) of the end."""
        drawn = [i for i, row in enumerate(self.rows) if row.trajectory == "generate"]
        if not (self.settings.preview and drawn and step % 2):
            return None
        tokens = self.tokens.restored(picture)[drawn[0]]
        return preview(self.rows[drawn[0]], tokens, self.painter.images, self.painter.grid)
