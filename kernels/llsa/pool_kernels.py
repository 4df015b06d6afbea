"""Triton kernels of pooling: one pass over q, k and v that writes two levels of means, and its gradient.

Layout legend: B batch, H heads, L tokens, N entries of the level that is pooled, M rows of a table of summaries,
D head dim. A program pools 256 entries into 16 summaries and these into one.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from chatdit.kernels.llsa.walk import body_token


@triton.jit
def pool_kernel(
    X0, X1, X2, T0, T1, T2,  # q, k, v (B, H, L, D) or sums of a level below; their tables (B, H, M, D)
    x0_b, x0_h, x0_l, x1_b, x1_h, x1_l, x2_b, x2_h, x2_l, t0_b, t0_h, t1_b, t1_h,
    n0, n1, start0, start1, TOKENS0, TOKENS1, KEY_LENGTHS,  # body lengths, first tokens, (N,) tokens twice, (B,)
    WEIGHT, weight_b, COUNTS, count_b, UPPER, UPPER_COUNTS,  # (B, M), (2, B, N), (3, B·H, upper, D), (2, B, upper)
    row0, row1, upper, heads, batch,
    FIRST: tl.constexpr, D: tl.constexpr, TWO: tl.constexpr, HAS_UPPER: tl.constexpr, FROM_SUMS: tl.constexpr,
    ORDERED0: tl.constexpr, ORDERED1: tl.constexpr, HAS_LENGTHS: tl.constexpr,
):  # fmt: skip
    """Queries (0), keys (1) and values (2), from number FIRST on; keys and values share their axis."""
    which = tl.program_id(2) + FIRST
    if which == 0:
        _pool(
            X0, T0, x0_b, x0_h, x0_l, t0_b, t0_h, n0, start0, TOKENS0, KEY_LENGTHS, WEIGHT, weight_b, COUNTS, count_b,
            UPPER, UPPER_COUNTS, row0, upper, heads, batch, 0,
            D, TWO, HAS_UPPER, FROM_SUMS, False, ORDERED0, False,
        )  # fmt: skip
    elif which == 1:
        _pool(
            X1, T1, x1_b, x1_h, x1_l, t1_b, t1_h, n1, start1, TOKENS1, KEY_LENGTHS, WEIGHT, weight_b, COUNTS, count_b,
            UPPER, UPPER_COUNTS, row1, upper, heads, batch, 1,
            D, TWO, HAS_UPPER, FROM_SUMS, True, ORDERED1, HAS_LENGTHS,
        )  # fmt: skip
    else:
        _pool(
            X2, T2, x2_b, x2_h, x2_l, t1_b, t1_h, n1, start1, TOKENS1, KEY_LENGTHS, WEIGHT, weight_b, COUNTS, count_b,
            UPPER, UPPER_COUNTS, row1, upper, heads, batch, 2,
            D, TWO, HAS_UPPER, FROM_SUMS, FIRST == 2, ORDERED1, HAS_LENGTHS,
        )  # fmt: skip


@triton.jit
def _pool(  # noqa: C901 - branches are compiled away; a kernel is one function
    X, T, x_b, x_h, x_l, t_b, t_h, n, start, TOKENS, KEY_LENGTHS, WEIGHT, weight_b, COUNTS,
    count_b, UPPER, UPPER_COUNTS, first_row, upper, heads, batch, which: tl.constexpr,
    D: tl.constexpr, TWO: tl.constexpr, HAS_UPPER: tl.constexpr, FROM_SUMS: tl.constexpr, WEIGH: tl.constexpr,
    ORDERED: tl.constexpr, HAS_LENGTHS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    if tile * 256 < n:
        h = (tl.program_id(1) % heads).to(tl.int64)
        b = (tl.program_id(1) // heads).to(tl.int64)
        side: tl.constexpr = 0 if which == 0 else 1  # pyright: ignore[reportAssignmentType]
        d = tl.arange(0, D)
        summary = tile * 16 + tl.arange(0, 16)
        size = (n + 15) // 16
        total = tl.zeros([16, D], tl.float32)
        count = tl.zeros([16], tl.float32)
        for w in tl.static_range(16):
            at = summary * 16 + w
            real = at < n
            token = body_token(at, start, TOKENS, real, ORDERED)
            if HAS_LENGTHS and not FROM_SUMS:
                real = real & (token < tl.load(KEY_LENGTHS + b))
            x = tl.load(X + b * x_b + h * x_h + token[:, None] * x_l + d[None, :], mask=real[:, None], other=0.0)
            total += x.to(tl.float32)
            if FROM_SUMS:
                count += tl.load(COUNTS + (side * batch + b) * count_b + at, mask=real, other=0.0)
            else:
                count += real.to(tl.float32)
        inside = summary < size
        out = T + b * t_b + h * t_h
        mean = total / tl.maximum(count, 1.0)[:, None]
        row = first_row + summary
        tl.store(out + row[:, None] * D + d[None, :], mean.to(T.dtype.element_ty), mask=inside[:, None])
        if WEIGH:  # noqa: SIM102 - the outer one is decided when compiled
            if h == 0:
                tl.store(WEIGHT + b * weight_b + row, tl.log(count), mask=inside)
        if TWO:
            above = tl.sum(total, 0)
            above_count = tl.sum(count, 0)
            row_above = first_row + size + tile
            mean_above = above / tl.maximum(above_count, 1.0)
            tl.store(out + row_above * D + d, mean_above.to(T.dtype.element_ty))
            if WEIGH:  # noqa: SIM102 - the outer one is decided when compiled
                if h == 0:
                    tl.store(WEIGHT + b * weight_b + row_above, tl.log(above_count))
            if HAS_UPPER:
                entry = (which * batch + b) * heads + h
                tl.store(UPPER + (entry * upper + tile) * D + d, above)
                if h == 0:
                    tl.store(UPPER_COUNTS + (side * batch + b) * upper + tile, above_count)


@triton.jit
def spread_kernel(
    G0, G1, OUT0, OUT1, WEIGHT, TOKENS, KEY_LENGTHS,  # (B, H, M, D) twice; (B, H, L, D) twice; (B, M); (N,); (B,)
    g_b, g_h, o0_b, o0_h, o0_l, o1_b, o1_h, o1_l, weight_b, n, start, heads,
    D: tl.constexpr, LEVELS: tl.constexpr, ORDERED: tl.constexpr, HAS_LENGTHS: tl.constexpr,
):  # fmt: skip
    """The gradient of pooling: each token gets, from every level, its summary's gradient over its count."""
    if tl.program_id(2) == 0:
        _spread(
            G0, OUT0, o0_b, o0_h, o0_l, WEIGHT, TOKENS, KEY_LENGTHS, g_b, g_h, weight_b, n, start, heads,
            D, LEVELS, ORDERED, HAS_LENGTHS,
        )  # fmt: skip
    else:
        _spread(
            G1, OUT1, o1_b, o1_h, o1_l, WEIGHT, TOKENS, KEY_LENGTHS, g_b, g_h, weight_b, n, start, heads,
            D, LEVELS, ORDERED, HAS_LENGTHS,
        )  # fmt: skip


