"""What the Triton kernels of any plan share: where a position's token stands, and which pairs meet.

Layout legend: P positions (places in an order of tokens).
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

EVERY, DISC, WINDOW, DOCUMENTS = 0, 1, 2, 3
"""Which pairs of a source meet: all of its blocks' pairs, or those that the predicate allows."""


@triton.jit
def places(position, start, TOKEN, NUMBER, at, real, PLAIN: tl.constexpr, RULE: tl.constexpr):
    """Place in the sequence and number in the body of positions; in a row from `start`, or looked up."""
    if PLAIN:
        return position + start, position
    token = tl.load(TOKEN + at + position, mask=real, other=0).to(tl.int32)
    if RULE > 0:
        return token, tl.load(NUMBER + at + position, mask=real, other=0).to(tl.int32)
    return token, position


@triton.jit
def allowed(
    q_number, k_number, q_real, k_real, DOC_Q, DOC_K, height, width, radius, reach_f, reach_h, reach_w,
    RULE: tl.constexpr,
):  # fmt: skip
    """(queries, keys): whether they meet."""
    met = q_real[:, None] & k_real[None, :]
    if RULE == 1 or RULE == 2:
        met = met & near(q_number[:, None], k_number[None, :], height, width, radius, reach_f, reach_h, reach_w, RULE)
    if RULE == 3:
        q_doc = tl.load(DOC_Q + q_number, mask=q_real, other=0)
        k_doc = tl.load(DOC_K + k_number, mask=k_real, other=0)
        met = met & (q_doc[:, None] == k_doc[None, :])
    return met


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


@triton.jit
def not_expanded(token, real, FINER, F_BEGIN, F_COUNT, f_at):
    """Which coarse tokens are not named in the row of finer entries: those are met in detail."""
    entry = tl.load(F_BEGIN + f_at)
    for f in range(0, tl.load(F_COUNT + f_at)):
        real = real & (token != tl.load(FINER + entry + f))
    return real
