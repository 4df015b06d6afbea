"""Everything that must be refused, with the argument, the value and what was expected in the message."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.predicates import Disc, Documents, Window
from chatdit.kernels.sparse_attention import sparse_attention

AXIS = BlockAxis(64, 16)


def ints(*values: Any, dtype: torch.dtype = torch.int32) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def rows(*lists: list[int]) -> BlockRows:
    return BlockRows(ints(*lists)[None, None])


GOOD = rows([0], [1], [2], [3])


def plan(**changes: Any) -> BlockPlan:
    return BlockPlan(**{"q": AXIS, "k": AXIS, "rows": GOOD, **changes})


def stream(m: int = 4, **changes: Any) -> CoarseStream:
    x = torch.zeros(1, 1, m, 32)
    return CoarseStream(**{"keys": x, "values": x, **changes})


BAD_PARTS: dict[str, tuple[Callable[[], object], str]] = {
    "no tokens": (lambda: BlockAxis(0, 16), "length is 0; a sequence has at least one token"),
    "block size": (lambda: BlockAxis(64, 8), "block is 8; it must be a multiple of 16 up to 128"),
    "odd block": (lambda: BlockAxis(64, 40), "block is 40"),
    "large block": (lambda: BlockAxis(64, 144), "block is 144"),
    "no block": (lambda: BlockAxis(64), "block is None and offsets is None; give exactly one"),
    "segments": (lambda: BlockAxis(64, 16, dense=(Segment(8, 4),)), r"dense is \[(8, 4)\]; segments must ascend"),
    "segment end": (lambda: BlockAxis(64, 16, dense=(Segment(60, 65),)), "0..64"),
    "order length": (
        lambda: BlockAxis(64, 16, order=ints(*range(10))[None, None]),
        "order places 10 tokens, but the body has 64",
    ),
    "order type": (lambda: BlockAxis(64, 16, order=torch.zeros(1, 1, 64)), "order is torch.float32; it must be"),
    "largest without offsets": (lambda: BlockAxis(64, 16, largest=16), "largest is 16; it is the size"),
    "largest of nothing": (
        lambda: BlockAxis(64, offsets=ints(0, 64)[None, None], largest=0),
        "largest is 0; it is the",
    ),
    "offsets shape": (lambda: BlockAxis(64, offsets=ints(0, 64)), "offsets has shape (2,); it must have 3 axes"),
    "index type": (lambda: BlockRows(torch.zeros(1, 1, 4, 1, dtype=torch.int64)), "indices is torch.int64"),
    "index shape": (lambda: BlockRows(ints(0, 1)), "indices has shape (2,); fixed rows are (B|1, G|1, n, K)"),
    "counts shape": (
        lambda: BlockRows(GOOD.indices, counts=ints(1, 1)[None, None]),
        "counts has shape (1, 1, 2); the rows of indices are (1, 1, 4)",
    ),
    "ragged shape": (lambda: BlockRows(GOOD.indices, starts=ints(0, 1)[None, None]), "ragged rows (with starts)"),
    "radius": (lambda: Disc(8, 8, 0.0), "radius is 0.0; it must be positive"),
    "reach": (lambda: Window(2, 4, 8, (0, -1, 0)), "reach is (0, -1, 0)"),
    "grid": (lambda: Disc(0, 8, 1.0), "height is 0"),
    "documents": (lambda: Documents(torch.zeros(64), torch.zeros(1, 64)), "documents.q has shape (64,)"),
}

BAD_PLANS: dict[str, tuple[Callable[[], object], str]] = {
    "out of range": (lambda: plan(rows=rows([0], [1], [2], [4])), "rows.indices holds 4; it must be from 0 to 3"),
    "negative": (lambda: plan(rows=rows([0], [-1], [2], [3])), "rows.indices holds -1"),
    "twice": (lambda: plan(rows=rows([0, 1], [1, 1], [2, 3], [3, 0])), "rows names key block 1 twice in row 1"),
    "in both": (
        lambda: plan(partial=GOOD, predicate=Disc(8, 8, 2.0)),
        "rows and partial names key block 0 twice in row 0",
    ),
    "k too large": (
        lambda: plan(rows=BlockRows(torch.zeros(1, 1, 4, 5, dtype=torch.int32))),
        "rows names 5 key blocks in each row; there are only 4",
    ),
    "row count": (lambda: plan(rows=rows([0], [1])), "rows has 2 rows; the plan has 4 blocks of queries"),
    "empty row": (
        lambda: plan(rows=BlockRows(GOOD.indices, counts=ints(1, 0, 1, 1)[None, None])),
        "row 1 of head 0 is empty",
    ),
    "counts": (lambda: plan(rows=BlockRows(GOOD.indices, counts=ints(1, 2, 1, 1)[None, None])), "rows.counts holds 2"),
    "starts fall": (
        lambda: plan(rows=BlockRows(ints(0, 1, 2, 3), starts=ints(0, 2, 1, 3, 4)[None, None])),
        "rows.starts falls somewhere",
    ),
    "starts end": (
        lambda: plan(rows=BlockRows(ints(0, 1, 2, 3), starts=ints(0, 1, 2, 3, 9)[None, None])),
        "rows.starts holds 9; it must be from 0 to 4",
    ),
    "order twice": (
        lambda: plan(k=BlockAxis(64, 16, order=torch.zeros(1, 1, 64, dtype=torch.int64))),
        "k.order is not a permutation: it must hold each of 0 to 63 once",
    ),
    "larger than the largest": (
        lambda: plan(q=BlockAxis(64, offsets=ints(0, 16, 48, 56, 64)[None, None], largest=31)),
        "q.largest is 31, but a block has 32 tokens",
    ),
    "offsets fall": (
        lambda: plan(q=BlockAxis(64, offsets=ints(0, 20, 10, 40, 64)[None, None])),
        "q.offsets must rise from 0 to 64",
    ),
    "key lengths": (lambda: plan(key_lengths=ints(65)), "key_lengths holds 65; it must be from 0 to 64"),
    "no rows": (lambda: plan(rows=None), "rows and partial are None"),
    "unknown kind": (lambda: plan(heads=("sparse",)), "heads has 'sparse'; a head is 'dense', 'skip' or a plan head"),
    "unknown group": (lambda: plan(heads=(0, 1)), "heads has 1"),
    "no heads": (lambda: plan(heads=()), "heads is empty"),
    "no predicate": (lambda: plan(partial=GOOD), "partial is given and predicate is None"),
    "other grid": (
        lambda: plan(rows=None, partial=GOOD, predicate=Disc(4, 8, 2.0)),
        "predicate knows (32, 32) tokens; the bodies of q and k have (64, 64)",
    ),
    "head axes": (
        lambda: plan(
            q=BlockAxis(64, 16, order=torch.arange(64).expand(1, 2, 64)),
            rows=BlockRows(GOOD.indices.expand(1, 3, 4, 1)),
        ),
        "q.order has 2 head entries, another part of the plan 3; use 1 or 3",
    ),
    "stream tokens": (lambda: plan(coarse=(stream(3, selected="exclude"),)), "coarse[0] has 3 tokens"),
    "stream choice": (lambda: plan(coarse=(stream(selected="drop"),)), "coarse[0].selected is 'drop'"),
    "stream values": (lambda: plan(coarse=(stream(values=torch.zeros(1, 1, 3, 32)),)), "coarse[0].values is (1, 1, 3"),
    "stream span": (lambda: plan(coarse=(stream(values=None, span=32),)), "coarse[0].values is None and .span is 32"),
    "stream rows": (lambda: plan(coarse=(stream(rows=rows([0], [1])),)), "coarse[0].rows has 2 rows"),
    "stream indices": (
        lambda: plan(coarse=(stream(rows=rows([3]), block=2, share=4),)),
        "coarse[0].rows.indices holds 3; it must be from 0 to 1",
    ),
    "log weight": (lambda: plan(coarse=(stream(log_weight=math.nan),)), "coarse[0].log_weight is nan"),
    "log weights": (
        lambda: plan(coarse=(stream(log_weight=torch.full((1, 1, 4), math.inf)),)),
        "coarse[0].log_weight holds NaN or +inf",
    ),
    "log weight shape": (
        lambda: plan(coarse=(stream(log_weight=torch.zeros(4)),)),
        "coarse[0].log_weight has shape (4,)",
    ),
    "devices": (
        lambda: plan(rows=BlockRows(GOOD.indices.to("meta")), k=BlockAxis(64, 16, order=torch.arange(64)[None, None])),
        "is on meta",
    ),
}


@pytest.mark.parametrize("name", [*BAD_PARTS, *BAD_PLANS])
def test_a_bad_plan_is_refused(name: str) -> None:
    make, message = {**BAD_PARTS, **BAD_PLANS}[name]
    with pytest.raises(KernelError) as refusal:
        make()
    assert message.replace("\\", "") in str(refusal.value)


def call(**changes: Any) -> Tensor:
    x = torch.zeros(1, 2, 64, 32)
    arguments = {"q": x, "k": x, "v": x, "plan": plan(), **changes}
    out: Tensor = sparse_attention(**arguments)
    return out


X = torch.zeros(1, 2, 64, 32)

BAD_CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "axes": ({"q": X[0]}, r"q has shape \(2, 64, 32\); it must be \(B, H, L, D\)"),
    "empty": ({"q": X[:0]}, r"q has shape \(0, 2, 64, 32\)"),
    "head dim": ({name: torch.zeros(1, 2, 64, 48) for name in "qkv"}, r"head dim of 48; it must be one of \(32, 64, 1"),
    "k shape": ({"k": torch.zeros(1, 3, 64, 32)}, r"k has shape \(1, 3, 64, 32\); B, H and D must be those of q"),
    "v shape": ({"v": X[:, :, :63]}, r"v has shape \(1, 2, 63, 32\); it must be that of k"),
    "type": ({name: X.int() for name in "qkv"}, "q is torch.int32; it must be one of torch.float32"),
    "types": ({"v": X.double()}, "v is torch.float64; it must be that of q, torch.float32"),
    "device": ({"k": X.to("meta")}, "k is on meta; it must be where q is, cpu"),
    "other length": (
        {"q": torch.zeros(1, 2, 65, 32)},
        "plan.q.length is 64, but q has 65 tokens; plan for this length",
    ),
    "batch": ({"plan": plan(key_lengths=ints(3, 4))}, "plan tells 2 batch entries apart; q has 1"),
    "heads": ({"plan": plan(rows=BlockRows(GOOD.indices.expand(1, 3, 4, 1)))}, "plan has 3 heads; q has 2"),
    "head kinds": ({"plan": plan(heads=(0,))}, "plan.heads has 1 entries; q has 2 heads"),
    "coarse": (
        {"plan": plan(coarse=(stream(),))},
        r"plan.coarse\[0\].keys is \(1, 1, 4, 32\).*must be \(1, 2, 4, 32\)",
    ),
    "scale": ({"scale": math.inf}, "scale is inf; it must be a finite number"),
    "q nan": ({"q": X + math.nan}, "q holds a value that is not finite"),
    "k inf": ({"k": X.index_fill(2, torch.tensor([5]), math.inf)}, "k holds a value that is not finite"),
    "v nan": ({"v": X.index_fill(2, torch.tensor([5]), math.nan)}, "v holds a value that is not finite"),
    "implementation": ({"impl": "flash"}, "impl is 'flash'; it must be 'auto'"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_is_refused(name: str) -> None:
    changes, message = BAD_CALLS[name]
    with pytest.raises(KernelError, match=message):
        call(**changes)


def test_the_good_call_that_the_bad_ones_differ_from_runs() -> None:
    assert call().shape == X.shape


def test_large_finite_values_are_not_taken_for_infinite_ones() -> None:
    large = torch.full((1, 2, 64, 32), 1e38)
    assert call(v=large).isfinite().all()


def test_a_trusted_plan_is_not_read() -> None:
    """What a maker on a device guarantees is not looked at; on meta tensors a look would raise."""
    indices = torch.zeros(1, 1, 4, 1, dtype=torch.int32, device="meta")
    assert BlockPlan(AXIS, AXIS, BlockRows(indices), trusted=True).rows is not None
    with pytest.raises(RuntimeError, match="meta tensors"):
        BlockPlan(AXIS, AXIS, BlockRows(indices))
