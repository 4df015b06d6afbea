"""The Triton kernel of the forward: a tile of queries against one source of keys, joined to what is there.

A plan is several sources (blocks met in full, blocks with a predicate, text, each coarse stream); each is a
launch (triton_launch.py). The softmax over all of them is put together as it goes: a launch reads the output
and LSE of those before it and leaves the output and LSE of all so far.

Layout legend: B batch, H heads, L queries, K entries of a source's key table, D head dim; T query tiles,
P positions (places in a source's order of tokens). "pb", "pg" are strides of a plan's batch and head axes, 0
where they are shared.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

EVERY, DISC, WINDOW, DOCUMENTS = 0, 1, 2, 3
"""Which pairs of a source meet: all of its blocks' pairs, or those that the predicate allows."""


@triton.jit
def forward_source(  # noqa: C901 - branches are compiled away; a kernel is one function
    Q, K, V, BIAS, OUT, LSE,  # (B, H, L, D), (B, H, K, D) twice, (B, H, K), (B, H, L, D) fp32, (B, H, L) fp32
    HEADS, GROUPS,  # (heads of this launch,): head of the model, plan head
    TILE_ROW, TILE_START, TILE_STOP, tile_pb, tile_pg,  # (B, G, T): row of the tile; its positions
    Q_TOKEN, Q_NUMBER, q_pb, q_pg,  # (B, G, P): place in q; number in the body, for the predicate
    K_TOKEN, K_NUMBER, k_pb, k_pg,  # (B, G, P): place in k; number in the body
    OFFSETS, off_pb, off_pg,  # (B, G, blocks + 1): positions where key blocks begin
    INDICES, BEGIN, COUNT, row_pb, row_pg, share,  # flat; (B, G, rows): a row's entries; tiles' rows // share
    FINER, F_BEGIN, F_COUNT, f_pb, f_pg, f_share,  # the same of the entries whose keys are left out
    KEY_LENGTHS,  # (B,)
    DOC_Q, DOC_K, doc_q_b, doc_k_b,  # (B, P): document numbers
    q_b, q_h, q_l, q_d, k_b, k_h, k_l, k_d, v_b, v_h, v_l, v_d, bias_b, bias_h, o_b, o_h, o_l, lse_b, lse_h,
    scale, height, width, radius, reach_f, reach_h, reach_w,
    D: tl.constexpr, TILE: tl.constexpr, KEYS: tl.constexpr, RULE: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, EXCLUDE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    h_at = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    h = tl.load(HEADS + h_at).to(tl.int64)
    g = tl.load(GROUPS + h_at).to(tl.int64)
    t_at = b * tile_pb + g * tile_pg + tile
    start = tl.load(TILE_START + t_at)
    stop = tl.load(TILE_STOP + t_at)
    if start < stop:
        row = tl.load(TILE_ROW + t_at).to(tl.int64)
        q_pos = start + tl.arange(0, TILE)
        q_real = q_pos < stop
        q_token = tl.load(Q_TOKEN + b * q_pb + g * q_pg + q_pos, mask=q_real, other=0).to(tl.int64)
        q_number = tl.load(Q_NUMBER + b * q_pb + g * q_pg + q_pos, mask=q_real, other=0)
        d = tl.arange(0, D)
        q = tl.load(Q + b * q_b + h * q_h + q_token[:, None] * q_l + d[None, :] * q_d, mask=q_real[:, None], other=0.0)
        if UPCAST:
            q = q.to(tl.float32)
        top = tl.full([TILE], float("-inf"), tl.float32)
        total = tl.zeros([TILE], tl.float32)
        acc = tl.zeros([TILE, D], tl.float32)

        entry = tl.load(BEGIN + b * row_pb + g * row_pg + row // share)
        entries = tl.load(COUNT + b * row_pb + g * row_pg + row // share)
        for e in range(0, entries):
            block = tl.load(INDICES + entry + e)
            first = tl.load(OFFSETS + b * off_pb + g * off_pg + block)
            last = tl.load(OFFSETS + b * off_pb + g * off_pg + block + 1)
            for at in range(first, last, KEYS):
                k_pos = at + tl.arange(0, KEYS)
                real = k_pos < last
                token = tl.load(K_TOKEN + b * k_pb + g * k_pg + k_pos, mask=real, other=0).to(tl.int64)
                if HAS_LENGTHS:
                    real = real & (token < tl.load(KEY_LENGTHS + b))
                k = tl.load(
                    K + b * k_b + h * k_h + token[:, None] * k_l + d[None, :] * k_d, mask=real[:, None], other=0.0
                )
                v = tl.load(
                    V + b * v_b + h * v_h + token[:, None] * v_l + d[None, :] * v_d, mask=real[:, None], other=0.0
                )
                if UPCAST:
                    k = k.to(tl.float32)
                    v = v.to(tl.float32)
                logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
                if HAS_BIAS:
                    logits += tl.load(BIAS + b * bias_b + h * bias_h + token, mask=real, other=0.0)[None, :]
                if EXCLUDE:
                    f_at = b * f_pb + g * f_pg + row // f_share
                    f_entry = tl.load(F_BEGIN + f_at)
                    for f in range(0, tl.load(F_COUNT + f_at)):
                        real = real & (token != tl.load(FINER + f_entry + f))
                met = tl.broadcast_to(real[None, :], [TILE, KEYS])
                if RULE == 1 or RULE == 2:
                    number = tl.load(K_NUMBER + b * k_pb + g * k_pg + k_pos, mask=real, other=0)
                    met = met & near(
                        q_number[:, None], number[None, :], height, width, radius, reach_f, reach_h, reach_w, RULE
                    )
                if RULE == 3:
                    number = tl.load(K_NUMBER + b * k_pb + g * k_pg + k_pos, mask=real, other=0)
                    q_doc = tl.load(DOC_Q + b * doc_q_b + q_number, mask=q_real, other=0)
                    k_doc = tl.load(DOC_K + b * doc_k_b + number, mask=real, other=0)
                    met = met & (q_doc[:, None] == k_doc[None, :])
                logits = tl.where(met, logits, float("-inf"))
                new_top = tl.maximum(top, tl.max(logits, 1))
                safe = tl.where(new_top == float("-inf"), 0.0, new_top)
                shares = tl.exp(logits - safe[:, None])
                shrink = tl.exp(top - safe)
                total = total * shrink + tl.sum(shares, 1)
                acc = acc * shrink[:, None] + tl.dot(shares.to(v.dtype), v, input_precision="ieee")
                top = new_top

        lse_at = LSE + b * lse_b + h * lse_h + q_token
        out_at = OUT + b * o_b + h * o_h + q_token[:, None] * o_l + d[None, :]
        old = tl.load(lse_at, mask=q_real, other=float("-inf"))
        both = tl.maximum(old, top)
        safe = tl.where(both == float("-inf"), 0.0, both)
        weight_old = tl.exp(old - safe)
        weight_new = tl.exp(top - safe)
        sum_of_both = weight_old + total * weight_new
        norm = tl.where(sum_of_both == 0.0, 1.0, sum_of_both)
        before = tl.load(out_at, mask=q_real[:, None], other=0.0)
        out = (before * weight_old[:, None] + acc * weight_new[:, None]) / norm[:, None]
        tl.store(out_at, out, mask=q_real[:, None])
        lse = tl.where(sum_of_both == 0.0, float("-inf"), safe + tl.log(norm))
        tl.store(lse_at, lse, mask=q_real)


@triton.jit
def near(q, k, height, width, radius, reach_f, reach_h, reach_w, RULE: tl.constexpr):
    """Whether body tokens meet: dx² + dy² < r² (DISC), or no more than the reach apart on any axis (WINDOW)."""
    dy = q // width - k // width
    dx = q % width - k % width
    if RULE == 1:
        return (dy * dy + dx * dx).to(tl.float32) < radius * radius
    area = height * width
    df = q // area - k // area
    dy = q // width % height - k // width % height
    return (tl.abs(df) <= reach_f) & (tl.abs(dy) <= reach_h) & (tl.abs(dx) <= reach_w)
