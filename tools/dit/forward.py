"""A group of rows in the transformer: what it is told of them, and what it says of their tokens.

Layout legend: R rows of a group, N image tokens, E elements of a token, L text tokens; the batch B
of a forward is the R rows once for each guidance pass. Tokens are float32 whatever the model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.attention_plan import AttentionPlan, LogitBias
from chatdit.tools.dit.codecs import EncodedText
from chatdit.tools.dit.flow_policy import FlowPolicy, segment_end
from chatdit.tools.dit.layout import told_rows
from chatdit.tools.dit.packing import position_ids
from chatdit.tools.dit.painter import Painter, Settings
from chatdit.tools.dit.planned_attention import PlanState, padding_bias
from chatdit.tools.dit.precision import with_exact_time
from chatdit.tools.dit.regions import encoded_phrases, region_biases
from chatdit.tools.dit.rows import AttentionSummary, Row

if TYPE_CHECKING:
    from chatdit.tools.dit.sparse_route import SparseAttention
    from chatdit.tools.dit.sparse_run import SparseRun


class Forward:
    """Rows of one token count; everything it knows dies with it."""

    def __init__(
        self,
        painter: Painter,
        rows: Sequence[Row],
        plan: AttentionPlan,
        settings: Settings,
        guidance: Sequence[float],
    ) -> None:
        """`guidance` is each row's own."""
        self.painter, self.rows, self.settings = painter, rows, settings
        self.passes = 1 if painter.distilled or max(guidance) <= 1 else 2
        self.guidance = torch.tensor(guidance, dtype=torch.float32, device=painter.device)
        self.text, self.pooled, lengths, biases = _encoded_text(painter, rows, self.passes)
        self.plan = AttentionPlan(plan.ops, (*plan.biases, *biases)) if biases else plan
        ids = [position_ids(row.segments, painter.grid).to(painter.device) for row in rows]
        self.ids, self.text_ids = ids[0], torch.zeros(self.text.shape[1], 3, device=painter.device)
        self.state = self._state(ids, lengths)
        self.layout = told_rows(painter, rows, self.text, self.passes) if painter.layout else None

    def output(self, fed: Tensor, t: Tensor, step: int) -> Tensor:
        """Noise minus picture as the model sees it in `fed` (R, N, E) at times t (R,), guided.

        (R, N, E) float32; of a few-step model (R, N, K E).
        """
        dtype, passes = self.painter.dtype, self.passes
        t = t.repeat(passes)
        self.state.step = step
        tokens = fed.to(dtype).repeat(passes, 1, 1)
        output: Tensor = self.painter.transformer(
            hidden_states=tokens if self.layout is None else torch.cat([tokens, self.layout], dim=2),
            encoder_hidden_states=self.text,
            pooled_projections=with_exact_time(self.pooled, t, dtype),
            timestep=t,
            img_ids=self.ids,
            txt_ids=self.text_ids,
            guidance=self.guidance if self.painter.distilled else None,
            joint_attention_kwargs={"plan": self.plan, "state": self.state},
            return_dict=False,
        )[0]
        if passes == 1:
            return output.float()
        wanted, unwanted = output.float().chunk(2)
        return unwanted + self.guidance.clamp(min=1)[:, None, None] * (wanted - unwanted)

    def advanced(self, fed: Tensor, output: Tensor, level: float, following: float) -> tuple[Tensor, Tensor]:
        """The tokens (R, N, E) at the next level, and the picture that they are on the way to."""
        horizon = self.painter.horizon
        if horizon is None:
            return fed + (following - level) * output, fed - level * output
        now, after = (torch.full((len(fed),), t, device=fed.device) for t in (level, following))
        assert self.settings.shift is not None, "a few-step model has a shift of its own"
        policy = FlowPolicy.of(fed, output, now, segment_end(now, horizon, self.settings.shift))
        return policy.travel(fed, now, after), policy.pictures[:, -1]

    def velocity(self, x: Tensor, level: float, step: int) -> Tensor:
        """Noise minus picture (R, N, E) at x (R, N, E), all at one noise level."""
        # a few-step model tells velocities of later times too; the first is that of now
        return self.output(x, torch.full((len(x),), level, device=x.device), step)[..., : x.shape[2]]

    def attention(self) -> AttentionSummary | None:
        """What became of the sparse policy so far, if there is one."""
        return self.state.sparse.summary() if self.state.sparse is not None else None

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


def _encoded_text(
    painter: Painter, rows: Sequence[Row], passes: int
) -> tuple[Tensor, Tensor, tuple[int, ...], tuple[LogitBias, ...]]:
    """Sequences (B, L, D), pooled vectors (B, P), each entry's own length, and what regions keep apart.

    A row's two passes get one length, so that guidance compares captions and nothing else.
    """
    panels = [len(row.segments) for row in rows]
    captions = painter.text.encode([row.caption for row in rows], panels)
    phrases = [encoded_phrases(painter.text, row) for row in rows]
    unwanted = painter.text.encode([row.negative for row in rows], panels) if passes == 2 else captions
    biases: list[LogitBias] = []
    wanted: list[EncodedText] = []
    for number, (row, caption, mine, other) in enumerate(zip(rows, captions, phrases, unwanted, strict=True)):
        # phrases begin behind the longer of both captions, where the other pass has nothing
        start = max(len(caption.sequence), len(other.sequence)) if mine else len(caption.sequence)
        first = F.pad(caption.sequence, (0, 0, 0, start - len(caption.sequence)))
        wanted.append(EncodedText(torch.cat([first, *(p.sequence for p in mine)]), caption.pooled))
        biases += region_biases(number, row, [start, *(len(p.sequence) for p in mine)], painter.grid)
    own = [max(len(a.sequence), len(b.sequence)) for a, b in zip(wanted, unwanted, strict=True)]
    entries = [*wanted, *unwanted][: passes * len(rows)]
    sequences = [F.pad(e.sequence, (0, 0, 0, max(own) - len(e.sequence))) for e in entries]
    pooled = torch.stack([e.pooled for e in entries]).to(painter.device, torch.float32)
    return torch.stack(sequences).to(painter.device, painter.dtype), pooled, tuple(own * passes), tuple(biases)
