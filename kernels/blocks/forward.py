"""The Triton kernel of the forward of any plan: a tile of queries against one source of keys, joined to what is there.

A plan is several sources (blocks met in full, blocks with a predicate, text, each coarse stream); each is a
launch (launch.py). The softmax over all of them is put together as it goes: a launch reads the output
and LSE of those before it, if there were any, and leaves those of all so far. Where tokens stand in a row and
blocks are equal, places are computed and not looked up, and the blocks of a row are walked in one loop.

Layout legend: B batch, H heads, L queries, K entries of a source's key table, D head dim; T query tiles,
P positions (places in a source's order of tokens). "pb", "pg" are strides of a plan's batch and head axes, 0
where they are shared.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from chatdit.kernels.blocks.walk import allowed, not_expanded, places


@triton.jit
def forward_source(  # noqa: C901 - branches are compiled away; a kernel is one function
    Q, K, V, BIAS, SUM, OUT, LSE,  # (B, H, L, D), (B, H, K, D) twice, (B, H, K), (B, H, L, D) fp32 and q's, (B, H, L)
    HEADS, GROUPS,  # (heads of this launch,): head of the model, plan head
    TILE_ROW, TILE_START, TILE_STOP, tile_pb, tile_pg,  # (B, G, T): row of the tile; its positions
    Q_TOKEN, Q_NUMBER, q_pb, q_pg,  # (B, G, P): place in q; number in the body, for the predicate
    K_TOKEN, K_NUMBER, k_pb, k_pg,  # (B, G, P): place in k; number in the body
    OFFSETS, off_pb, off_pg,  # (B, G, blocks + 1): positions where key blocks begin
    SIZES, size_pb, size_pg,  # (B, G, blocks): how many tokens of an equal block are real
    INDICES, BEGIN, COUNT, row_pb, row_pg, share,  # flat; (B, G, rows): a row's entries; tiles' rows // share
    FINER, F_BEGIN, F_COUNT, f_pb, f_pg, f_share,  # the same of the entries whose keys are left out
    KEY_LENGTHS,  # (B,)
    DOC_Q, DOC_K, doc_q_b, doc_k_b,  # (B, P): document numbers
    q_b, q_h, q_l, k_b, k_h, k_l, v_b, v_h, v_l, bias_b, bias_h, o_b, o_h, o_l, lse_b, lse_h,
    scale_log2, q_start, q_body, k_start, k_body, height, width, radius, reach_f, reach_h, reach_w,
    D: tl.constexpr, TILE: tl.constexpr, KEYS: tl.constexpr, Q_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    ALL: tl.constexpr, Q_PLAIN: tl.constexpr, K_PLAIN: tl.constexpr, EVEN: tl.constexpr, SIZED: tl.constexpr,
    FIRST: tl.constexpr, LAST: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    EXCLUDE: tl.constexpr, UPCAST: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Q_BLOCK and BLOCK are the sizes of equal blocks, or 0 where offsets say where blocks begin.

    With ALL, a row is every key of the source, and BLOCK is KEYS. With SIZED, blocks are filled up with keys that can
    be read and do not count.
    """
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
        q = tl.load(
            Q + b * q_b + h * q_h + q_token.to(tl.int64)[:, None] * q_l + d[None, :], mask=q_real[:, None], other=0.0
        )
        if UPCAST:
            q = q.to(tl.float32)
        K += b * k_b + h * k_h
        V += b * v_b + h * v_h
        BIAS += b * bias_b + h * bias_h
        k_at = b * k_pb + g * k_pg
        length = tl.load(KEY_LENGTHS + b).to(tl.int32) if HAS_LENGTHS else 0
        SIZES += b * size_pb + g * size_pg
        f_at = b * f_pb + g * f_pg + row // f_share
        doc_q = DOC_Q + b * doc_q_b
        doc_k = DOC_K + b * doc_k_b
        top = tl.full([TILE], float("-inf"), tl.float32)
        total = tl.zeros([TILE], tl.float32)
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
                elif BLOCK % KEYS == 0:
                    per_block: tl.constexpr = BLOCK // KEYS
                    block = tl.load(INDICES + entry + step // per_block)
                    k_pos = block * BLOCK + step % per_block * KEYS + key
                    real = k_pos < k_body
                    if SIZED:
                        real = step % per_block * KEYS + key < tl.load(SIZES + block)
                else:
                    slot = (step * KEYS + key) // BLOCK
                    real = slot < entries
                    block = tl.load(INDICES + entry + slot, mask=real, other=0)
                    k_pos = block * BLOCK + (step * KEYS + key) % BLOCK
                    real = real & (k_pos < k_body)
                    if SIZED:
                        real = real & ((step * KEYS + key) % BLOCK < tl.load(SIZES + block))
                top, total, acc = attend(
                    q, q_number, q_real, k_pos, real, top, total, acc, K, V, BIAS, K_TOKEN, K_NUMBER, k_at, k_start,
                    length, FINER, F_BEGIN, F_COUNT, f_at, doc_q, doc_k, k_l, v_l, scale_log2, height, width, radius,
                    reach_f, reach_h, reach_w, d, K_PLAIN, EVEN, SIZED, RULE, HAS_BIAS, HAS_LENGTHS, EXCLUDE, UPCAST,
                )  # fmt: skip
        else:
            for e in range(0, entries):
                block = tl.load(INDICES + entry + e)
                first = tl.load(OFFSETS + b * off_pb + g * off_pg + block).to(tl.int32)
                last = tl.load(OFFSETS + b * off_pb + g * off_pg + block + 1).to(tl.int32)
                for at in tl.range(first, last, KEYS, num_stages=STAGES):
                    top, total, acc = attend(
                        q, q_number, q_real, at + key, at + key < last, top, total, acc, K, V, BIAS, K_TOKEN, K_NUMBER,
                        k_at, k_start, length, FINER, F_BEGIN, F_COUNT, f_at, doc_q, doc_k, k_l, v_l, scale_log2,
                        height, width, radius, reach_f, reach_h, reach_w, d, K_PLAIN, EVEN, SIZED, RULE, HAS_BIAS,
                        HAS_LENGTHS, EXCLUDE, UPCAST,
                    )  # fmt: skip
        lse_at = LSE + b * lse_b + h * lse_h + q_token
        at_out = b * o_b + h * o_h + q_token.to(tl.int64)[:, None] * o_l + d[None, :]
        if not FIRST:
            old = tl.load(lse_at, mask=q_real, other=float("-inf")) * 1.4426950408889634
            both = tl.maximum(old, top)
            safe = tl.where(both == float("-inf"), 0.0, both)
            weight_old = tl.exp2(old - safe)
            weight_new = tl.exp2(top - safe)
            before = tl.load(SUM + at_out, mask=q_real[:, None], other=0.0)
            acc = before * weight_old[:, None] + acc * weight_new[:, None]
            total = weight_old + total * weight_new
            top = safe
        norm = tl.where(total == 0.0, 1.0, total)
        out = acc / norm[:, None]
        if LAST:
            tl.store(OUT + at_out, out.to(OUT.dtype.element_ty), mask=q_real[:, None])
        else:
            tl.store(SUM + at_out, out, mask=q_real[:, None])
        lse = tl.where(total == 0.0, float("-inf"), (top + tl.log2(norm)) * 0.6931471805599453)
        tl.store(lse_at, lse, mask=q_real)


@triton.jit
def attend(
    q, q_number, q_real, k_pos, real, top, total, acc, K, V, BIAS, K_TOKEN, K_NUMBER, k_at, k_start, length,
    FINER, F_BEGIN, F_COUNT, f_at, DOC_Q, DOC_K, k_l, v_l, scale_log2, height, width, radius, reach_f, reach_h, reach_w,
    d, K_PLAIN: tl.constexpr, EVEN: tl.constexpr, SIZED: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """One step of the running softmax, to the base 2. With EVEN, every key is real; with SIZED, every one is there."""
    token, number = places(k_pos, k_start, K_TOKEN, K_NUMBER, k_at, real, K_PLAIN, RULE)
    if HAS_LENGTHS:
        real = real & (token < length)
    if EVEN or SIZED:
        k = tl.load(K + (token * k_l)[:, None] + d[None, :])
        v = tl.load(V + (token * v_l)[:, None] + d[None, :])
    else:
        k = tl.load(K + (token * k_l)[:, None] + d[None, :], mask=real[:, None], other=0.0)
        v = tl.load(V + (token * v_l)[:, None] + d[None, :], mask=real[:, None], other=0.0)
    if UPCAST:
        k = k.to(tl.float32)
        v = v.to(tl.float32)
    logits = tl.dot(q, tl.trans(k), input_precision="ieee")
    if EVEN and not HAS_BIAS:  # the scale is positive: the largest product has the largest logit
        new = tl.maximum(top, tl.max(logits, 1) * scale_log2)
        shares = tl.exp2(logits * scale_log2 - new[:, None])
        shrink = tl.exp2(top - new)
    else:
        logits *= scale_log2
        if HAS_BIAS:
            logits += tl.load(BIAS + token, mask=real, other=0.0)[None, :] * 1.4426950408889634
        if EXCLUDE:
            real = not_expanded(token, real, FINER, F_BEGIN, F_COUNT, f_at)
        met = allowed(
            q_number, number, q_real, real, DOC_Q, DOC_K, height, width, radius, reach_f, reach_h, reach_w, RULE
        )
        logits = tl.where(met, logits, float("-inf"))
        new = tl.maximum(top, tl.max(logits, 1))
        safe = tl.where(new == float("-inf"), 0.0, new)
        shares = tl.exp2(logits - safe[:, None])
        shrink = tl.exp2(top - safe)
    total = total * shrink + tl.sum(shares, 1)
    acc = tl.dot(shares.to(v.dtype), v, acc * shrink[:, None], input_precision="ieee")
    return new, total, acc
