"""What the attention benchmark runs on: inputs, plans, and whether kernels are right before they are timed.

Layout legend: B batch, H heads, L tokens, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan
from chatdit.kernels.morton import morton_order
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.policies.geometry import Geometry
from chatdit.kernels.sparse_attention import sparse_attention

Inputs = Literal["random", "smooth", "video"]
Triple = tuple[Tensor, Tensor, Tensor]
GATE_TOKENS = 2048
"""Where kernels are compared with fp64; every pair of tokens stands in memory there."""


@dataclass(frozen=True)
class Shape:
    """Batch, heads, tokens and head dim of one call."""

    batch: int
    heads: int
    tokens: int
    head_dim: int


def make_inputs(kind: Inputs, shape: Shape, device: torch.device, dtype: torch.dtype, seed: int = 1) -> Triple:
    """q, k, v of a kind. "smooth": q and k are Gaussian random fields over the square grid, in Morton order."""
    full = (shape.batch, shape.heads, shape.tokens, shape.head_dim)
    generator = torch.Generator(device).manual_seed(seed)
    q, k, v = (torch.randn(full, generator=generator, device=device).to(dtype) for _ in range(3))
    if kind == "video":
        raise ValueError("inputs of a video need a geometry: make_video")
    if kind == "smooth":
        q, k = (_field(full, generator, device).to(dtype) for _ in range(2))
    return q, k, v


def _field(shape: tuple[int, int, int, int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Power falls with the fourth power of the frequency beyond four waves a side; unit variance."""
    batch, heads, tokens, width = shape
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise ValueError(f"tokens is {tokens}: a smooth field needs a square grid")
    noise = torch.randn(batch * heads, width, side, side, generator=generator, device=device)
    down = torch.fft.fftfreq(side, 1 / side, device=device)[:, None]
    along = torch.fft.rfftfreq(side, 1 / side, device=device)
    spectrum = torch.fft.rfft2(noise) / (1 + (down**2 + along**2) / 16)
    field = torch.fft.irfft2(spectrum, s=(side, side))
    order = morton_order(side, side, device=device)
    field = (field / field.std()).flatten(2)[:, :, order]
    ordered: Tensor = field.mT.reshape(shape).contiguous()
    return ordered


def make_video(
    geometry: Geometry, heads: int, head_dim: int, device: torch.device, dtype: torch.dtype, seed: int = 1
) -> Triple:
    """q, k, v (1, H, F·H·W, D) in raster order whose near tokens are alike, as in a video: inputs "video".

    q and k have half of their power in one Gaussian random field and half in one of their own, so that a query is
    nearest to the keys around it, and q is three times as long, so that they take most of its attention. v has its
    own; power as in "smooth".
    """
    generator = torch.Generator(device).manual_seed(seed)
    size = (geometry.frames, geometry.height, geometry.width)
    waves = [torch.fft.fftfreq(n, 1 / n, device=device) for n in size[:2]]
    waves.append(torch.fft.rfftfreq(size[2], 1 / size[2], device=device))
    frequency = sum(axis.square() for axis in torch.meshgrid(*waves, indexing="ij"))
    sides: list[list[Tensor]] = [[], [], []]
    for _ in range(heads):
        noise = torch.randn(4, head_dim, *size, generator=generator, device=device)
        field = torch.fft.irfftn(torch.fft.rfftn(noise, dim=(2, 3, 4)) / (1 + frequency / 16), s=size, dim=(2, 3, 4))
        shared, one, other, value = (field / field.std()).flatten(2).mT
        made = (3 * (shared + one) / math.sqrt(2), (shared + other) / math.sqrt(2), value)
        for side, x in zip(sides, made, strict=True):
            side.append(x.to(dtype))
    q, k, v = (torch.stack(side)[None].contiguous() for side in sides)
    return q, k, v


def random_blocks(shape: Shape, density: float, device: torch.device, block: int = 128, seed: int = 3) -> BlockPlan:
    """Rows of so large a share of all blocks, drawn at random, other ones for each head."""
    axis = BlockAxis(shape.tokens, block)
    kept = max(1, round(density * axis.blocks))
    generator = torch.Generator(device).manual_seed(seed)
    score = torch.rand(1, shape.heads, axis.blocks, axis.blocks, generator=generator, device=device)
    indices = score.topk(kept, dim=-1).indices.sort(dim=-1).values
    return BlockPlan(axis, axis, BlockRows(indices.int()), trusted=True)


def density(plan: BlockPlan, heads: int) -> float:
    """The share of all pairs of blocks that a plan has queries meet, mean over heads; text and summaries not counted.

    Partial blocks count as whole ones.
    """
    kinds = [plan.kind(h) for h in range(heads)]
    met = torch.zeros(plan.plan_heads, dtype=torch.float64)
    for rows in (plan.rows, plan.partial):
        if rows is not None:
            met += _entries(rows).expand(plan.plan_heads)
    share = met / max(1, plan.q.blocks * plan.k.blocks)
    return sum(1.0 if kind == "dense" else 0.0 if kind == "skip" else float(share[int(kind)]) for kind in kinds) / heads


