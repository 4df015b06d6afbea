"""The Triton kernels of the backward of any plan, one launch of each for a source of keys.

Gradients of queries are summed along the rows, those of keys and values along the reverse index: a program owns what
it writes, and nothing is added atomically. Shares are worked out again from the LSE. Arguments as in the forward.

Layout legend: B batch, H heads, L queries, K entries of a source's key table, D head dim, E entries of the reverse
index, S splits of the queries.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from chatdit.kernels.blocks.walk import allowed, not_expanded, places

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def grad_queries(
    Q, K, V, BIAS, LSE, D_OUT, DELTA, D_Q, HEADS, GROUPS, TILE_ROW, TILE_START, TILE_STOP, tile_pb, tile_pg,
    Q_TOKEN, Q_NUMBER, q_pb, q_pg, K_TOKEN, K_NUMBER, k_pb, k_pg, OFFSETS, off_pb, off_pg,
    INDICES, BEGIN, COUNT, row_pb, row_pg, share, FINER, F_BEGIN, F_COUNT, f_pb, f_pg, f_share, KEY_LENGTHS,
    DOC_Q, DOC_K, doc_q_b, doc_k_b, q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, bias_b, bias_h,
    do_b, do_h, do_l, lse_b, lse_h,
    scale, q_start, q_body, k_start, k_body, height, width, radius, reach_f, reach_h, reach_w,
    D: tl.constexpr, TILE: tl.constexpr, KEYS: tl.constexpr, Q_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    ALL: tl.constexpr, Q_PLAIN: tl.constexpr, K_PLAIN: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Adds to D_Q (B, H, L, D) fp32, contiguous, what one source gives."""
    tile = tl.program_id(0)
    h_at = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    h = tl.load(HEADS + h_at).to(tl.int64)
    g = tl.load(GROUPS + h_at).to(tl.int64)
    if Q_BLOCK > 0:
        per_row: tl.constexpr = (Q_BLOCK + TILE - 1) // TILE
        row = tile // per_row
        start = row * Q_BLOCK + tile % per_row * TILE
        stop = tl.minimum(tl.minimum(start + TILE, row * Q_BLOCK + Q_BLOCK), q_body)
    else:
        t_at = b * tile_pb + g * tile_pg + tile
        start = tl.load(TILE_START + t_at).to(tl.int32)
        stop = tl.load(TILE_STOP + t_at).to(tl.int32)
        row = tl.load(TILE_ROW + t_at).to(tl.int32)
    if start < stop:
        q_pos = start + tl.arange(0, TILE)
        q_real = q_pos < stop
        q_token, q_number = places(q_pos, q_start, Q_TOKEN, Q_NUMBER, b * q_pb + g * q_pg, q_real, Q_PLAIN, RULE)
        d = tl.arange(0, D)
        wide = q_token.to(tl.int64)[:, None]
        q = tl.load(Q + b * q_b + h * q_h + wide * q_l + d[None, :], mask=q_real[:, None], other=0.0)
        d_out = tl.load(D_OUT + b * do_b + h * do_h + wide * do_l + d[None, :], mask=q_real[:, None], other=0.0)
        if UPCAST:
            q = q.to(tl.float32)
            d_out = d_out.to(tl.float32)
        lse_at = b * lse_b + h * lse_h + q_token
        lse = tl.load(LSE + lse_at, mask=q_real, other=0.0)
        lse = tl.where(lse == float("-inf"), 0.0, lse) * LOG2E
        delta = tl.load(DELTA + lse_at, mask=q_real, other=0.0)
        K += b * k_b + h * k_h
        V += b * v_b + h * v_h
        BIAS += b * bias_b + h * bias_h
        k_at = b * k_pb + g * k_pg
        length = tl.load(KEY_LENGTHS + b).to(tl.int32) if HAS_LENGTHS else 0
        f_at = b * f_pb + g * f_pg + row // f_share
        doc_q = DOC_Q + b * doc_q_b
        doc_k = DOC_K + b * doc_k_b
        acc = tl.zeros([TILE, D], tl.float32)
        if ALL:
            entries = (k_body + KEYS - 1) // KEYS
        else:
            entry = tl.load(BEGIN + b * row_pb + g * row_pg + row // share)
            entries = tl.load(COUNT + b * row_pb + g * row_pg + row // share).to(tl.int32)
        key = tl.arange(0, KEYS)
        if BLOCK > 0:
            for step in tl.range(0, (entries * BLOCK + KEYS - 1) // KEYS, num_stages=STAGES):
                if ALL:
                    k_pos = step * KEYS + key
                    real = k_pos < k_body
                else:
                    slot = (step * KEYS + key) // BLOCK
                    real = slot < entries
                    block = tl.load(INDICES + entry + slot, mask=real, other=0)
                    k_pos = block * BLOCK + (step * KEYS + key) % BLOCK
                    real = real & (k_pos < k_body)
                acc = grad_step(
                    q, d_out, lse, delta, q_number, q_real, k_pos, real, acc, K, V, BIAS, K_TOKEN, K_NUMBER, k_at,
                    k_start, length, FINER, F_BEGIN, F_COUNT, f_at, doc_q, doc_k, k_l, v_l, scale, height, width,
                    radius, reach_f, reach_h, reach_w, d, K_PLAIN, RULE, HAS_BIAS, HAS_LENGTHS, EXCLUDE, UPCAST,
                )  # fmt: skip
        else:
            for e in range(0, entries):
                block = tl.load(INDICES + entry + e)
                first = tl.load(OFFSETS + b * off_pb + g * off_pg + block).to(tl.int32)
                last = tl.load(OFFSETS + b * off_pb + g * off_pg + block + 1).to(tl.int32)
                for at in tl.range(first, last, KEYS, num_stages=STAGES):
                    acc = grad_step(
                        q, d_out, lse, delta, q_number, q_real, at + key, at + key < last, acc, K, V, BIAS, K_TOKEN,
                        K_NUMBER, k_at, k_start, length, FINER, F_BEGIN, F_COUNT, f_at, doc_q, doc_k, k_l, v_l, scale,
                        height, width, radius, reach_f, reach_h, reach_w, d, K_PLAIN, RULE, HAS_BIAS, HAS_LENGTHS,
                        EXCLUDE, UPCAST,
                    )  # fmt: skip
        out = D_Q + b * lse_b * D + h * lse_h * D + wide * D + d[None, :]
        acc = acc * scale + tl.load(out, mask=q_real[:, None], other=0.0)
        tl.store(out, acc, mask=q_real[:, None])


@triton.jit
def grad_step(
    q, d_out, lse, delta, q_number, q_real, k_pos, real, acc, K, V, BIAS, K_TOKEN, K_NUMBER, k_at, k_start, length,
    FINER, F_BEGIN, F_COUNT, f_at, DOC_Q, DOC_K, k_l, v_l, scale, height, width, radius, reach_f, reach_h, reach_w, d,
    K_PLAIN: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """What one step of keys adds to the gradient of the queries, before the scale."""
    token, number = places(k_pos, k_start, K_TOKEN, K_NUMBER, k_at, real, K_PLAIN, RULE)
    if HAS_LENGTHS:
        real = real & (token < length)
    place = token.to(tl.int64)
    k = tl.load(K + (place * k_l)[:, None] + d[None, :], mask=real[:, None], other=0.0)
    v = tl.load(V + (place * v_l)[:, None] + d[None, :], mask=real[:, None], other=0.0)
    if UPCAST:
        k = k.to(tl.float32)
        v = v.to(tl.float32)
    logits = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * LOG2E)
    if HAS_BIAS:
        logits += tl.load(BIAS + token, mask=real, other=0.0)[None, :] * LOG2E
    if EXCLUDE:
        real = not_expanded(token, real, FINER, F_BEGIN, F_COUNT, f_at)
    met = allowed(q_number, number, q_real, real, DOC_Q, DOC_K, height, width, radius, reach_f, reach_h, reach_w, RULE)
    shares = tl.exp2(tl.where(met, logits, float("-inf")) - lse[:, None])
    d_logits = shares * (tl.dot(d_out, tl.trans(v), input_precision="ieee") - delta[:, None])
    return tl.dot(d_logits.to(k.dtype), k, acc, input_precision="ieee")


@triton.jit
def grad_keys(  # noqa: C901 - branches are compiled away; a kernel is one function
    Q, K, V, BIAS, LSE, D_OUT, DELTA, D_K, D_V, HEADS, GROUPS, TILE_ROW, TILE_START, TILE_STOP, tile_pb, tile_pg,
    Q_TOKEN, Q_NUMBER, q_pb, q_pg, K_TOKEN, K_NUMBER, k_pb, k_pg, Q_OFFSETS, off_pb, off_pg, BLOCK_OF, of_pb, of_pg,
    REVERSE, EDGES, edge_pb, edge_pg, share, FINER, F_BEGIN, F_COUNT, f_pb, f_pg, f_share, KEY_LENGTHS,
    DOC_Q, DOC_K, doc_q_b, doc_k_b, q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, bias_b, bias_h,
    do_b, do_h, do_l, lse_b, lse_h, dk_s, dk_b, dk_h,
    scale, q_start, q_body, q_blocks, k_start, k_body, splits, height, width, radius, reach_f, reach_h, reach_w,
    D: tl.constexpr, TILE: tl.constexpr, QUERIES: tl.constexpr, Q_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    ALL: tl.constexpr, Q_PLAIN: tl.constexpr, K_PLAIN: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Adds to D_K, D_V (B, H, K, D) fp32 what the rows give that name a tile's key block.

    With ALL, every query meets the source: D_K, D_V (S, B, H, source's keys, D) are written, a stretch of queries each.
    """
    tile = tl.program_id(0)
    h_at = tl.program_id(1)
    b = (tl.program_id(2) // splits).to(tl.int64)
    split = tl.program_id(2) % splits
    h = tl.load(HEADS + h_at).to(tl.int64)
    g = tl.load(GROUPS + h_at).to(tl.int64)
    if BLOCK > 0:
        per_row: tl.constexpr = (BLOCK + TILE - 1) // TILE
        row = tile // per_row
        start = row * BLOCK + tile % per_row * TILE
        stop = tl.minimum(tl.minimum(start + TILE, row * BLOCK + BLOCK), k_body)
    else:
        t_at = b * tile_pb + g * tile_pg + tile
        start = tl.load(TILE_START + t_at).to(tl.int32)
        stop = tl.load(TILE_STOP + t_at).to(tl.int32)
        row = tl.load(TILE_ROW + t_at).to(tl.int32)
    if start < stop:
        k_pos = start + tl.arange(0, TILE)
        inside = k_pos < stop
        token, number = places(k_pos, k_start, K_TOKEN, K_NUMBER, b * k_pb + g * k_pg, inside, K_PLAIN, RULE)
        real = inside
        if HAS_LENGTHS:
            real = inside & (token < tl.load(KEY_LENGTHS + b))
        d = tl.arange(0, D)
        place = token.to(tl.int64)[:, None]
        k = tl.load(K + b * k_b + h * k_h + place * k_l + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(V + b * v_b + h * v_h + place * v_l + d[None, :], mask=real[:, None], other=0.0)
        if UPCAST:
            k = k.to(tl.float32)
            v = v.to(tl.float32)
        bias = tl.zeros([TILE], tl.float32)
        if HAS_BIAS:
            bias = tl.load(BIAS + b * bias_b + h * bias_h + token, mask=real, other=0.0) * LOG2E
        Q += b * q_b + h * q_h
        D_OUT += b * do_b + h * do_h
        lse_at = b * lse_b + h * lse_h
        q_at = b * q_pb + g * q_pg
        f_at = b * f_pb + g * f_pg
        doc_q = DOC_Q + b * doc_q_b
        doc_k = DOC_K + b * doc_k_b
        of_block = BLOCK_OF + b * of_pb + g * of_pg
        d_k = tl.zeros([TILE, D], tl.float32)
        d_v = tl.zeros([TILE, D], tl.float32)
        query = tl.arange(0, QUERIES)
        if ALL:
            each = ((q_body + QUERIES - 1) // QUERIES + splits - 1) // splits * QUERIES
            for at in tl.range(split * each, tl.minimum(q_body, split * each + each), QUERIES, num_stages=STAGES):
                d_k, d_v = grad_key_step(
                    k, v, bias, number, real, token, at + query, at + query < q_body, d_k, d_v, Q, D_OUT, LSE, DELTA,
                    lse_at, Q_TOKEN, Q_NUMBER, q_at, q_start, of_block, FINER, F_BEGIN, F_COUNT, f_at, f_share,
                    doc_q, doc_k, q_l, do_l, scale, height, width, radius, reach_f, reach_h, reach_w, d,
                    Q_BLOCK, Q_PLAIN, RULE, EXCLUDE, UPCAST,
                )  # fmt: skip
        elif Q_BLOCK > 0:
            first = tl.load(EDGES + b * edge_pb + g * edge_pg + row)
            named = (tl.load(EDGES + b * edge_pb + g * edge_pg + row + 1) - first).to(tl.int32)
            span = Q_BLOCK * share
            for at in tl.range(0, named * span, QUERIES, num_stages=STAGES):
                listed = (at + query) // span < named
                naming = tl.load(REVERSE + first + (at + query) // span, mask=listed, other=0)
                position = naming * span + (at + query) % span
                d_k, d_v = grad_key_step(
                    k, v, bias, number, real, token, position, listed & (position < q_body), d_k, d_v, Q, D_OUT, LSE,
                    DELTA, lse_at, Q_TOKEN, Q_NUMBER, q_at, q_start, of_block, FINER, F_BEGIN, F_COUNT, f_at, f_share,
                    doc_q, doc_k, q_l, do_l, scale, height, width, radius, reach_f, reach_h, reach_w, d,
                    Q_BLOCK, Q_PLAIN, RULE, EXCLUDE, UPCAST,
                )  # fmt: skip
        else:
            first = tl.load(EDGES + b * edge_pb + g * edge_pg + row)
            named = (tl.load(EDGES + b * edge_pb + g * edge_pg + row + 1) - first).to(tl.int32)
            for e in range(0, named):
                naming = tl.load(REVERSE + first + e) * share
                begin = tl.load(Q_OFFSETS + b * off_pb + g * off_pg + naming).to(tl.int32)
                end = tl.load(Q_OFFSETS + b * off_pb + g * off_pg + tl.minimum(naming + share, q_blocks)).to(tl.int32)
                for at in tl.range(begin, end, QUERIES, num_stages=STAGES):
                    d_k, d_v = grad_key_step(
                        k, v, bias, number, real, token, at + query, at + query < end, d_k, d_v, Q, D_OUT, LSE, DELTA,
                        lse_at, Q_TOKEN, Q_NUMBER, q_at, q_start, of_block, FINER, F_BEGIN, F_COUNT, f_at, f_share,
                        doc_q, doc_k, q_l, do_l, scale, height, width, radius, reach_f, reach_h, reach_w, d,
                        Q_BLOCK, Q_PLAIN, RULE, EXCLUDE, UPCAST,
                    )  # fmt: skip
        if ALL:
            at_out = split.to(tl.int64) * dk_s + b * dk_b + h * dk_h + k_pos.to(tl.int64)[:, None] * D + d[None, :]
            tl.store(D_K + at_out, d_k * scale, mask=inside[:, None])
            tl.store(D_V + at_out, d_v, mask=inside[:, None])
        else:
            at_out = b * dk_b + h * dk_h + place * D + d[None, :]
            d_k = d_k * scale + tl.load(D_K + at_out, mask=inside[:, None], other=0.0)
            d_v += tl.load(D_V + at_out, mask=inside[:, None], other=0.0)
            tl.store(D_K + at_out, d_k, mask=inside[:, None])
            tl.store(D_V + at_out, d_v, mask=inside[:, None])


@triton.jit
def grad_key_step(
    k, v, bias, k_number, k_real, k_token, position, q_real, d_k, d_v, Q, D_OUT, LSE, DELTA, lse_at, Q_TOKEN, Q_NUMBER,
    q_at, q_start, BLOCK_OF, FINER, F_BEGIN, F_COUNT, f_at, f_share, DOC_Q, DOC_K, q_l, do_l, scale, height, width,
    radius, reach_f, reach_h, reach_w, d, Q_BLOCK: tl.constexpr, Q_PLAIN: tl.constexpr, RULE: tl.constexpr,
    EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """What one step of queries adds to the gradients of a tile of keys (before the scale) and values."""
    token, number = places(position, q_start, Q_TOKEN, Q_NUMBER, q_at, q_real, Q_PLAIN, RULE)
    place = token.to(tl.int64)
    q = tl.load(Q + (place * q_l)[:, None] + d[None, :], mask=q_real[:, None], other=0.0)
    d_out = tl.load(D_OUT + (place * do_l)[:, None] + d[None, :], mask=q_real[:, None], other=0.0)
    lse = tl.load(LSE + lse_at + token, mask=q_real, other=float("inf"))
    lse = tl.where(lse == float("-inf"), float("inf"), lse) * LOG2E
    delta = tl.load(DELTA + lse_at + token, mask=q_real, other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
        d_out = d_out.to(tl.float32)
    logits = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * LOG2E) + bias[None, :]
    met = allowed(
        number, k_number, q_real, k_real, DOC_Q, DOC_K, height, width, radius, reach_f, reach_h, reach_w, RULE
    )
    if EXCLUDE:
        if Q_BLOCK > 0:  # noqa: SIM108 - decided when compiled
            block = position // Q_BLOCK
        else:
            block = tl.load(BLOCK_OF + position, mask=q_real, other=0).to(tl.int32)
        met = met & not_met_in_detail(k_token, block // f_share, q_real, FINER, F_BEGIN, F_COUNT, f_at)
    shares = tl.exp2(tl.where(met, logits, float("-inf")) - lse[:, None])
    d_logits = shares * (tl.dot(d_out, tl.trans(v), input_precision="ieee") - delta[:, None])
    d_v = tl.dot(tl.trans(shares).to(d_out.dtype), d_out, d_v, input_precision="ieee")
    d_k = tl.dot(tl.trans(d_logits).to(q.dtype), q, d_k, input_precision="ieee")
    return d_k, d_v


@triton.jit
def not_met_in_detail(token, f_row, real, FINER, F_BEGIN, F_COUNT, f_at):
    """(queries, keys): that the row of finer entries of each query does not name the coarse token."""
    entry = tl.load(F_BEGIN + f_at + f_row, mask=real, other=0)
    count = tl.load(F_COUNT + f_at + f_row, mask=real, other=0).to(tl.int32)
    free = (f_row >= 0)[:, None] & (token >= 0)[None, :]
    for f in range(0, tl.max(count, 0)):
        named = tl.load(FINER + entry + f, mask=f < count, other=-1)
        free = free & (named[:, None] != token[None, :])
    return free
