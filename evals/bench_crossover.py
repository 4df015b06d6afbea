"""From how many tokens each policy is faster than dense attention, on this CPU or on a GPU.

On pocket's own queries, keys and values at growing pictures, with each policy's default settings in the middle
of a run; the plan is made anew for each call and its time counts. The cost model's table is taken from the record.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata

import torch

from chatdit.evals.captured_attention import Captured, capture, dense
from chatdit.evals.records import commit, describe_device
from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.density import plan_density
from chatdit.kernels.policies.catalogue import POLICIES
from chatdit.kernels.policies.geometry import Place, Policy
from chatdit.kernels.sparse_attention import sparse_attention
from chatdit.tools.dit.model import DiT, Row, Segment

Notify = Callable[[str, int, int], None]
SIDES = (256, 384, 512, 768, 1024, 1536)
"""Of a square picture, in pixels; pocket's tokens are 16 pixels wide."""
GPU_SIDES = (256, 512, 1024, 1536, 2048, 3072)
_NEED_TABLES = ("sparse-vdit",)


def run(
    *,
    device: str = "cpu",
    sides: Sequence[int] | None = None,
    threads: Sequence[int] = (1, 2),
    repeats: int = 3,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Time every policy and dense attention by turns; a JSON record with the crossovers.

    `threads` are of a CPU; on a GPU, pocket's numbers are in bf16.
    """
    dit = DiT.load("pocket", device=device)
    on_gpu = dit.device.type == "cuda"
    sides, threads = sides or (GPU_SIDES if on_gpu else SIDES), (0,) if on_gpu else threads
    options = f"--device {device}" if on_gpu else f"--threads {','.join(map(str, threads))}"
    rows: list[dict[str, object]] = []
    names = [name for name in POLICIES if name not in _NEED_TABLES]
    for i, side in enumerate(sides):
        call = _call(dit, side)
        for count in threads:
            rows += _timed(call, names, count, repeats)
        notify("sizes", i + 1, len(sides))
    return {
        "benchmark": "crossover_cuda" if on_gpu else "crossover",
        "command": f"chatdit bench crossover {options} --repeats {repeats} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(dit.device)
        if on_gpu
        else {"kind": "cpu", "machine": platform.machine(), "cores": os.cpu_count()},
        "versions": {"torch": metadata.version("torch"), "python": platform.python_version()},
        "repeats": repeats,
        "note": "milliseconds are medians, of processor time for one thread and of wall time else; dense and "
        "sparse calls by turns; tokens count the text",
        "crossover_tokens": {name: _crossover([r for r in rows if r["policy"] == name]) for name in names},
        "rows": rows,
    }


def _call(dit: DiT, side: int) -> Captured:
    """A middle layer of a middle step of three."""
    row = Row("a panda on the beach", (Segment(side, side),), 0)
    return capture(dit, row, steps=3, kept_steps=(1,), kept_layers=(dit.layers // 2,))[0]


@torch.no_grad()
def _timed(call: Captured, names: Sequence[str], threads: int, repeats: int) -> list[dict[str, object]]:
    if call.q.is_cuda:
        return [_row(call, name, threads, repeats) for name in names]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [_row(call, name, threads, repeats) for name in names]
    finally:
        torch.set_num_threads(before)


def _row(call: Captured, name: str, threads: int, repeats: int) -> dict[str, object]:
    policy: Policy = POLICIES[name]()
    row: dict[str, object] = {"policy": name, "tokens": call.q.shape[2], "threads": threads}
    try:
        # a first call at a step where every policy is at work, which fills what it remembers
        policy(call.q, call.k, call.geometry, Place(30, 50), call.layer)
        plan = policy(call.q, call.k, call.geometry, Place(31, 50), call.layer)
    except KernelError as error:
        return row | {"refused": str(error)}
    # a single thread's processor time is what it takes on a quiet machine, whatever else runs
    clock = _gpu_clock if call.q.is_cuda else time.process_time if threads == 1 else time.perf_counter
    sparse, full = [], []
    for _ in range(repeats):
        started = clock()
        made = policy(call.q, call.k, call.geometry, Place(31, 50), call.layer)
        sparse_attention(call.q, call.k, call.v, made)
        between = clock()
        dense(call)
        sparse.append(between - started)
        full.append(clock() - between)
    ms, ms_dense = 1000 * statistics.median(sparse), 1000 * statistics.median(full)
    density = float(plan_density(plan, call.q.shape[1], call.q.device))
    return row | {
        "ms": round(ms, 2), "ms_dense": round(ms_dense, 2), "ratio": round(ms_dense / ms, 3),
        "density": round(density, 4),
    }  # fmt: skip


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _crossover(rows: Sequence[dict[str, object]]) -> int | None:
    """The fewest tokens from which on the policy was faster at every size and with every number of threads.

    None if it was not even at the largest size.
    """
    slower = [int(str(row["tokens"])) for row in rows if float(str(row.get("ratio", 0))) <= 1]
    faster = {int(str(row["tokens"])) for row in rows} - set(slower)
    return min((tokens for tokens in faster if tokens > max(slower, default=0)), default=None)
