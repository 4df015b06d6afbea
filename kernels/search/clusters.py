"""The two halves of a step of k-means: the nearest centroid of each token, and sums over each cluster's tokens.

Neither the distances nor the memberships of all tokens are ever in memory. Nothing is added atomically, so that a
result repeats bit for bit.

Layout legend: B batch, H heads, N tokens, C clusters, D head dim.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from chatdit.kernels.triton_device import rows_dense, upcast


def nearest_centroids(x: Tensor, centroids: Tensor) -> Tensor:
    """int64 (B, H, N): the centroid of fp32 (B, H, C, D) that each token of x (B, H, N, D) is nearest to.

    Of those that are equally near, the lowest. A half-precision x meets each centroid as a sum of two numbers of its
    dtype, so that centroids count with twice its digits.
    """
    x, centroids = rows_dense(x), centroids.contiguous()
    batch, heads, tokens, width = x.shape
    count = centroids.shape[2]
    labels = torch.empty(batch, heads, tokens, dtype=torch.int64, device=x.device)
    tile = 64
    _nearest[(-(-tokens // tile), batch * heads)](
        x, centroids, centroids.square().sum(dim=-1), labels, x.stride(0), x.stride(1), x.stride(2),
        heads, tokens, count,
        TILE=tile, CENTROIDS=64, D=width, HALF=x.dtype != torch.float32, UPCAST=upcast(x), num_warps=4, num_stages=2,
    )  # fmt: skip
    return labels


def cluster_sums(x: Tensor, labels: Tensor, counted: Tensor, count: int) -> Tensor:
    """fp32 (B, H, C, D): sums of the tokens of x (B, H, N, D) that each of `count` clusters has.

    `labels` are int64 (B, H, N); tokens where `counted` (B|1, 1, N) is 0 are left out.
    """
    x, labels = rows_dense(x), labels.contiguous()
    batch, heads, tokens, width = x.shape
    sums = torch.empty(batch, heads, count, width, dtype=torch.float32, device=x.device)
    tile = 64
    weights = counted.expand(batch, 1, tokens).to(torch.int8).contiguous()
    _sums[(-(-count // tile), batch * heads)](
        x, labels, weights, sums, x.stride(0), x.stride(1), x.stride(2), heads, tokens, count,
        CLUSTERS=tile, TOKENS=64, D=width, UPCAST=upcast(x), num_warps=4, num_stages=2,
    )  # fmt: skip
    return sums


@triton.jit
def _nearest(
    X, CENTROIDS_AT, SQUARES, LABELS,  # (B, H, N, D), (B, H, C, D), (B, H, C), (B, H, N)
    x_b, x_h, x_l, heads, tokens, count,
    TILE: tl.constexpr, CENTROIDS: tl.constexpr, D: tl.constexpr, HALF: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """A tile of tokens against all centroids."""
    head = tl.program_id(1).to(tl.int64)
    token = tl.program_id(0) * TILE + tl.arange(0, TILE)
    d = tl.arange(0, D)
    x = tl.load(
        X + head // heads * x_b + head % heads * x_h + token.to(tl.int64)[:, None] * x_l + d[None, :],
        mask=(token < tokens)[:, None], other=0.0,
    )  # fmt: skip
    kind = x.dtype
    if UPCAST:
        x = x.to(tl.float32)
    least = tl.full([TILE], float("inf"), tl.float32)
    label = tl.zeros([TILE], tl.int32)
    for first in range(0, count, CENTROIDS):
        at = first + tl.arange(0, CENTROIDS)
        c = tl.load(CENTROIDS_AT + (head * count + at)[:, None] * D + d[None, :], mask=(at < count)[:, None], other=0.0)
        if HALF:
            coarse = c.to(kind)
            fine = (c - coarse.to(tl.float32)).to(kind)
            if UPCAST:
                products = tl.dot(x, tl.trans(coarse.to(tl.float32)), input_precision="ieee")
                products = tl.dot(x, tl.trans(fine.to(tl.float32)), products, input_precision="ieee")
            else:
                products = tl.dot(x, tl.trans(coarse))
                products = tl.dot(x, tl.trans(fine), products)
        else:
            products = tl.dot(x, tl.trans(c), input_precision="ieee")
        square = tl.load(SQUARES + head * count + at, mask=at < count, other=float("inf"))
        distance = square[None, :] - 2 * products
        nearest = tl.min(distance, 1)
        here = tl.min(tl.where(distance == nearest[:, None], at[None, :], count), 1)
        label = tl.where(nearest < least, here, label)
        least = tl.minimum(least, nearest)
    tl.store(LABELS + head * tokens + token, label.to(tl.int64), mask=token < tokens)


@triton.jit
def _sums(
    X, LABELS, COUNTED, SUMS,  # (B, H, N, D), (B, H, N), (B, N), (B, H, C, D)
    x_b, x_h, x_l, heads, tokens, count,
    CLUSTERS: tl.constexpr, TOKENS: tl.constexpr, D: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """A tile of clusters against all tokens: a product of who belongs to whom with the tokens."""
    head = tl.program_id(1).to(tl.int64)
    cluster = tl.program_id(0) * CLUSTERS + tl.arange(0, CLUSTERS)
    d = tl.arange(0, D)
    total = tl.zeros([CLUSTERS, D], tl.float32)
    for first in range(0, tokens, TOKENS):
        token = first + tl.arange(0, TOKENS)
        real = token < tokens
        x = tl.load(
            X + head // heads * x_b + head % heads * x_h + token.to(tl.int64)[:, None] * x_l + d[None, :],
            mask=real[:, None], other=0.0,
        )  # fmt: skip
        if UPCAST:
            x = x.to(tl.float32)
        label = tl.load(LABELS + head * tokens + token, mask=real, other=-1)
        counts = tl.load(COUNTED + head // heads * tokens + token, mask=real, other=0) != 0
        members = (label[None, :] == cluster[:, None]) & counts[None, :]
        total = tl.dot(members.to(x.dtype), x, total, input_precision="ieee")
    at = (head * count + cluster)[:, None] * D + d[None, :]
    tl.store(SUMS + at, total, mask=(cluster < count)[:, None])
