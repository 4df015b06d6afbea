"""Plans of every kind, and inputs to run them on: what each implementation is tested with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch import Tensor

from chatdit.kernels.plan.block_axis import BlockAxis, Segment
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream, dense_plan
from chatdit.kernels.plan.block_rows import BlockRows, rows_from_mask
from chatdit.kernels.plan.predicates import Disc, Documents, Window
from chatdit.kernels.policies.geometry import Geometry, tiled_axis


@dataclass(frozen=True)
class Case:
    """A call: batch, heads, head dim, and a plan for given coarse tensors (or for none)."""

    name: str
    batch: int
    heads: int
    width: int
    q_tokens: int
    k_tokens: int
    coarse: tuple[int, ...]
    make: Callable[[list[tuple[Tensor, Tensor]]], BlockPlan]

    def tensors(self, dtype: torch.dtype = torch.float64, seed: int = 3) -> list[Tensor]:
        """q, k, v, then keys and values of each coarse stream."""
        generator = torch.Generator().manual_seed(seed)
        lengths = [self.q_tokens, self.k_tokens, self.k_tokens, *(m for m in self.coarse for _ in range(2))]
        shapes = [(self.batch, self.heads, n, self.width) for n in lengths]
        return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]

    def plan(self, tensors: list[Tensor]) -> BlockPlan:
        """The plan, with the coarse tensors among `tensors`."""
        return self.make(list(zip(tensors[3::2], tensors[4::2], strict=True)))


@pytest.fixture(scope="session")
def interpreter() -> None:
    """Skips where there is no Triton, or one whose interpreter this NumPy breaks."""
    triton = pytest.importorskip("triton")
    if Version(triton.__version__) < Version("3.7") and Version(np.__version__) >= Version("2.4"):
        pytest.skip(
            f"the interpreter of Triton {triton.__version__} needs NumPy below 2.4, and this is {np.__version__}"
        )


def random_mask(batch: int, heads: int, rows: int, blocks: int, density: float, seed: int = 0) -> Tensor:
    """A block map in which every row has at least one block."""
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(batch, heads, rows, blocks, generator=generator)
    return (score < density) | (score == score.amax(-1, keepdim=True))


def fixed(batch: int, heads: int, rows: int, blocks: int, k: int, seed: int = 0) -> BlockRows:
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(batch, heads, rows, blocks, generator=generator)
    return BlockRows(score.topk(k, dim=-1).indices.int())


def orders(batch: int, heads: int, tokens: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, heads, tokens, generator=generator).argsort(dim=-1)


def cuts(batch: int, heads: int, tokens: int, blocks: int, seed: int) -> Tensor:
    """Offsets of blocks of any size, some of them empty."""
    generator = torch.Generator().manual_seed(seed)
    inner = torch.randint(0, tokens + 1, (batch, heads, blocks - 1), generator=generator).sort(dim=-1).values
    ends = torch.zeros(batch, heads, 1, dtype=torch.int64)
    return torch.cat([ends, inner, ends + tokens], dim=-1).int()


def _fixed(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    return BlockPlan(BlockAxis(77, 16), BlockAxis(90, 32), fixed(2, 3, 5, 3, 2))


def _counted(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    counts = torch.tensor([1, 3, 2, 1, 2]).view(1, 1, 5)
    return BlockPlan(BlockAxis(77, 16), BlockAxis(90, 32), BlockRows(fixed(1, 1, 5, 3, 3).indices, counts))


def _ragged(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    return BlockPlan(BlockAxis(130, 32), BlockAxis(130, 16), rows_from_mask(random_mask(2, 2, 5, 9, 0.4)))


def _static_ragged(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    rows = rows_from_mask(random_mask(1, 1, 3, 2, 0.5))
    spare = BlockRows(torch.cat([rows.indices, torch.full((4,), 99, dtype=torch.int32)]), starts=rows.starts)
    return BlockPlan(BlockAxis(200, 80), BlockAxis(150, 128), spare)


def _variable(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    q = BlockAxis(100, offsets=cuts(2, 2, 100, 6, 1), order=orders(2, 2, 100, 2))
    k = BlockAxis(120, offsets=cuts(2, 2, 120, 8, 3), order=orders(2, 2, 120, 4))
    return BlockPlan(q, k, rows_from_mask(random_mask(2, 2, 6, 8, 0.4)))


def _bounded(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    q = BlockAxis(100, offsets=cuts(2, 2, 100, 6, 1), order=orders(2, 2, 100, 2), largest=100)
    k = BlockAxis(120, offsets=cuts(2, 2, 120, 8, 3), order=orders(2, 2, 120, 4), largest=120)
    return BlockPlan(q, k, rows_from_mask(random_mask(2, 2, 6, 8, 0.4)))


def _tiles(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    """Tiles of 4 x 4, smaller at the border, behind text; heads of several kinds."""
    axis = tiled_axis(Geometry(9, 10, text=(Segment(0, 7),)), (4, 4), torch.device("cpu"))
    return BlockPlan(axis, axis, rows_from_mask(random_mask(1, 2, 9, 9, 0.4)), heads=(1, "dense", 0))


def _text(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    q = BlockAxis(90, 16, dense=(Segment(0, 10), Segment(80, 90)), order=orders(1, 2, 70, 5))
    k = BlockAxis(85, 16, dense=(Segment(0, 9),), order=orders(1, 2, 76, 6))
    return BlockPlan(q, k, fixed(1, 2, 5, 5, 2), key_lengths=torch.tensor([85, 40]))


def _all_text(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    q, k = BlockAxis(20, 16, dense=(Segment(0, 20),)), BlockAxis(30, 16, dense=(Segment(0, 30),))
    return BlockPlan(q, k, BlockRows(torch.zeros(1, 1, 0, 0, dtype=torch.int32)))


def _kinds(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    axis = BlockAxis(80, 16, dense=(Segment(0, 6),), order=orders(1, 2, 74, 7))
    return BlockPlan(axis, axis, fixed(1, 2, 5, 5, 2), heads=("skip", 1, "dense", 0, 1))


def _skipped(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    return BlockPlan(BlockAxis(40, 16), BlockAxis(40, 16), heads=("skip", "skip"))


def _disc(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    axis = BlockAxis(12 * 14, 16, order=orders(1, 1, 168, 8))
    rows = torch.arange(11, dtype=torch.int32).view(1, 1, 11, 1)
    partial = torch.stack([(rows + i) % 11 for i in range(1, 8)], dim=-1)[..., 0, :]
    return BlockPlan(axis, axis, BlockRows(rows), BlockRows(partial), Disc(12, 14, 4.5))


def _window(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    axis = BlockAxis(3 * 6 * 7 + 5, 16, dense=(Segment(126, 131),))
    every = torch.arange(8, dtype=torch.int32).expand(1, 1, 8, 8)
    return BlockPlan(axis, axis, partial=BlockRows(every), predicate=Window(3, 6, 7, (1, 2, 1)))


def _documents(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    q, k = torch.arange(70) // 30, torch.arange(90) // torch.tensor([[40], [25]])
    every = torch.arange(6, dtype=torch.int32).expand(1, 1, 5, 6)
    rule = Documents(q[None], k)
    return BlockPlan(BlockAxis(70, 16), BlockAxis(90, 16), partial=BlockRows(every), predicate=rule)


def _coarse(selected: str) -> Callable[[list[tuple[Tensor, Tensor]]], BlockPlan]:
    def make(streams: list[tuple[Tensor, Tensor]]) -> BlockPlan:
        (k1, v1), (k2, v2) = streams
        order = orders(1, 1, 140, 9)
        q, k = BlockAxis(145, 16, dense=(Segment(0, 5),), order=order), BlockAxis(144, 16, dense=(Segment(140, 144),))
        weight = torch.full((1, 1, 9), math.log(16.0))
        weight[..., -1] = math.log(12.0)
        weight[..., 3] = -math.inf
        first = CoarseStream(k1, v1, weight, fixed(1, 1, 3, 3, 2, 4), block=4, share=4, selected=selected)  # type: ignore[arg-type]
        second = CoarseStream(k2, v2, math.log(64.0), selected=selected)  # type: ignore[arg-type]
        return BlockPlan(q, k, fixed(2, 1, 9, 9, 3), coarse=(first, second))

    return make


def _everything(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    return BlockPlan(
        BlockAxis(33, 48), BlockAxis(17, 16), BlockRows(torch.arange(2, dtype=torch.int32).view(1, 1, 1, 2))
    )


def _long_padding(_: list[tuple[Tensor, Tensor]]) -> BlockPlan:
    return BlockPlan(BlockAxis(20, 16), BlockAxis(48, 16), fixed(1, 1, 2, 3, 1), key_lengths=torch.tensor([0, 48, 17]))


CASES = (
    Case("fixed", 2, 3, 32, 77, 90, (), _fixed),
    Case("counted", 1, 2, 64, 77, 90, (), _counted),
    Case("ragged", 2, 2, 32, 130, 130, (), _ragged),
    Case("static-ragged", 2, 2, 128, 200, 150, (), _static_ragged),
    Case("variable", 2, 2, 32, 100, 120, (), _variable),
    Case("bounded", 2, 2, 32, 100, 120, (), _bounded),
    Case("tiles", 1, 3, 64, 97, 97, (), _tiles),
    Case("text", 2, 2, 32, 90, 85, (), _text),
    Case("all-text", 1, 1, 32, 20, 30, (), _all_text),
    Case("kinds", 2, 5, 32, 80, 80, (), _kinds),
    Case("skipped", 1, 2, 32, 40, 40, (), _skipped),
    Case("disc", 1, 2, 32, 168, 168, (), _disc),
    Case("window", 1, 1, 32, 131, 131, (), _window),
    Case("documents", 2, 1, 32, 70, 90, (), _documents),
    Case("coarse-keep", 2, 1, 32, 145, 144, (9, 3), _coarse("keep")),
    Case("coarse-exclude", 2, 1, 32, 145, 144, (9, 3), _coarse("exclude")),
    Case("one-block", 1, 1, 64, 33, 17, (), _everything),
    Case("padding", 3, 2, 32, 20, 48, (), _long_padding),
    Case("dense", 2, 2, 32, 37, 51, (), lambda _: dense_plan(37, 51, heads=2, key_lengths=torch.tensor([50, 2]))),
)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Each call of the list."""
    found: Case = request.param
    return found


@pytest.fixture
def all_cases() -> dict[str, Case]:
    """The list by name."""
    return {case.name: case for case in CASES}
