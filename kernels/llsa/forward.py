"""The Triton kernel of LLSA's forward: a tile of queries against picked tokens and all of its summaries.

Coarse keys are the same for the whole tile: products of 64 queries or more at once. Fine keys differ from one
block of 16 queries to the next: a batch of small products, one block to a warp. One softmax, one pass, one launch.

Layout legend: B batch, H heads, L queries, K keys, M rows of the tables of summaries, R rows of picks, D head dim,
G query blocks of a tile.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from chatdit.kernels.llsa.walk import body_token, coarse_keys, coarse_steps, expanded, fine_keys


@triton.jit
def llsa_forward(  # noqa: C901 - branches are compiled away; a kernel is one function
    Q, K, V, OUT, LSE,  # (B, H, L, D), (B, H, K, D) twice, (B, H, L, D), (B, H, L) fp32
    COARSE_K, COARSE_V, BIAS, PICKS, COUNTS,  # (B, H, M, D) twice, (B|1, M) fp32, (B, H, R, KEPT), (B, H, R)
    Q_TOKENS, K_TOKENS, TEXT, KEY_LENGTHS,  # (L,), (K,), (text,), (B,)
    q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, o_b, o_h, o_l, lse_b, c_b, c_h, bias_b, picks_b, picks_h,
    heads, n_q, n_k, q_start, k_start, n_text, scale_log2,
    D: tl.constexpr, KEPT: tl.constexpr, LEVELS: tl.constexpr, TILE: tl.constexpr, FINE: tl.constexpr,
    COARSE: tl.constexpr, Q_ORDERED: tl.constexpr, K_ORDERED: tl.constexpr, EVEN: tl.constexpr,
    HAS_COUNTS: tl.constexpr, HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    h = (tl.program_id(1) % heads).to(tl.int64)
    b = (tl.program_id(1) // heads).to(tl.int64)
    G: tl.constexpr = TILE // 16
    d = tl.arange(0, D)
    Q += b * q_b + h * q_h
    K += b * k_b + h * k_h
    V += b * v_b + h * v_h
    COARSE_K += b * c_b + h * c_h
    COARSE_V += b * c_b + h * c_h
    BIAS += b * bias_b
    PICKS += b * picks_b + h * picks_h
    COUNTS += (b * picks_b + h * picks_h) // KEPT
    length = tl.load(KEY_LENGTHS + b) if HAS_LENGTHS else 0

    # Fine keys: (G, 16, D) queries, one block's own keys for each.
    block = tile * G + tl.arange(0, G)
    blocks = (n_q + 15) // 16
    at = block[:, None] * 16 + tl.arange(0, 16)[None, :]
    token = body_token(at, q_start, Q_TOKENS, at < n_q, Q_ORDERED)
    q3 = tl.load(Q + token[:, :, None] * q_l + d[None, None, :], mask=(at < n_q)[:, :, None], other=0.0)
    if UPCAST:
        q3 = q3.to(tl.float32)
    top3 = tl.full([G, 16], float("-inf"), tl.float32)
    total3 = tl.zeros([G, 16], tl.float32)
    acc3 = tl.zeros([G, 16, D], tl.float32)
    for j in tl.range(0, KEPT, FINE, num_stages=STAGES):
        position, real = fine_keys(
            PICKS, COUNTS, block, blocks, j, tl.minimum(KEPT, (n_k + 15) // 16), n_k, KEPT, FINE, HAS_COUNTS, EVEN
        )
        fine_token = body_token(position, k_start, K_TOKENS, real, K_ORDERED)
        if HAS_LENGTHS:
            real = real & (fine_token < length)
        k3 = tl.load(K + fine_token[:, :, None] * k_l + d[None, None, :], mask=real[:, :, None], other=0.0)
        v3 = tl.load(V + fine_token[:, :, None] * v_l + d[None, None, :], mask=real[:, :, None], other=0.0)
        if UPCAST:
            k3 = k3.to(tl.float32)
            v3 = v3.to(tl.float32)
        logits3 = tl.dot(q3, tl.permute(k3, (0, 2, 1)), input_precision="ieee") * scale_log2
        if not EVEN or KEPT % FINE != 0:
            logits3 = tl.where(real[:, None, :], logits3, float("-inf"))
        new3 = tl.maximum(top3, tl.max(logits3, 2))
        safe3 = tl.where(new3 == float("-inf"), 0.0, new3)
        shares3 = tl.exp2(logits3 - safe3[:, :, None])
        shrink3 = tl.exp2(top3 - safe3)
        total3 = total3 * shrink3 + tl.sum(shares3, 2)
        acc3 = acc3 * shrink3[:, :, None]
        acc3 = tl.dot(shares3.to(v3.dtype), v3, acc3, input_precision="ieee")
        top3 = new3

    # Coarse keys, the same for all queries of the tile.
    at = tile * TILE + tl.arange(0, TILE)
    inside = at < n_q
    token = body_token(at, q_start, Q_TOKENS, inside, Q_ORDERED)
    q = tl.load(Q + token[:, None] * q_l + d[None, :], mask=inside[:, None], other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
    top = tl.reshape(top3, [TILE])
    total = tl.reshape(total3, [TILE])
    acc = tl.reshape(acc3, [TILE, D])
    for step in tl.range(0, coarse_steps(n_k, KEPT, LEVELS, COARSE), num_stages=STAGES):
        row, summary, real, level = coarse_keys(
            PICKS, COUNTS, step, tile * G, n_q, n_k, KEPT, LEVELS, COARSE, HAS_COUNTS
        )
        k = tl.load(COARSE_K + row[:, None] * D + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(COARSE_V + row[:, None] * D + d[None, :], mask=real[:, None], other=0.0)
        bias = tl.load(BIAS + row, mask=real, other=float("-inf")) * 1.4426950408889634
        if UPCAST:
            k = k.to(tl.float32)
            v = v.to(tl.float32)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2 + bias[None, :]
        if EXCLUDE:
            met = expanded(PICKS, COUNTS, summary, level, at // 16, n_q, n_k, KEPT, LEVELS, HAS_COUNTS)
            logits = tl.where(met, float("-inf"), logits)
        top, total, acc = join(logits, v, top, total, acc)
    for first in range(0, n_text, COARSE):
        t = first + tl.arange(0, COARSE)
        real = t < n_text
        token_k = tl.load(TEXT + t, mask=real, other=0)
        if HAS_LENGTHS:
            real = real & (token_k < length)
        k = tl.load(K + token_k[:, None] * k_l + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(V + token_k[:, None] * v_l + d[None, :], mask=real[:, None], other=0.0)
        if UPCAST:
            k = k.to(tl.float32)
            v = v.to(tl.float32)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        top, total, acc = join(tl.where(real[None, :], logits, float("-inf")), v, top, total, acc)

    norm = tl.where(total == 0.0, 1.0, total)
    out = acc / norm[:, None]
    tl.store(
        OUT + b * o_b + h * o_h + token[:, None] * o_l + d[None, :], out.to(OUT.dtype.element_ty), mask=inside[:, None]
    )
    lse = tl.where(total == 0.0, float("-inf"), (top + tl.log2(norm)) * 0.6931471805599453)
    tl.store(LSE + b * lse_b * heads + h * lse_b + token, lse, mask=inside)


@triton.jit
def join(logits, v, top, total, acc):
    """One more step of the running softmax, logits (rows, keys) to the base 2."""
    new = tl.maximum(top, tl.max(logits, 1))
    safe = tl.where(new == float("-inf"), 0.0, new)
    shares = tl.exp2(logits - safe[:, None])
    shrink = tl.exp2(top - safe)
    total = total * shrink + tl.sum(shares, 1)
    acc = tl.dot(shares.to(v.dtype), v, acc * shrink[:, None], input_precision="ieee")
    return new, total, acc
