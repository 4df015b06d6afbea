"""Sampling: groups of rows through the transformer, step by step, from noise to pictures.

Layout legend: R rows of a group, N image tokens, E elements of a token, L text tokens; the batch B
of a forward is the R rows once for each guidance pass. Tokens are float32 whatever the model is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.codecs import ImageCodec, TextCodec
from chatdit.tools.dit.flow_policy import FlowPolicy, segment_end
from chatdit.tools.dit.grouping import check_row, grouped
from chatdit.tools.dit.packing import Grid, position_ids
from chatdit.tools.dit.planned_attention import PlanState, padding_bias
from chatdit.tools.dit.precision import with_exact_time
from chatdit.tools.dit.row_tokens import finished, preview, row_tokens
from chatdit.tools.dit.rows import Given, Row, SampledRow
from chatdit.tools.dit.schedule import noise_levels
from chatdit.tools.types import Progress, ToolError

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    from chatdit.tools.dit.sparse_route import SparseAttention
    from chatdit.tools.dit.sparse_run import SparseRun

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Painter:
    """The parts of a loaded model that sampling needs."""

    transformer: FluxTransformer2DModel
    images: ImageCodec
    text: TextCodec
    scheduler: Mapping[str, object]
    grid: Grid
    layers: int
    device: torch.device
    dtype: torch.dtype
    horizon: float | None = None
    """Of a few-step model, whose output is a `FlowPolicy`."""

    @property
    def distilled(self) -> bool:
        """Whether guidance is an input of the model instead of a second pass."""
        return bool(self.transformer.config["guidance_embeds"])


@dataclass(frozen=True)
class Settings:
    """SamplingOptions with every choice made; `shift` None stays with the scheduler."""

    steps: int
    guidance: float
    shift: float | None
    given: Given
    preview: bool
    attention: SparseAttention | None = None


def sample_rows(
    painter: Painter, rows: Sequence[Row], plan: AttentionPlan | None, settings: Settings, report: Report | None
) -> list[SampledRow]:
    """One SampledRow for each row, in order; see `DiT.sample`."""
    for row in rows:
        check_row(row, painter.grid)
    if any(row.negative for row in rows) and (painter.distilled or settings.guidance <= 1):
        remedy = "drop it" if painter.distilled else f"guidance is {settings.guidance:g}: raise it above 1, or drop it"
        raise ToolError(f"a row has a negative caption, and there is no second pass to read it: {remedy}")
    plan = plan or AttentionPlan()
    tokens = [sum(painter.grid.area(segment) for segment in row.segments) for row in rows]
    plan.check(rows=len(rows), layers=painter.layers, tokens=tokens)
    groups = grouped(plan, tokens)
    results: dict[int, SampledRow] = {}
    for number, group in enumerate(groups):
        reporter = _Reporter(report, settings.steps, number, len(groups))
        run = _Run(painter, [rows[i] for i in group], plan.for_rows(group), settings, reporter)
        results.update(zip(group, run.pictures(), strict=True))
    return [results[i] for i in range(len(rows))]


@dataclass(frozen=True)
class _Reporter:
    """Counts the steps of all groups as one."""

    report: Report | None
    steps: int
    group: int
    groups: int

    def __call__(self, stage: str, step: int, picture: object | None = None) -> None:
        if self.report is not None:
            self.report(Progress(stage, self.group * self.steps + step, self.groups * self.steps, picture))


class _Run:
    """One group of rows; everything it knows dies with it."""

    def __init__(
        self, painter: Painter, rows: Sequence[Row], plan: AttentionPlan, settings: Settings, report: _Reporter
    ) -> None:
        report("prepare", 0)
        self.painter, self.rows, self.plan, self.settings, self.report = painter, rows, plan, settings, report
        self.passes = 1 if painter.distilled or settings.guidance <= 1 else 2
        self.text, self.pooled, lengths = _encoded_text(painter, rows, self.passes)
        self.tokens = row_tokens(rows, painter.images, painter.grid, settings.given, painter.device)
        ids = [position_ids(row.segments, painter.grid).to(painter.device) for row in rows]
        self.ids, self.text_ids = ids[0], torch.zeros(self.text.shape[1], 3, device=painter.device)
        self.state = self._state(ids, lengths)

    def pictures(self) -> list[SampledRow]:
        settings, x = self.settings, self.tokens.noise
        levels = noise_levels(self.painter.scheduler, settings.steps, x.shape[1], settings.shift)
        for step, (level, following) in enumerate(pairwise(levels)):
            fed = self.tokens.fed(x, level)
            x, picture = self._advanced(fed, self._output(fed, level, step), level, following)
            self.report("sample", step + 1, self._preview(picture, step))
        x = self.tokens.restored(x)
        self.report("decode", settings.steps)
        parts = self.painter.images, self.painter.grid
        attention = self.state.sparse.summary() if self.state.sparse is not None else None
        drawn = [finished(row, tokens, *parts) for row, tokens in zip(self.rows, x, strict=True)]
        return [replace(row, attention=attention) for row in drawn]

    def _advanced(self, fed: Tensor, output: Tensor, level: float, following: float) -> tuple[Tensor, Tensor]:
        """The tokens (R, N, E) at the next level, and the picture that they are on the way to."""
        horizon = self.painter.horizon
        if horizon is None:
            return fed + (following - level) * output, fed - level * output
        now, after = (torch.full((len(fed),), t, device=fed.device) for t in (level, following))
        assert self.settings.shift is not None, "a few-step model has a shift of its own"
        policy = FlowPolicy.of(fed, output, now, segment_end(now, horizon, self.settings.shift))
        return policy.travel(fed, now, after), policy.pictures[:, -1]

    def _output(self, fed: Tensor, level: float, step: int) -> Tensor:
        """Noise minus picture as the model sees it, guided: (R, N, E) float32; of a few-step model (R, N, K E)."""
        dtype, passes, guidance = self.painter.dtype, self.passes, self.settings.guidance
        t = (self.tokens.moving * level).repeat(passes)
        self.state.step = step
        output: Tensor = self.painter.transformer(
            hidden_states=fed.to(dtype).repeat(passes, 1, 1),
            encoder_hidden_states=self.text,
            pooled_projections=with_exact_time(self.pooled, t, dtype),
            timestep=t,
            img_ids=self.ids,
            txt_ids=self.text_ids,
            guidance=torch.full_like(t, guidance) if self.painter.distilled else None,
            joint_attention_kwargs={"plan": self.plan, "state": self.state},
            return_dict=False,
        )[0]
        if passes == 1:
            return output.float()
        wanted, unwanted = output.float().chunk(2)
        return unwanted + guidance * (wanted - unwanted)

    def _state(self, ids: Sequence[Tensor], lengths: tuple[int, ...]) -> PlanState:
        state = PlanState(len(self.rows), lengths)
        text_tokens = self.text.shape[1]
        if min(lengths) < text_tokens:
            state.padding = padding_bias(lengths, text_tokens, self.ids.shape[0], self.painter.device)
        if any(not torch.equal(own, ids[0]) for own in ids):
            embed = self.painter.transformer.pos_embed
            turns = [embed(torch.cat([self.text_ids, own])) for own in ids]
            cos, sin = (torch.stack(part).repeat(self.passes, 1, 1) for part in zip(*turns, strict=True))
            state.rope = cos, sin
        if self.settings.attention is not None:
            state.sparse = self._sparse(self.settings.attention, lengths)
        return state

    def _sparse(self, attention: SparseAttention, lengths: tuple[int, ...]) -> SparseRun:
        from chatdit.tools.dit.sparse_run import Run, SparseRun, row_geometry

        geometry = row_geometry(self.rows, self.painter.grid, self.text.shape[1])
        run = Run(geometry, lengths, self.settings.steps, self.painter.layers)
        return SparseRun(attention, run, self.painter.device)

    def _preview(self, picture: Tensor, step: int) -> object | None:
        """Every other step, the first row that is being drawn, from the estimate (R, N, E) of the end."""
        drawn = [i for i, row in enumerate(self.rows) if row.trajectory == "generate"]
        if not (self.settings.preview and drawn and step % 2):
            return None
        tokens = self.tokens.restored(picture)[drawn[0]]
        return preview(self.rows[drawn[0]], tokens, self.painter.images, self.painter.grid)


def _encoded_text(painter: Painter, rows: Sequence[Row], passes: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Sequences (B, L, D), pooled vectors (B, P), and each entry's own length.

    A row's two passes get one length, so that guidance compares captions and nothing else.
    """
    wanted = painter.text.encode([row.caption for row in rows])
    unwanted = painter.text.encode([row.negative for row in rows]) if passes == 2 else wanted
    own = [max(len(a.sequence), len(b.sequence)) for a, b in zip(wanted, unwanted, strict=True)]
    entries = [*wanted, *unwanted][: passes * len(rows)]
    sequences = [F.pad(e.sequence, (0, 0, 0, max(own) - len(e.sequence))) for e in entries]
    pooled = torch.stack([e.pooled for e in entries]).to(painter.device, torch.float32)
    return torch.stack(sequences).to(painter.device, painter.dtype), pooled, tuple(own * passes)
