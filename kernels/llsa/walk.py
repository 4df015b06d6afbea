"""Which keys a query meets under a hierarchy, for the Triton kernels that walk along them.

The tables: every level's summaries stand one after the other in one table of keys and one of values, finest level
first; what queries picked stands likewise in one table of block indices, rows of level 0 (blocks of tokens) first.
A tile of queries never straddles a group that shares coarse picks, for its size divides 256.

Layout legend: G query blocks of a tile, S slots of fine keys, C coarse keys of one step, K picks.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def body_token(position, start, TOKENS, real, ORDERED: tl.constexpr):
    """The place in the sequence of a position of the body: in a row from `start`, or looked up."""
    if ORDERED:
        return tl.load(TOKENS + position, mask=real, other=0)
    return position + start


@triton.jit
def fine_keys(
    PICKS, counts_at, block, blocks, j, width, n_k,
    K: tl.constexpr, AT_ONCE: tl.constexpr, HAS_COUNTS: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """(G, S) each: key positions that entries j to j + AT_ONCE of the blocks' rows stand for, and whether they are."""
    s = tl.arange(0, AT_ONCE * 16)
    slot = j + s // 16
    if EVEN:
        real = (block < blocks)[:, None] & (slot < K)[None, :]
    elif HAS_COUNTS:
        width = tl.load(counts_at + block, mask=block < blocks, other=0)
        real = (block < blocks)[:, None] & (slot[None, :] < width[:, None])
    else:
        real = (block < blocks)[:, None] & (slot < width)[None, :]
    pick = tl.load(PICKS + block[:, None] * K + slot[None, :], mask=real, other=0)
    position = pick * 16 + (s % 16)[None, :]
    if not EVEN:
        real = real & (position < n_k)
    return position, real


@triton.jit
def coarse_keys(
    PICKS, COUNTS, step, first_block, n_q, n_k,
    K: tl.constexpr, LEVELS: tl.constexpr, AT_ONCE: tl.constexpr, HAS_COUNTS: tl.constexpr,
):  # fmt: skip
    """(C,) each: rows of the tables that step number `step` meets, whether they are, and which level they are of.

    The steps of levels 1 to LEVELS - 1 come first, then those of the top level.
    """
    c = tl.arange(0, AT_ONCE)
    steps: tl.constexpr = (K * 16 + AT_ONCE - 1) // AT_ONCE
    rows = (n_q + 15) // 16
    size = (n_k + 15) // 16
    group = first_block // 16
    rows_before = rows
    table_before = size * 0
    row = group * 0
    begin = table_before
    end = size
    mine = (step + 1) * 0
    for level in tl.static_range(1, LEVELS):
        rows = (rows + 15) // 16
        here = (step >= (level - 1) * steps) & (step < level * steps)
        row = tl.where(here, rows_before + group, row)
        begin = tl.where(here, table_before, begin)
        end = tl.where(here, size, end)
        mine = tl.where(here, level, mine)
        rows_before += rows
        table_before += size
        size = (size + 15) // 16
        group = group // 16
    top = step >= (LEVELS - 1) * steps
    begin = tl.where(top, table_before, begin)
    end = tl.where(top, size, end)
    level_of = tl.where(top, LEVELS, mine)
    if LEVELS > 1:
        slot = (step - (level_of - 1) * steps) * (AT_ONCE // 16) + c // 16
        width = tl.minimum(K, (end + 15) // 16)
        if HAS_COUNTS:
            width = tl.load(COUNTS + row, mask=step < (LEVELS - 1) * steps, other=0)
        picked = (slot < width) & (step < (LEVELS - 1) * steps)
        pick = tl.load(PICKS + row * K + slot, mask=picked, other=0)
        at = tl.where(top, (step - (LEVELS - 1) * steps) * AT_ONCE + c, pick * 16 + c % 16)
        real = (picked | top) & (at < end)
    else:
        at = step * AT_ONCE + c
        real = at < end
    return begin + at, at, real, level_of


@triton.jit
def coarse_steps(n_k, K: tl.constexpr, LEVELS: tl.constexpr, AT_ONCE: tl.constexpr):
    """How many steps `coarse_keys` has."""
    steps: tl.constexpr = (K * 16 + AT_ONCE - 1) // AT_ONCE
    size = n_k
    for _ in tl.static_range(LEVELS):
        size = (size + 15) // 16
    return (LEVELS - 1) * steps + (size + AT_ONCE - 1) // AT_ONCE


@triton.jit
def expanded(
    PICKS, COUNTS, at, level, block, n_q, n_k,
    K: tl.constexpr, LEVELS: tl.constexpr, HAS_COUNTS: tl.constexpr,
):  # fmt: skip
    """(rows, C): whether the query blocks `block` (rows,) meet what summary `at` of a level stands for in detail."""
    rows_before = n_q * 0
    rows = (n_q + 15) // 16
    group = block
    row = block
    total = rows
    width = tl.minimum(K, (n_k + 15) // 16)
    size = (n_k + 15) // 16
    for finer in tl.static_range(1, LEVELS):
        rows_before += rows
        rows = (rows + 15) // 16
        size = (size + 15) // 16
        group = group // 16
        here = level == finer + 1
        row = tl.where(here, rows_before + group, row)
        width = tl.where(here, tl.minimum(K, size), width)
        total = rows_before + rows
    inside = row < total
    own = tl.where(inside, width, 0)
    if HAS_COUNTS:
        own = tl.load(COUNTS + row, mask=inside, other=0)
    met = (row[:, None] < 0) & (at[None, :] < 0)
    for j in tl.static_range(K):
        pick = tl.load(PICKS + row * K + j, mask=inside, other=-1)
        pick = tl.where(j < own, pick, -1)
        met = met | (pick[:, None] == at[None, :])
    return met
