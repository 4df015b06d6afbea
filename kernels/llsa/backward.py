"""The Triton kernels of LLSA's backward: gradients of queries along the rows, of keys along the reverse index.

Shares are worked out again from the LSE. Nothing is added atomically: a program owns what it writes, and where many
queries meet one key, their sums are split in a fixed way and joined afterwards, so that results repeat bit for bit.

Layout legend: B batch, H heads, L queries, K keys, M rows of the tables of summaries, R rows of picks, D head dim,
G query blocks of a tile, E entries of the reverse index.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from chatdit.kernels.llsa.walk import body_token, coarse_keys, coarse_steps, expanded, fine_keys

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def llsa_grad_queries(  # noqa: C901 - branches are compiled away; a kernel is one function
    Q, K, V, OUT, LSE, D_OUT, D_LSE, D_Q, DELTA,  # (B, H, L, D) etc.; LSE, D_LSE, DELTA (B, H, L) fp32
    COARSE_K, COARSE_V, BIAS, PICKS, COUNTS, Q_TOKENS, K_TOKENS, TEXT, KEY_LENGTHS,  # as in the forward
    q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, o_b, o_h, o_l, do_b, do_h, do_l, dq_b, dq_h, dq_l, lse_b,
    c_b, c_h, bias_b, picks_b, picks_h, heads, n_q, n_k, q_start, k_start, n_text, scale,
    D: tl.constexpr, KEPT: tl.constexpr, LEVELS: tl.constexpr, TILE: tl.constexpr, FINE: tl.constexpr,
    COARSE: tl.constexpr, Q_ORDERED: tl.constexpr, K_ORDERED: tl.constexpr, EVEN: tl.constexpr,
    HAS_COUNTS: tl.constexpr, HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    G: tl.constexpr = TILE // 16
    scale_log2 = scale * LOG2E
    d = tl.arange(0, D)
    Q += b * q_b + h * q_h
    K += b * k_b + h * k_h
    V += b * v_b + h * v_h
    D_OUT += b * do_b + h * do_h
    COARSE_K += b * c_b + h * c_h
    COARSE_V += b * c_b + h * c_h
    BIAS += b * bias_b
    PICKS += b * picks_b + h * picks_h
    COUNTS += (b * picks_b + h * picks_h) // KEPT
    lse_at = (b * heads + h) * lse_b
    length = tl.load(KEY_LENGTHS + b) if HAS_LENGTHS else 0

    at = tile * TILE + tl.arange(0, TILE)
    inside = at < n_q
    token = body_token(at, q_start, Q_TOKENS, inside, Q_ORDERED)
    d_out = tl.load(D_OUT + token[:, None] * do_l + d[None, :], mask=inside[:, None], other=0.0)
    out = tl.load(OUT + b * o_b + h * o_h + token[:, None] * o_l + d[None, :], mask=inside[:, None], other=0.0)
    delta = tl.sum(d_out.to(tl.float32) * out.to(tl.float32), 1)
    delta -= tl.load(D_LSE + lse_at + token, mask=inside, other=0.0)
    tl.store(DELTA + lse_at + token, delta, mask=inside)
    lse = tl.load(LSE + lse_at + token, mask=inside, other=0.0)
    lse = tl.where(lse == float("-inf"), 0.0, lse) * LOG2E

    block = tile * G + tl.arange(0, G)
    blocks = (n_q + 15) // 16
    at3 = block[:, None] * 16 + tl.arange(0, 16)[None, :]
    token3 = body_token(at3, q_start, Q_TOKENS, at3 < n_q, Q_ORDERED)
    real3 = (at3 < n_q)[:, :, None]
    q3 = tl.load(Q + token3[:, :, None] * q_l + d[None, None, :], mask=real3, other=0.0)
    d_out3 = tl.load(D_OUT + token3[:, :, None] * do_l + d[None, None, :], mask=real3, other=0.0)
    if UPCAST:
        q3 = q3.to(tl.float32)
        d_out3 = d_out3.to(tl.float32)
    lse3 = tl.reshape(lse, [G, 16])
    delta3 = tl.reshape(delta, [G, 16])
    acc3 = tl.zeros([G, 16, D], tl.float32)
    for j in tl.range(0, KEPT, FINE, num_stages=STAGES):
        position, real = fine_keys(
            PICKS, COUNTS, block, blocks, j, tl.minimum(KEPT, (n_k + 15) // 16), n_k, KEPT, FINE, HAS_COUNTS, EVEN
        )
        key = body_token(position, k_start, K_TOKENS, real, K_ORDERED)
        if HAS_LENGTHS:
            real = real & (key < length)
        k3 = tl.load(K + key[:, :, None] * k_l + d[None, None, :], mask=real[:, :, None], other=0.0)
        v3 = tl.load(V + key[:, :, None] * v_l + d[None, None, :], mask=real[:, :, None], other=0.0)
        if UPCAST:
            k3 = k3.to(tl.float32)
            v3 = v3.to(tl.float32)
        logits3 = tl.dot(q3, tl.permute(k3, (0, 2, 1)), input_precision="ieee") * scale_log2
        if not EVEN or KEPT % FINE != 0:
            logits3 = tl.where(real[:, None, :], logits3, float("-inf"))
        shares3 = tl.exp2(logits3 - lse3[:, :, None])
        d_shares3 = tl.dot(d_out3, tl.permute(v3, (0, 2, 1)), input_precision="ieee")
        d_logits3 = shares3 * (d_shares3 - delta3[:, :, None])
        acc3 = tl.dot(d_logits3.to(k3.dtype), k3, acc3, input_precision="ieee")

    q = tl.load(Q + token[:, None] * q_l + d[None, :], mask=inside[:, None], other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
        d_out = d_out.to(tl.float32)
    acc = tl.reshape(acc3, [TILE, D])
    for step in tl.range(0, coarse_steps(n_k, KEPT, LEVELS, COARSE), num_stages=STAGES):
        row, summary, real, level = coarse_keys(
            PICKS, COUNTS, step, tile * G, n_q, n_k, KEPT, LEVELS, COARSE, HAS_COUNTS
        )
        k = tl.load(COARSE_K + row[:, None] * D + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(COARSE_V + row[:, None] * D + d[None, :], mask=real[:, None], other=0.0)
        bias = tl.load(BIAS + row, mask=real, other=float("-inf")) * LOG2E
        if UPCAST:
            k = k.to(tl.float32)
            v = v.to(tl.float32)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2 + bias[None, :]
        if EXCLUDE:
            met = expanded(PICKS, COUNTS, summary, level, at // 16, n_q, n_k, KEPT, LEVELS, HAS_COUNTS)
            logits = tl.where(met, float("-inf"), logits)
        shares = tl.exp2(logits - lse[:, None])
        d_logits = shares * (tl.dot(d_out, tl.trans(v), input_precision="ieee") - delta[:, None])
        acc = tl.dot(d_logits.to(k.dtype), k, acc, input_precision="ieee")
    for first in range(0, n_text, COARSE):
        t = first + tl.arange(0, COARSE)
        real = t < n_text
        key = tl.load(TEXT + t, mask=real, other=0)
        if HAS_LENGTHS:
            real = real & (key < length)
        k = tl.load(K + key[:, None] * k_l + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(V + key[:, None] * v_l + d[None, :], mask=real[:, None], other=0.0)
        if UPCAST:
            k = k.to(tl.float32)
            v = v.to(tl.float32)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        shares = tl.exp2(tl.where(real[None, :], logits, float("-inf")) - lse[:, None])
        d_logits = shares * (tl.dot(d_out, tl.trans(v), input_precision="ieee") - delta[:, None])
        acc = tl.dot(d_logits.to(k.dtype), k, acc, input_precision="ieee")
    tl.store(
        D_Q + b * dq_b + h * dq_h + token[:, None] * dq_l + d[None, :], (acc * scale).to(D_Q.dtype.element_ty),
        mask=inside[:, None],
    )  # fmt: skip


@triton.jit
def llsa_grad_keys(
    Q, K, V, D_OUT, LSE, DELTA, BIAS, D_K, D_V,  # keys and values: tokens or a table; D_K, D_V like them, or parts
    ENTRIES, EDGES, PICKS, COUNTS, Q_TOKENS, K_TOKENS, KEY_LENGTHS,  # (E,) int64, (B·H·M + 1,); as in the forward
    q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, do_b, do_h, do_l, lse_b, bias_b, picks_b, picks_h,
    dk_s, dk_b, dk_h, dk_l, dv_s, dv_b, dv_h, dv_l,
    heads, n_q, n_keys, n_k, q_start, k_start, key_row, edge_row, edge_rows, pick_row, pick_rows, level, span, splits,
    scale,
    D: tl.constexpr, KEPT: tl.constexpr, LEVELS: tl.constexpr, KEYS: tl.constexpr, QUERIES: tl.constexpr,
    LISTED: tl.constexpr, SUMMARIES: tl.constexpr, Q_ORDERED: tl.constexpr, K_ORDERED: tl.constexpr,
    HAS_COUNTS: tl.constexpr, HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, SPLIT: tl.constexpr,
    UPCAST: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of KEYS keys and values: from the rows that the reverse index lists, or from every query.

    Listed rows are of `span` queries. Of S splits, each takes a stretch of the queries.
    """
    tile = tl.program_id(0)
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    split = tl.program_id(2)
    scale_log2 = scale * LOG2E
    d = tl.arange(0, D)
    Q += b * q_b + h * q_h
    D_OUT += b * do_b + h * do_h
    PICKS += b * picks_b + h * picks_h
    COUNTS += (b * picks_b + h * picks_h) // KEPT
    lse_at = (b * heads + h) * lse_b

    at = tile * KEYS + tl.arange(0, KEYS)
    real = at < n_keys
    token = body_token(at, k_start, K_TOKENS, real, K_ORDERED)
    met = real
    if HAS_LENGTHS:
        met = real & (token < tl.load(KEY_LENGTHS + b))
    row = key_row + token
    k = tl.load(K + b * k_b + h * k_h + row[:, None] * k_l + d[None, :], mask=met[:, None], other=0.0)
    v = tl.load(V + b * v_b + h * v_h + row[:, None] * v_l + d[None, :], mask=met[:, None], other=0.0)
    if UPCAST:
        k = k.to(tl.float32)
        v = v.to(tl.float32)
    bias = tl.zeros([KEYS], tl.float32)
    if SUMMARIES:
        bias = tl.load(BIAS + b * bias_b + row, mask=met, other=float("-inf")) * LOG2E
    bias = tl.where(met, bias, float("-inf"))
    queries = n_q
    entry = split.to(tl.int64) * 0
    if LISTED:
        edge = (b * heads + h) * edge_rows + edge_row + tile
        entry = tl.load(EDGES + edge)
        queries = ((tl.load(EDGES + edge + 1) - entry) * span).to(tl.int32)
    steps = (queries + QUERIES - 1) // QUERIES
    each = (steps + splits - 1) // splits
    d_k = tl.zeros([KEYS, D], tl.float32)
    d_v = tl.zeros([KEYS, D], tl.float32)
    for step in tl.range(split * each, tl.minimum(steps, split * each + each), num_stages=STAGES):
        number = step * QUERIES + tl.arange(0, QUERIES)
        inside = number < queries
        position = number
        if LISTED:
            listed = tl.load(ENTRIES + entry + number // span, mask=inside, other=0)
            picking = ((listed // KEPT) % pick_rows).to(tl.int32) - pick_row
            position = picking * span + number % span
            inside = inside & (position < n_q)
        q_token = body_token(position, q_start, Q_TOKENS, inside, Q_ORDERED)
        q = tl.load(Q + q_token[:, None] * q_l + d[None, :], mask=inside[:, None], other=0.0)
        d_out = tl.load(D_OUT + q_token[:, None] * do_l + d[None, :], mask=inside[:, None], other=0.0)
        lse = tl.load(LSE + lse_at + q_token, mask=inside, other=float("inf"))
        lse = tl.where(lse == float("-inf"), float("inf"), lse) * LOG2E
        delta = tl.load(DELTA + lse_at + q_token, mask=inside, other=0.0)
        if UPCAST:
            q = q.to(tl.float32)
            d_out = d_out.to(tl.float32)
        logits = tl.dot(k, tl.trans(q), input_precision="ieee") * scale_log2 + bias[:, None]
        if EXCLUDE:
            detail = expanded(PICKS, COUNTS, at, level, position // 16, n_q, n_k, KEPT, LEVELS, HAS_COUNTS)
            logits = tl.where(tl.trans(detail), float("-inf"), logits)
        shares = tl.exp2(logits - lse[None, :])
        d_shares = tl.dot(v, tl.trans(d_out), input_precision="ieee")
        d_logits = shares * (d_shares - delta[None, :])
        d_v = tl.dot(shares.to(d_out.dtype), d_out, d_v, input_precision="ieee")
        d_k = tl.dot(d_logits.to(q.dtype), q, d_k, input_precision="ieee")
    if SPLIT:
        row = at
    dk_at = D_K + split * dk_s + b * dk_b + h * dk_h + row[:, None] * dk_l + d[None, :]
    dv_at = D_V + split * dv_s + b * dv_b + h * dv_h + row[:, None] * dv_l + d[None, :]
    tl.store(dk_at, (d_k * scale).to(D_K.dtype.element_ty), mask=real[:, None])
    tl.store(dv_at, d_v.to(D_V.dtype.element_ty), mask=real[:, None])
