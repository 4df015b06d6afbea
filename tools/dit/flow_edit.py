"""Edits by words without inversion and without training: FlowEdit (arXiv 2412.08629, algorithm 1).

A picture is carried along the difference of two velocities: that towards what it shall show and that towards what it
shows. Both are asked for at the same noise, so that what the captions have in common cancels.

Layout legend: R rows, N image tokens, E elements of a token. Tokens are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from chatdit.tools.dit.edited_rows import edit_steps, edit_tokens, edited_pictures, shared_plan, source_of, source_rows
from chatdit.tools.dit.forward import Forward
from chatdit.tools.dit.painter import Painter, Reporter, Settings
from chatdit.tools.dit.row_tokens import preview
from chatdit.tools.dit.rows import Row, SampledRow
from chatdit.tools.dit.schedule import noise_levels


class FlowEditRun:
    """One group of edited rows; everything it knows dies with it.

    In the transformer each row stands twice: by its own caption, and by that of its source.
    """

    def __init__(self, painter: Painter, rows: Sequence[Row], settings: Settings, report: Reporter) -> None:
        report("prepare", 0)
        self.painter, self.rows, self.settings, self.report = painter, rows, settings, report
        guidance = [settings.guidance] * len(rows) + [source_of(row).guidance for row in rows]
        self.forward = Forward(painter, [*rows, *source_rows(rows)], shared_plan(rows), settings, guidance)
        self.tokens = edit_tokens(rows, painter)
        self.noise = [torch.Generator().manual_seed(row.seed) for row in rows]

    def pictures(self) -> list[SampledRow]:
        settings, clean = self.settings, self.tokens.clean
        levels = noise_levels(self.painter.scheduler, settings.steps, clean.shape[1], settings.shift)
        first = settings.steps - edit_steps(self.rows[0], settings.steps)
        draws, z = source_of(self.rows[0]).draws, clean
        for step, (level, following) in enumerate(pairwise(levels[first:]), first):
            change = sum((self._change(z, level, following, step) for _ in range(draws)), torch.zeros_like(z))
            z = torch.where(self.tokens.kept, clean, z + change / draws)
            self.report("sample", step + 1 - first, self._preview(z, step - first))
        self.report("decode", settings.steps - first)
        return edited_pictures(self.rows, clean, z, self.painter, self.forward.attention())

    def _change(self, z: Tensor, level: float, following: float, step: int) -> Tensor:
        """By what (R, N, E) the picture z differs after a step, as one draw of noise has it."""
        clean = self.tokens.clean
        source = (1 - level) * clean + level * self._drawn(clean)
        # in this order z = clean gives the source exactly, and equal captions change nothing
        fed = torch.cat([source + (z - clean), source])
        output = self.forward.output(fed, torch.full((len(fed),), level, device=fed.device), step)
        towards, away = (self.forward.advanced(fed, output, level, following)[0] - fed).chunk(2)
        return towards - away

    def _drawn(self, like: Tensor) -> Tensor:
        """Fresh noise, drawn on the CPU so that devices agree."""
        return torch.stack([torch.randn(like.shape[1:], generator=g) for g in self.noise]).to(like.device)

    def _preview(self, z: Tensor, step: int) -> object | None:
        """Every other step, the first row as it stands."""
        if not (self.settings.preview and step % 2):
            return None
        return preview(self.rows[0], z[0], self.painter.images, self.painter.grid)
