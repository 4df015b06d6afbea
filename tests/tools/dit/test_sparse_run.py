"""A sparse policy in a sampling call: right where it is sparse, dense and saying why everywhere else."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.plan.block_axis import Segment as TextSegment
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.reference import sparse_reference
from chatdit.kernels.sparse_attention import sparse_attention
from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, LogitBias, Scope, Selection
from chatdit.tools.dit.model import DiT, Row, SampledRow, SamplingOptions, Segment
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.rows import AttentionSummary
from chatdit.tools.dit.sparse_route import SparseAttention
from chatdit.tools.dit.sparse_run import Run, SparseRun, row_geometry

GRID = Grid(downscale=8, pack=4, channels=16)
ROW = Row("a cat on the beach", (Segment(256, 256),), 5)  # 8 x 8 tokens
BLOCKS = SparseAttention("vsa", Vsa(k=2, tile=(2, 2)))


def sample(dit: DiT, sparse: SparseAttention | None, *rows: Row, plan: AttentionPlan | None = None) -> list[SampledRow]:
    return dit.sample(rows or (ROW,), plan, SamplingOptions(steps=3, attention=sparse))


def told(drawn: list[SampledRow]) -> AttentionSummary:
    assert drawn[0].attention is not None
    return drawn[0].attention


def test_without_a_policy_nothing_is_told_and_nothing_changes(wide_pocket: DiT) -> None:
    (plain,) = wide_pocket.sample([ROW], None, SamplingOptions(steps=3))
    (short,) = sample(wide_pocket, SparseAttention("vsa", Vsa(k=2, tile=(2, 2)), dense_below=4096, origin="a table"))
    assert plain.attention is None
    assert torch.equal(plain.images[0], short.images[0])
    assert str(short.attention) == "vsa stayed dense: 96 tokens; vsa pays from 4,096 (a table)"


def test_every_block_kept_draws_the_dense_picture(wide_pocket: DiT) -> None:
    (plain,), (kept,) = sample(wide_pocket, None), sample(wide_pocket, SparseAttention("vsa", Vsa(k=4, tile=(2, 2))))
    torch.testing.assert_close(kept.images[0], plain.images[0], atol=1e-4, rtol=0)
    assert kept.attention == AttentionSummary("vsa", 9, 9, 1.0, ())


def test_a_sparse_picture_is_another_and_repeats(wide_pocket: DiT) -> None:
    (plain,), (sparse,), (again,) = (sample(wide_pocket, way) for way in (None, BLOCKS, BLOCKS))
    assert (sparse.images[0] - plain.images[0]).abs().max() > 1e-4
    assert torch.equal(sparse.images[0], again.images[0])
    assert sparse.attention is not None and (sparse.attention.calls, sparse.attention.sparse) == (9, 9)
    assert 0.5 < (sparse.attention.density or 0) < 1, "32 of 96 tokens are text, which is dense"


@pytest.mark.parametrize("policy", [Vsa(k=2, tile=(2, 2)), Llsa(Hierarchy(k=2))], ids=["vsa", "llsa"])
def test_a_layer_computes_what_the_reference_says(policy: Vsa | Llsa) -> None:
    geometry = Geometry(8, 8, text=(TextSegment(0, 7),))
    run = SparseRun(SparseAttention("it", policy), Run(geometry, (7, 7), 4, 3), torch.device("cpu"))
    q, k, v = torch.randn(3, 2, 71, 2, 32, dtype=torch.float64)
    out = run.attend(q, k, v, step=1, layer=2)
    sides = [x.permute(0, 2, 1, 3) for x in (q, k, v)]
    plan = policy(sides[0], sides[1], geometry, Place(1, 4), Place(2, 3))
    expected = sparse_attention(sides[0], sides[1], sides[2], plan, impl="reference")
    assert out is not None
    torch.testing.assert_close(out, expected.permute(0, 2, 1, 3))


def test_text_padding_is_hidden_as_in_dense_attention() -> None:
    """Entries with 3 and 7 text tokens: the pairs of the plan, without keys of the padding."""
    geometry, lengths = Geometry(8, 8, text=(TextSegment(0, 7),)), (3, 7)
    run = SparseRun(BLOCKS, Run(geometry, lengths, 4, 3), torch.device("cpu"))
    q, k, v = torch.randn(3, 2, 71, 2, 32)
    out = run.attend(q, k, v, step=0, layer=0)
    sides = [x.permute(0, 2, 1, 3) for x in (q, k, v)]
    plan = BLOCKS.policy(sides[0], sides[1], geometry, Place(0, 4), Place(0, 3))
    nothing, each = torch.zeros(2, 2, 71, 1), torch.eye(71).expand(2, 2, -1, -1)
    met = sparse_reference(nothing, nothing, each, plan, (), 1.0).out > 0
    places = torch.arange(71)
    own = (places >= 7) | (places < torch.tensor(lengths)[:, None])
    expected = F.scaled_dot_product_attention(*sides, attn_mask=met & own[:, None, None])  # type: ignore[misc]
    assert out is not None
    torch.testing.assert_close(out, expected.permute(0, 2, 1, 3), atol=1e-5, rtol=1e-5)


def test_panels_are_frames_and_cells_of_a_canvas_too(wide_pocket: DiT) -> None:
    panels = tuple(Segment(128, 128, panel=i) for i in range(4))
    cells = tuple(Segment(128, 128, 0, (4 * (i // 2), 4 * (i % 2))) for i in range(4))
    for segments in (panels, cells):
        row = Row("[panel1] cat [panel2] dog", segments, 1)
        geometry = row_geometry([row, row], wide_pocket._painter.grid, 9)
        assert isinstance(geometry, Geometry)
        assert (geometry.frames, geometry.height, geometry.width, geometry.text) == (4, 4, 4, ((0, 9),))
        assert told(sample(wide_pocket, SparseAttention("draft", Draft(0.5, (4, 4), 0)), row)).sparse == 9


def test_what_has_no_geometry_stays_dense_with_the_reason(wide_pocket: DiT) -> None:
    mixed = Row("a cat", (Segment(128, 128), Segment(256, 128, panel=1)), 1)
    summary = told(sample(wide_pocket, BLOCKS, mixed))
    assert summary.stayed_dense
    assert summary.reasons == ("panels of 4x4, 8x4 tokens; policies need panels of one size",)
    lying, standing = (Row("a cat", (Segment(*size),), 1) for size in ((256, 128), (128, 256)))
    assert told(sample(wide_pocket, BLOCKS, lying, standing)).reasons == (
        "rows with panels of different sizes share a batch",
    )
    four = Row("a cat", tuple(Segment(128, 128, panel=i) for i in range(4)), 1)
    (reason,) = told(sample(wide_pocket, SparseAttention("clear", Clear()), four)).reasons
    assert reason == "clear cannot plan this: frames is 4; CLEAR's disc is defined for one picture"


def test_heads_that_no_kernel_takes_stay_dense(pocket: DiT) -> None:
    (plain,), (narrow,) = sample(pocket, None), sample(pocket, BLOCKS)
    assert torch.equal(plain.images[0], narrow.images[0])
    assert str(narrow.attention) == "vsa stayed dense: head dim 16; the kernels take 32, 64, 128"


def test_steps_that_a_policy_leaves_alone_are_dense(wide_pocket: DiT) -> None:
    summary = told(sample(wide_pocket, SparseAttention("draft", Draft(0.5, (4, 4), 0.25))))
    assert (summary.calls, summary.sparse) == (9, 6)
    assert summary.reasons == ("draft leaves step 1 of 3 dense here",)


@pytest.mark.parametrize("kind", ["operation", "bias"])
def test_where_the_attention_plan_works_the_call_is_dense(kind: str, wide_pocket: DiT) -> None:
    """At layer 1 of step 1 both meet: dense there, with the plan in force; sparse in the eight other calls."""
    scope = Scope(frozenset({1}), (1, 2))
    plan = AttentionPlan((KVOp("concat", 1, 0, scope),))
    if kind == "bias":
        plan = AttentionPlan((), (LogitBias(0, Selection(), Selection(image=(), text=None), -math.inf, scope),))
    rows = (ROW, Row("a dog on the moon", ROW.segments, 6))
    planned, sparse = sample(wide_pocket, BLOCKS, *rows, plan=plan), sample(wide_pocket, BLOCKS, *rows)
    assert told(planned).reasons == ("the attention plan changes keys, values or logits there",)
    assert (told(planned).calls, told(planned).sparse) == (9, 8)
    assert not torch.equal(planned[0].images[0], sparse[0].images[0])


def test_a_policy_remembers_nothing_from_one_call_to_the_next(wide_pocket: DiT) -> None:
    policy = AdaSpa(0.5, block=16, search_steps=(0,))
    adaspa = SparseAttention("adaspa", policy)
    (first,) = sample(wide_pocket, adaspa)
    sample(wide_pocket, adaspa, Row("a fox", ROW.segments, 9))
    (again,) = sample(wide_pocket, adaspa)
    assert torch.equal(first.images[0], again.images[0]) and not policy.remembered


def test_rows_in_company_draw_what_they_draw_alone(wide_pocket: DiT) -> None:
    other = Row("[panel1] a large red fire truck on the moon", ROW.segments, 8)
    (alone,), (together, _) = sample(wide_pocket, BLOCKS), sample(wide_pocket, BLOCKS, ROW, other)
    torch.testing.assert_close(together.images[0], alone.images[0], atol=1e-4, rtol=0)


def test_summaries_in_words() -> None:
    assert str(AttentionSummary("llsa", 8, 8, 0.25, ())) == "llsa: 8 of 8 calls sparse, density 0.25"
    assert str(AttentionSummary("llsa", 8, 6, 0.25, ("a", "b"))) == (
        "llsa: 6 of 8 calls sparse, density 0.25; dense: a; b"
    )
