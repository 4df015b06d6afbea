"""Log-linear sparse attention (arXiv 2512.16615) on Triton kernels: pool, pick, attend, and the gradient of it all.

What it means is said by the plan of hierarchy.py and by reference.py. Here everything stands in tables
(tables.py), and one launch attends to tokens and to summaries of every level.

Layout legend: B batch, H heads, L queries, K keys, M rows of the keys' table, R of the queries', D head dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from chatdit.kernels.llsa.grad_keys import grad_keys
from chatdit.kernels.llsa.tables import Body, Picks, Tables
from chatdit.kernels.llsa.tuning import Launch, Tuning, tuning_for
from chatdit.kernels.triton_device import rows_dense, upcast


@dataclass(frozen=True, eq=False)
class Walk:
    """Which tokens are walked, in what order, through how many levels; `text` (T,) int32 are keys that all meet."""

    bodies: tuple[Body, Body]
    levels: int
    kept: int
    exclude: bool
    text: Tensor | None
    key_lengths: Tensor | None


def table_attention(
    q: Tensor, k: Tensor, v: Tensor, tables: Tables, picks: Picks, walk: Walk, scale: float,
    tuning: Tuning | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Output (B, H, L, D) and LSE (B, H, L) of the body's queries, zeros and -inf for others; differentiable once.

    Gradients reach q, k, v and the tables of keys and values.
    """
    q, k, v = rows_dense(q), rows_dense(k), rows_dense(v)
    keys, values = tables.keys.contiguous(), tables.values.contiguous()
    chosen = tuning if tuning is not None else tuning_for(q.shape[3])
    found: tuple[Tensor, Tensor] = _Attention.apply(  # type: ignore[no-untyped-call]
        q, k, v, keys, values, tables.weights, picks, walk, scale, chosen
    )
    return found


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, weights: Tensor, picks: Picks,
        walk: Walk, scale: float, tuning: Tuning,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        tables = Tables(q, keys, values, weights)
        out, lse = _attend(q, k, v, tables, picks, walk, scale, tuning.forward)
        ctx.save_for_backward(q, k, v, keys, values, weights, out, lse, picks.indices, picks.counts)
        ctx.walk, ctx.scale, ctx.tuning = walk, scale, tuning
        return out, lse

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        q, k, v, keys, values, weights, out, lse, indices, counts = ctx.saved_tensors
        tables, picks = Tables(q, keys, values, weights), Picks(indices, counts)
        d_out, d_lse = rows_dense(grad_outputs[0]), grad_outputs[1].float().contiguous()
        d_q, delta = _grad_queries(
            q, k, v, tables, picks, ctx.walk, ctx.scale, out, lse, d_out, d_lse, ctx.tuning.grad_queries
        )
        grads = grad_keys(q, k, v, tables, picks, ctx.walk, ctx.scale, lse, delta, d_out, ctx.tuning)
        return d_q, *grads, None, None, None, None, None


def _attend(
    q: Tensor, k: Tensor, v: Tensor, tables: Tables, picks: Picks, walk: Walk, scale: float, sizes: Launch
) -> tuple[Tensor, Tensor]:
    from chatdit.kernels.llsa.forward import llsa_forward

    whole = walk.bodies[0].length == q.shape[2]
    out = (torch.empty if whole else torch.zeros)(q.shape, dtype=q.dtype, device=q.device)
    lse = q.new_empty(q.shape[:3], dtype=torch.float32)
    if not whole:
        lse.fill_(-torch.inf)
    if walk.bodies[0].length:
        launch: Any = llsa_forward[(-(-walk.bodies[0].length // sizes.tile), q.shape[0] * q.shape[1])]
        launch(
            q, k, v, out, lse, *_pointers(tables, picks, walk), *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            *out.stride()[:3], *_numbers(tables, picks, walk, lse), scale * 1.4426950408889634,
            **_constants(q, walk, picks, sizes),
        )  # fmt: skip
    return out, lse


def _grad_queries(
    q: Tensor, k: Tensor, v: Tensor, tables: Tables, picks: Picks, walk: Walk, scale: float, out: Tensor, lse: Tensor,
    d_out: Tensor, d_lse: Tensor, sizes: Launch,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradient of q, and each query's Δ = Σ do·o - dlse (B, H, L) fp32."""
    from chatdit.kernels.llsa.backward import llsa_grad_queries

    whole = walk.bodies[0].length == q.shape[2]
    d_q = (torch.empty if whole else torch.zeros)(q.shape, dtype=q.dtype, device=q.device)
    delta = torch.empty_like(lse)
    if walk.bodies[0].length:
        launch: Any = llsa_grad_queries[(-(-walk.bodies[0].length // sizes.tile), q.shape[0] * q.shape[1])]
        launch(
            q, k, v, out, lse, d_out, d_lse, d_q, delta, *_pointers(tables, picks, walk), *q.stride()[:3],
            *k.stride()[:3], *v.stride()[:3], *out.stride()[:3], *d_out.stride()[:3], *d_q.stride()[:3],
            *_numbers(tables, picks, walk, lse), scale, **_constants(q, walk, picks, sizes),
        )  # fmt: skip
    return d_q, delta


def _pointers(tables: Tables, picks: Picks, walk: Walk) -> tuple[Tensor, ...]:
    absent = picks.indices
    given = (picks.counts, walk.bodies[0].tokens, walk.bodies[1].tokens, walk.text, walk.key_lengths)
    counts, *rest = (x if x is not None else absent for x in given)
    return (tables.keys, tables.values, tables.weights, picks.indices, counts, *rest)


def _numbers(tables: Tables, picks: Picks, walk: Walk, lse: Tensor) -> tuple[int, ...]:
    queries, keys = walk.bodies
    return (
        lse.stride(1), *tables.keys.stride()[:2], tables.weights.stride(0), *picks.indices.stride()[:2],
        lse.shape[1], queries.length, keys.length, queries.start, keys.start,
        walk.text.shape[0] if walk.text is not None else 0,
    )  # fmt: skip


def _constants(q: Tensor, walk: Walk, picks: Picks, sizes: Launch) -> dict[str, Any]:
    even = walk.bodies[1].length % 16 == 0 and walk.kept <= -(-walk.bodies[1].length // 16)
    even = even and walk.key_lengths is None and picks.counts is None
    limit = {"maxnreg": sizes.registers} if sizes.registers is not None and q.is_cuda else {}
    return {
        "D": q.shape[3], "KEPT": walk.kept, "LEVELS": walk.levels, "TILE": sizes.tile, "FINE": sizes.fine,
        "COARSE": sizes.coarse, "Q_ORDERED": walk.bodies[0].tokens is not None,
        "K_ORDERED": walk.bodies[1].tokens is not None, "EVEN": even, "HAS_COUNTS": picks.counts is not None,
        "HAS_LENGTHS": walk.key_lengths is not None, "EXCLUDE": walk.exclude, "UPCAST": upcast(q),
        "STAGES": sizes.stages, "num_warps": sizes.warps, **limit,
    }  # fmt: skip