def _entries(rows: BlockRows) -> Tensor:
    """Entries of each plan head, mean over the batch, (G|1,) fp64."""
    if rows.starts is not None:
        return (rows.starts[..., -1] - rows.starts[..., 0]).double().mean(0).cpu()
    if rows.counts is not None:
        return rows.counts.double().sum(-1).mean(0).cpu()
    _, heads, n, width = rows.indices.shape
    return torch.full((heads,), float(n * width), dtype=torch.float64)


def hierarchy_density(tokens: int, hierarchy: Hierarchy) -> float:
    """Keys and summaries that a query meets, as a share of all tokens."""
    levels, top = hierarchy.depth(tokens), tokens
    for _ in range(levels):
        top = -(-top // hierarchy.block)
    return min(1.0, (hierarchy.k * hierarchy.block * levels + top) / tokens)


def dense(q: Tensor, k: Tensor, v: Tensor, backend: SDPBackend) -> Tensor:
    """torch's own attention by one backend."""
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v)


@dataclass(frozen=True)
class Gate:
    """Relative error (root mean square) against fp64 of a kernel and of the plain formula in the same dtype."""

    what: str
    error: float
    own: float

    @property
    def passed(self) -> bool:
        """Whether the kernel's error is at most twice that of the dtype itself."""
        return self.error <= 2 * self.own


def gate_hierarchy(shape: Shape, kind: Inputs, device: torch.device, dtype: torch.dtype, levels: int) -> list[Gate]:
    """LLSA's output and gradients, on the picks that the kernels make."""
    from chatdit.kernels.llsa.call import llsa_attention

    axis, hierarchy = BlockAxis(shape.tokens, 16), Hierarchy(levels=levels)
    given = make_inputs(kind, shape, device, dtype)
    picked = llsa_plan(given[0], given[1], hierarchy, axis, axis)

    def exact(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        plan = llsa_plan(q, k, hierarchy, axis, axis)
        streams = tuple(replace(s, rows=t.rows) for s, t in zip(plan.coarse, picked.coarse, strict=True))
        return sparse_attention(q, k, v, replace(plan, rows=picked.rows, coarse=streams), impl="reference")

    name = f"llsa {kind} {shape.tokens} D={shape.head_dim} levels={levels}"
    return _compare(name, given, lambda q, k, v: llsa_attention(q, k, v, hierarchy).out, exact)


def gate_plan(name: str, given: Triple, plan: BlockPlan) -> list[Gate]:
    """Output and gradients of any plan."""
    return _compare(
        name,
        given,
        lambda q, k, v: sparse_attention(q, k, v, plan, impl="triton"),
        lambda q, k, v: sparse_attention(q, k, v, plan, impl="reference"),
    )


Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def _compare(name: str, given: Triple, kernel: Attention, exact: Attention) -> list[Gate]:
    weight = torch.randn(given[0].shape, generator=torch.Generator().manual_seed(9)).to(given[0])
    wide = tuple(x.double() for x in given)
    truth = _with_gradients(exact, wide, weight.double())
    own = _with_gradients(exact, given, weight)
    got = _with_gradients(kernel, given, weight)
    names = ("out", "dq", "dk", "dv")
    return [Gate(f"{name} {n}", _error(a, t), _error(b, t)) for n, a, b, t in zip(names, got, own, truth, strict=True)]


def _with_gradients(attention: Attention, given: tuple[Tensor, ...], weight: Tensor) -> tuple[Tensor, ...]:
    q, k, v = (x.detach().clone().requires_grad_() for x in given)
    out = attention(q, k, v)
    return (out.detach(), *torch.autograd.grad((out * weight).sum(), (q, k, v)))


def _error(got: Tensor, truth: Tensor) -> float:
    return float((got.double() - truth).norm() / truth.norm())


def peer_llsa(checkout: Path) -> dict[int, Attention]:
    """The reference's own attention of one and two levels, from a checkout.

    Raises:
        ValueError: the folder holds no such package.
    """
    root = next((folder for folder in (checkout / "src", checkout) if (folder / "llsa").is_dir()), None)
    if root is None:
        raise ValueError(f"{checkout} holds no folder src/llsa or llsa: expected a checkout of the reference")
    sys.path.insert(0, str(root))
    try:
        place = "llsa.kernel.torch_op"
        found = {level: importlib.import_module(f"{place}.flash_sparse_attention_res_{level}") for level in (1, 2)}
        return {level: getattr(module, f"llsa_l{level}") for level, module in found.items()}
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{checkout} is no checkout of the reference that can be imported: {error}") from error
    finally:
        sys.path.remove(str(root))
