"""How much faster than dense attention the gather implementation is on this CPU, the plan given.

Random queries, keys and values; each block of queries meets the same number of key blocks, chosen at random.
Dense and sparse calls take turns, and the output is compared with the definition before anything is timed.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.evals.attention_cases import Shape, random_blocks
from chatdit.evals.records import commit, versions
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.density import plan_density
from chatdit.kernels.sparse_attention import sparse_attention

Notify = Callable[[str, int, int], None]
TOKENS, HEADS, HEAD_DIM = 4096, 8, 64
BLOCKS = (64, 128)
DENSITY = 0.1
MAX_ERROR = 1e-5


def run(
    *,
    tokens: int = TOKENS,
    heads: int = HEADS,
    threads: Sequence[int] = (1, 2),
    repeats: int = 15,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Time gather and dense attention by turns for each block size and number of threads; a JSON record.

    Raises RuntimeError, and times nothing, where gather is not what the reference says.
    """
    q, k, v = torch.randn(3, 1, heads, tokens, HEAD_DIM, generator=torch.Generator().manual_seed(0)).unbind()
    shape = Shape(1, heads, tokens, HEAD_DIM)
    rows: list[dict[str, object]] = []
    for i, block in enumerate(BLOCKS):
        plan = random_blocks(shape, DENSITY, q.device, block)
        found, meant = (sparse_attention(q, k, v, plan, impl=impl) for impl in ("gather", "reference"))
        error = (found - meant).abs().max().item()
        if error > MAX_ERROR:
            raise RuntimeError(f"gather is off by {error:.1e} with blocks of {block}: nothing was timed")
        density = float(plan_density(plan, heads, q.device))
        for count in threads:
            timed = _timed(q, k, v, plan, count, repeats)
            rows.append({"block": block, "threads": count, "density": round(density, 4), "error": error} | timed)
        notify("block sizes", i + 1, len(BLOCKS))
    return {
        "benchmark": "gather",
        "command": f"chatdit bench gather --threads {','.join(map(str, threads))} --repeats {repeats} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": {"kind": "cpu", "machine": platform.machine(), "cores": os.cpu_count()},
        "versions": versions(),
        "shape": asdict(shape) | {"dtype": "float32"},
        "repeats": repeats,
        "note": "milliseconds are medians of wall time; ratios are medians of the pairs, with their quartiles; the "
        "plan is given, so that what a policy costs is not in them (see crossover.json)",
        "rows": rows,
    }


@torch.no_grad()
def _timed(q: Tensor, k: Tensor, v: Tensor, plan: BlockPlan, threads: int, repeats: int) -> dict[str, object]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    sparse, full = [], []
    try:
        for _ in range(repeats + 1):
            started = time.perf_counter()
            sparse_attention(q, k, v, plan, impl="gather")
            between = time.perf_counter()
            F.scaled_dot_product_attention(q, k, v)
            sparse.append(between - started)
            full.append(time.perf_counter() - between)
    finally:
        torch.set_num_threads(before)
    sparse, full = sparse[1:], full[1:]  # the first pair warms up
    ratios = [f / s for f, s in zip(full, sparse, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "ms": round(1000 * statistics.median(sparse), 2), "ms_dense": round(1000 * statistics.median(full), 2),
        "ratio": round(middle, 3), "ratio_quartiles": [round(low, 3), round(high, 3)],
    }  # fmt: skip
