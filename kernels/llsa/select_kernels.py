"""Triton kernels that pick the best-scoring keys: of the whole top level, and among the children of picks.

Scores are inner products in fp32, unscaled. A score and its key's index are packed into one integer, so that the
K best are K maxima, without a second pass to find where they stood; equal scores go to the lower index.

Layout legend: B batch, H heads, D head dim, R rows of the table of picks, K kept, Q queries of a program.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

NOTHING = tl.constexpr(-(2**62))
"""Less than every packed score, with room for numbering empty places."""


@triton.jit
def pick_top(
    Q, KEYS, WEIGHT, PICKS, COUNTS,  # (B, H, Mq, D), (B, H, M, D), (B, M), (B, H, R, KEPT), (B, H, R)
    q_b, q_h, k_b, k_h, weight_b, picks_b, picks_h, heads, q_row, k_row, n_q, n_k, row,
    D: tl.constexpr, KEPT: tl.constexpr, PLACES: tl.constexpr, QUERIES: tl.constexpr, AT_ONCE: tl.constexpr,
    PADDED: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Each query of the top level keeps the KEPT keys it scores highest, a tile of keys at a time."""
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    d = tl.arange(0, D)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    q = tl.load(
        Q + b * q_b + h * q_h + (q_row + query)[:, None] * D + d[None, :], mask=(query < n_q)[:, None], other=0.0
    )
    if UPCAST:
        q = q.to(tl.float32)
    place = tl.arange(0, PLACES)
    # Empty places differ from one another; those beyond KEPT never give way.
    best = tl.full([QUERIES, PLACES], NOTHING - 1, tl.int64) - place[None, :].to(tl.int64)
    best = tl.where((place < KEPT)[None, :], best, tl.full([QUERIES, PLACES], 2**62, tl.int64))
    for first in range(0, n_k, AT_ONCE):
        at = first + tl.arange(0, AT_ONCE)
        real = at < n_k
        if PADDED:
            real = real & (tl.load(WEIGHT + b * weight_b + k_row + at, mask=real, other=float("-inf")) >= 0.0)
        k = tl.load(
            KEYS + b * k_b + h * k_h + (k_row + at)[:, None] * D + d[None, :], mask=(at < n_k)[:, None], other=0.0
        )
        if UPCAST:
            k = k.to(tl.float32)
        scores = packed(tl.dot(q, tl.trans(k), input_precision="ieee"), at[None, :])
        scores = tl.where(real[None, :], scores, NOTHING)
        for _ in tl.static_range(KEPT):
            found = tl.max(scores, 1)
            scores = tl.where(scores == found[:, None], NOTHING, scores)
            least = tl.min(best, 1)
            best = tl.where((best == least[:, None]) & (found > least)[:, None], found[:, None], best)
    at = (b * picks_b + h * picks_h) + (row + query) * KEPT
    inside = query < n_q
    count = tl.zeros([QUERIES], tl.int32)
    best = tl.where((place < KEPT)[None, :], best, NOTHING)
    for j in tl.static_range(KEPT):
        found = tl.max(best, 1)
        tl.store(PICKS + at + j, tl.where(found > NOTHING, unpacked(found), 0), mask=inside)
        best = tl.where(best == found[:, None], NOTHING, best)
        count += (found > NOTHING).to(tl.int32)
    if PADDED:
        tl.store(COUNTS + at // KEPT, count, mask=inside)


@triton.jit
def pick_below(
    Q, KEYS, WEIGHT, PICKS, COUNTS,  # as above
    q_b, q_h, k_b, k_h, weight_b, picks_b, picks_h, heads, q_row, k_row, n_q, n_k, parent_row, row,
    D: tl.constexpr, KEPT: tl.constexpr, CANDIDATES: tl.constexpr, PADDED: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Sixteen siblings pick among the children of what their parent picked; a program is one parent."""
    parent = tl.program_id(0)
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    d = tl.arange(0, D)
    PICKS += b * picks_b + h * picks_h
    COUNTS += (b * picks_b + h * picks_h) // KEPT
    query = parent * 16 + tl.arange(0, 16)
    q = tl.load(
        Q + b * q_b + h * q_h + (q_row + query)[:, None] * D + d[None, :], mask=(query < n_q)[:, None], other=0.0
    )
    c = tl.arange(0, CANDIDATES)
    slot = c // 16
    width = tl.minimum(KEPT, (n_k + 15) // 16)
    if PADDED:
        width = tl.load(COUNTS + parent_row + parent)
    real = slot < width
    key = tl.load(PICKS + (parent_row + parent) * KEPT + slot, mask=real, other=0) * 16 + c % 16
    real = real & (key < n_k)
    if PADDED:
        real = real & (tl.load(WEIGHT + b * weight_b + k_row + key, mask=real, other=float("-inf")) >= 0.0)
    k = tl.load(KEYS + b * k_b + h * k_h + (k_row + key)[:, None] * D + d[None, :], mask=real[:, None], other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
        k = k.to(tl.float32)
    scores = packed(tl.dot(q, tl.trans(k), input_precision="ieee"), key[None, :])
    scores = tl.where(real[None, :], scores, NOTHING)
    count = tl.zeros([16], tl.int32)
    inside = query < n_q
    for j in tl.static_range(KEPT):
        found = tl.max(scores, 1)
        scores = tl.where(scores == found[:, None], NOTHING, scores)
        tl.store(PICKS + (row + query) * KEPT + j, tl.where(found > NOTHING, unpacked(found), 0), mask=inside)
        count += (found > NOTHING).to(tl.int32)
    if PADDED:
        tl.store(COUNTS + row + query, count, mask=inside)


@triton.jit
def packed(scores, at):
    """Scores in fp32 and indices as int64 that compare as the scores do, and then as lower indices first."""
    bits = scores.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    # A quarter of the range each side of zero, so that markers lie below every score.
    return (ordered.to(tl.int64) << 30) | (0x3FFFFFFF - at).to(tl.int64)


@triton.jit
def unpacked(found):
    """The indices of packed scores."""
    return (0x3FFFFFFF - (found & 0x3FFFFFFF)).to(tl.int32)
