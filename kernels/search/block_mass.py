"""Shares of key blocks in dense attention, without the weights of all pairs in memory.

Two passes, as AdaSpa's fused search has them (arXiv 2502.21079): the LSE of each query, then the weights again, summed
up by blocks. With LSEs of an earlier search the first pass is left out.

Layout legend: B batch, H heads, N queries, M keys, n query blocks, m key blocks, D head dim.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from chatdit.kernels.triton_device import rows_dense, upcast

LOG2_E = math.log2(math.e)
PER_LOG2: tl.constexpr = tl.constexpr(math.log2(math.e))


def block_shares(
    q: Tensor, k: Tensor, block: int, body: int, scale: float, hidden: Tensor | None, lse: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Shares (B, H, n, m) fp32 of the blocks of the first `body` keys, and LSEs (B, H, N) fp32.

    For q (B, H, N, D) and k (B, H, M, D) in fp32, fp16 or bf16; softmax over all M keys, mean over a block's queries,
    sum over a block's keys. `block` is a power of two from 16. `hidden` (B, M) marks keys that no query meets.
    """
    q, k = rows_dense(q), rows_dense(k)
    batch, heads, queries, width = q.shape
    keys = k.shape[2]
    rows, blocks = -(-queries // block), -(-body // block)
    mask = q.new_zeros(1, dtype=torch.int8) if hidden is None else hidden.to(torch.int8).contiguous()
    strides = (q.stride(0), q.stride(1), q.stride(2), k.stride(0), k.stride(1), k.stride(2))
    sizes = {"D": width, "HIDES": hidden is not None, "UPCAST": upcast(q)}
    if lse is None:
        lse = torch.empty(batch, heads, queries, dtype=torch.float32, device=q.device)
        tile, at_once = 64, 64
        _lse[(-(-queries // tile), batch * heads)](
            q, k, mask, lse, *strides, heads, queries, keys, scale * LOG2_E,
            TILE=tile, KEYS=at_once, **sizes, num_warps=4, num_stages=2,
        )  # fmt: skip
    shares = torch.empty(batch, heads, rows, blocks, dtype=torch.float32, device=q.device)
    _shares[(rows, batch * heads)](
        q, k, mask, lse.contiguous(), shares, *strides, heads, queries, keys, body, blocks, scale * LOG2_E,
        BLOCK=block, **sizes, num_warps=4, num_stages=2,
    )  # fmt: skip
    return shares, lse


@triton.jit
def _lse(
    Q, K, HIDDEN, LSE,  # (B, H, N, D), (B, H, M, D), (B, M), (B, H, N)
    q_b, q_h, q_l, k_b, k_h, k_l, heads, queries, keys, scale,
    TILE: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, HIDES: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """A tile of queries against all keys: the logarithm of the sum of exponentials."""
    b = (tl.program_id(1) // heads).to(tl.int64)
    h = (tl.program_id(1) % heads).to(tl.int64)
    query = tl.program_id(0) * TILE + tl.arange(0, TILE)
    q = _rows(Q + b * q_b + h * q_h, query, queries, q_l, D, UPCAST)
    highest = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    for first in range(0, keys, KEYS):
        key = first + tl.arange(0, KEYS)
        logits = _logits(q, K + b * k_b + h * k_h, HIDDEN + b * keys, key, keys, k_l, scale, D, HIDES, UPCAST)
        now = tl.maximum(highest, tl.max(logits, 1))
        kept = tl.where(now == float("-inf"), 0.0, now)  # nothing seen yet: -inf less -inf is no number
        total = total * tl.exp2(highest - kept) + tl.sum(tl.exp2(logits - kept[:, None]), 1)
        highest = now
    seen = (highest + tl.log2(total)) / PER_LOG2
    tl.store(LSE + tl.program_id(1).to(tl.int64) * queries + query, seen, mask=query < queries)


@triton.jit
def _shares(
    Q, K, HIDDEN, LSE, SHARES,  # as above; (B, H, n, m)
    q_b, q_h, q_l, k_b, k_h, k_l, heads, queries, keys, body, blocks, scale,
    BLOCK: tl.constexpr, D: tl.constexpr, HIDES: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """A block of queries against one block of keys after the other."""
    b = (tl.program_id(1) // heads).to(tl.int64)
    h = (tl.program_id(1) % heads).to(tl.int64)
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = query < queries
    q = _rows(Q + b * q_b + h * q_h, query, queries, q_l, D, UPCAST)
    lse = tl.load(LSE + tl.program_id(1).to(tl.int64) * queries + query, mask=inside, other=0.0) * PER_LOG2
    count = tl.minimum(BLOCK, queries - tl.program_id(0) * BLOCK).to(tl.float32)
    out = SHARES + (tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)) * blocks
    for j in range(0, blocks):
        key = j * BLOCK + tl.arange(0, BLOCK)
        logits = _logits(q, K + b * k_b + h * k_h, HIDDEN + b * keys, key, body, k_l, scale, D, HIDES, UPCAST)
        weights = tl.where(inside[:, None], tl.exp2(logits - lse[:, None]), 0.0)
        tl.store(out + j, tl.sum(tl.sum(weights, 1), 0) / count)


@triton.jit
def _logits(
    q, K, HIDDEN, key, keys, k_l, scale, D: tl.constexpr, HIDES: tl.constexpr, UPCAST: tl.constexpr
):  # fmt: skip
    """Logits in base 2; -inf for keys that are none or hidden."""
    k = _rows(K, key, keys, k_l, D, UPCAST)
    logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    real = key < keys
    if HIDES:
        real = real & (tl.load(HIDDEN + key, mask=real, other=1) == 0)
    return tl.where(real[None, :], logits, float("-inf"))


@triton.jit
def _rows(X, row, rows, x_l, D: tl.constexpr, UPCAST: tl.constexpr):
    d = tl.arange(0, D)
    x = tl.load(X + row.to(tl.int64)[:, None] * x_l + d[None, :], mask=(row < rows)[:, None], other=0.0)
    if UPCAST:
        x = x.to(tl.float32)
    return x