@triton.jit
def _spread(
    G, OUT, o_b, o_h, o_l, WEIGHT, TOKENS, KEY_LENGTHS, g_b, g_h, weight_b, n, start, heads,
    D: tl.constexpr, LEVELS: tl.constexpr, ORDERED: tl.constexpr, HAS_LENGTHS: tl.constexpr,
):  # fmt: skip
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    d = tl.arange(0, D)
    block = tl.program_id(0) * 16 + tl.arange(0, 16)
    G += b * g_b + h * g_h
    WEIGHT += b * weight_b
    total = tl.zeros([16, D], tl.float32)
    above = block
    size = (n + 15) // 16
    before = size * 0
    for _ in tl.static_range(LEVELS):
        row = before + above
        inside = above < size
        weight = tl.load(WEIGHT + row, mask=inside, other=float("-inf"))
        share = tl.where(weight == float("-inf"), 0.0, tl.exp(-weight))
        total += (
            tl.load(G + row[:, None] * D + d[None, :], mask=inside[:, None], other=0.0).to(tl.float32) * share[:, None]
        )
        before += size
        size = (size + 15) // 16
        above = above // 16
    for w in tl.static_range(16):
        at = block * 16 + w
        real = at < n
        token = body_token(at, start, TOKENS, real, ORDERED)
        met = real
        if HAS_LENGTHS:
            met = real & (token < tl.load(KEY_LENGTHS + b))
        value = tl.where(met[:, None], total, 0.0)
        tl.store(
            OUT + b * o_b + h * o_h + token[:, None] * o_l + d[None, :], value.to(OUT.dtype.element_ty),
            mask=real[:, None],
        )  # fmt: skip
