"""How long sparse attention takes beside dense attention on the same device in the same run.

Kernels are compared with fp64 first, and nothing is timed unless they pass. Dense attention is the faster of cuDNN's
and flash attention's. Plan-making (pooling, picking, a policy's call) is part of every time, and is also given alone.

Layout legend: B batch, H heads, L tokens, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from chatdit.evals.attention_cases import (
    GATE_TOKENS,
    Attention,
    Gate,
    Inputs,
    Shape,
    Triple,
    dense,
    density,
    gate_hierarchy,
    gate_plan,
    hierarchy_density,
    make_inputs,
    make_video,
    peer_llsa,
    random_blocks,
)  # fmt: skip
from chatdit.evals.records import commit, describe_device, versions
from chatdit.kernels.llsa.hierarchy import Hierarchy, llsa_plan
from chatdit.kernels.plan.block_axis import BlockAxis
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.efficient_vdit import EfficientVdit
from chatdit.kernels.policies.geometry import Geometry, Place, Policy
from chatdit.kernels.policies.nabla import Nabla
from chatdit.kernels.policies.sparse_vdit import PatternTable, SparseVdit
from chatdit.kernels.policies.sparse_vdit_search import search_patterns
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.sparse_attention import sparse_attention

Row = dict[str, object]
Notify = Callable[[str], None]

HIERARCHIES = ((16_384, 2), (65_536, 2), (65_536, 3), (262_144, 3))
"""Tokens and levels."""
BLOCK_SHAPES = (Shape(1, 24, 32_768, 128), Shape(1, 24, 118_800, 128))
VIDEOS = {32_768: Geometry(64, 64, frames=8), 118_800: Geometry(45, 80, frames=33)}
POLICIES: dict[str, Callable[[Triple, Geometry], Policy]] = {
    "draft": lambda given, geometry: Draft(),
    "nabla": lambda given, geometry: Nabla(),
    "vsa": lambda given, geometry: Vsa(),
    "efficient-vdit": lambda given, geometry: EfficientVdit(),
    "sparse-vdit": lambda given, geometry: _searched(given, geometry),
    "svg2": lambda given, geometry: Svg2(),
    "adaspa": lambda given, geometry: AdaSpa(),
}
"""Those for video with their papers' settings; Sparse-vDiT with a table searched on the inputs themselves."""
LONG = 200_000
"""Tokens beyond which a dense call takes so long that the fewest are made."""
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


class Timing(NamedTuple):
    """Milliseconds: median, and the 20th and 80th of a hundred."""

    median: float
    low: float
    high: float


def run(
    *, device: str = "cuda", peer: Path | None = None, only: Sequence[str] = (), notify: Notify = lambda line: None
) -> Row:
    """Measure and return a JSON record. `only` limits the parts: "llsa", "blocks", "policies".

    Raises:
        ValueError: there is no such part or checkout.
        RuntimeError: there is no such device, or a kernel is not as near to fp64 as its dtype allows.
    """
    on = torch.device(device)
    parts = {"llsa": _llsa_rows, "blocks": _block_rows, "policies": _policy_rows}
    wrong = [part for part in only if part not in parts]
    if wrong:
        raise ValueError(f"part {wrong[0]!r} is not known: expected {', '.join(parts)}")
    if on.type != "cuda" or not torch.cuda.is_available():
        raise RuntimeError(f"no CUDA device at {device!r}: run on one, or time the CPU with chatdit bench gather")
    record = _header(on, peer, only)
    gates = _gates(on, notify)
    record["gate"] = {gate.what: {"error": gate.error, "own": gate.own} for gate in gates}
    peers = peer_llsa(peer) if peer is not None else {}
    rows = [row for name, part in parts.items() if not only or name in only for row in part(on, gates, peers, notify)]
    return record | {"rows": rows, "exponent": exponent(rows)}


def exponent(rows: Sequence[Row]) -> float | None:
    """How LLSA's cost grows with the tokens: the slope of log time over log tokens, D = 64, random, fastest levels."""
    best: dict[int, float] = {}
    for row in rows:
        if (row["policy"], row["head_dim"], row["direction"], row["inputs"]) == ("llsa", 64, "forward", "random"):
            tokens, ms = int(str(row["tokens"])), float(str(row["ms"]))
            best[tokens] = min(ms, best.get(tokens, math.inf))
    if len(best) < 2:
        return None
    x, y = [math.log(n) for n in best], [math.log(ms) for ms in best.values()]
    return round(statistics.linear_regression(x, y).slope, 3)


def measure(run_once: Callable[[], object], seconds: float = 0.3) -> Timing:
    """Median and spread of one call, caches cleared between calls."""
    from triton.testing import do_bench

    found: list[float] = do_bench(run_once, warmup=100, rep=int(seconds * 1000), quantiles=[0.5, 0.2, 0.8])  # pyright: ignore[reportAssignmentType]
    return Timing(*(round(float(x), 4) for x in found))


def _header(device: torch.device, peer: Path | None, only: Sequence[str]) -> Row:
    options = [f"--only {part}" for part in only] + (["--peer-llsa PATH"] if peer is not None else [])
    return {
        "benchmark": "attention",
        "command": " ".join(["chatdit bench attention", *options, "--json"]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(device),
        "versions": versions("triton"),
    }


def _gates(device: torch.device, notify: Notify) -> list[Gate]:
    gates: list[Gate] = []
    kinds: tuple[Inputs, ...] = ("random", "smooth")
    for width in (64, 128):
        for kind, tokens in zip(kinds, (GATE_TOKENS, 1024), strict=True):  # 1024 is a square, 2048 is not
            for levels in (1, 2, 3):
                shape = Shape(1, 2, tokens, width)
                gates += gate_hierarchy(shape, kind, device, torch.bfloat16, levels)
        shape = Shape(1, 2, 2000, width)
        given = make_inputs("random", shape, device, torch.bfloat16)
        gates += gate_plan(f"blocks 2000 D={width}", given, random_blocks(shape, 0.3, device))
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        lines = ", ".join(f"{g.what} {g.error:.2e} against {g.own:.2e}" for g in failed)
        raise RuntimeError(f"not timed, for these are further from fp64 than twice their dtype's own error: {lines}")
    notify(f"gate passed: {len(gates)} comparisons with fp64")
    return gates


def _worst(gates: Sequence[Gate], start: str, width: int, *, gradients: bool) -> float:
    """The largest error at the gate of what a row times."""
    ends = ("out", "dq", "dk", "dv") if gradients else ("out",)
    mine = [g.error for g in gates if g.what.startswith(start) and f"D={width}" in g.what and g.what.endswith(ends)]
    return float(f"{max(mine):.3g}")


class _Dense:
    """The faster of the dense backends for some inputs, timed once."""

    def __init__(self, given: Triple, grad: Tensor | None, device: torch.device) -> None:
        self.name, self.timing = "", Timing(math.inf, math.inf, math.inf)
        for name, backend in BACKENDS.items():
            if name == "flash" and given[0].shape[2] > LONG:  # the slower one where it was measured, and seconds long
                continue
            try:
                timing = measure(_call(lambda q, k, v, b=backend: dense(q, k, v, b), given, grad), 0.2)  # type: ignore[misc]
            except RuntimeError:  # a backend that does not take these inputs
                continue
            if timing.median < self.timing.median:
                self.name, self.timing = name, timing


def _call(attention: Attention, given: Triple, grad: Tensor | None) -> Callable[[], object]:
    """One forward, or with an output gradient, one forward and backward."""
    if grad is None:
        return lambda: attention(*given)
    q, k, v = (x.detach().clone().requires_grad_() for x in given)
    return lambda: torch.autograd.grad(attention(q, k, v), (q, k, v), grad)


def _llsa_rows(device: torch.device, gates: Sequence[Gate], peers: dict[int, Attention], notify: Notify) -> list[Row]:
    from chatdit.kernels.llsa.call import llsa_attention

    rows: list[Row] = []
    kinds: tuple[Inputs, ...] = ("random", "smooth")
    for width in (64, 128):
        known: dict[tuple[int, bool], _Dense] = {}
        for kind in kinds:
            for tokens, levels in HIERARCHIES:
                shape, hierarchy, axis = Shape(2, 4, tokens, width), Hierarchy(levels=levels), BlockAxis(tokens, 16)
                given = make_inputs(kind, shape, device, torch.bfloat16)
                plan_ms = measure(lambda: llsa_plan(*given[:2], hierarchy, axis, axis)).median  # noqa: B023
                for backward in (False, True):
                    if backward and tokens > LONG and (kind == "smooth" or width > 64):
                        continue
                    grad = torch.randn_like(given[0]) if backward else None
                    key = (tokens, backward)
                    if key not in known:  # dense time does not depend on the values
                        known[key] = _Dense(given, grad, device)
                    timing = measure(_call(lambda q, k, v: llsa_attention(q, k, v, hierarchy).out, given, grad))  # noqa: B023
                    row = _row("llsa", shape, kind, timing, known[key], backward=backward) | {"levels": levels}
                    row |= {"ms_plan": plan_ms, "density": round(hierarchy_density(tokens, hierarchy), 5)}
                    row["error_vs_fp64"] = _worst(gates, f"llsa {kind}", width, gradients=backward)
                    if levels in peers:
                        row["ms_peer"] = _peer_ms(peers[levels], given, grad, device, notify)
                    rows.append(_told(row, notify))
    return rows


def _peer_ms(peer: Attention, given: Triple, grad: Tensor | None, device: torch.device, notify: Notify) -> float | None:
    try:
        return measure(_call(peer, given, grad)).median
    except Exception as error:  # other people's code: what it cannot do must not end our run
        notify(f"the peer was left out: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return None


def _block_rows(device: torch.device, gates: Sequence[Gate], peers: dict[int, Attention], notify: Notify) -> list[Row]:
    rows: list[Row] = []
    for shape in BLOCK_SHAPES:
        given = make_inputs("random", shape, device, torch.bfloat16)
        base = _Dense(given, None, device)
        for share in (0.1, 0.3):
            plan = random_blocks(shape, share, device)
            timing = measure(_call(_planned(plan), given, None))
            row = _row("blocks", shape, "random", timing, base, backward=False)
            rows.append(_told(row | _efficiency(plan, shape, timing.median, base, 0.0, gates), notify))
    return rows


def _policy_rows(device: torch.device, gates: Sequence[Gate], peers: dict[int, Attention], notify: Notify) -> list[Row]:
    """Policies in the middle of a run of fifty steps: AdaSpa at a step it searches at, SVG2 going on from centroids."""
    rows: list[Row] = []
    for shape in BLOCK_SHAPES:
        geometry, step, layer = VIDEOS[shape.tokens], Place(30, 50), Place(10, 40)
        given = make_video(geometry, shape.heads, shape.head_dim, device, torch.bfloat16)
        base = _Dense(given, None, device)
        for name, make in POLICIES.items():
            policy = make(given, geometry)  # what one remembers holds for one shape

            def plan_of(policy: Policy = policy, given: Triple = given, geometry: Geometry = geometry) -> BlockPlan:
                return policy(given[0], given[1], geometry, step, layer)  # noqa: B023

            try:
                plan = plan_of()
                plan_ms = measure(plan_of).median
                timing = measure(_call(_planned(plan), given, None))
            except torch.OutOfMemoryError as error:
                notify(f"{name} {shape.tokens}: left out, {str(error).splitlines()[0]}")
                continue
            whole = Timing(*(round(ms + plan_ms, 4) for ms in timing))
            row = _row(name, shape, "video", whole, base, backward=False)
            rows.append(_told(row | _efficiency(plan, shape, timing.median, base, plan_ms, gates), notify))
    return rows


def _searched(given: Triple, geometry: Geometry) -> Policy:
    """Sparse-vDiT with the patterns that its search, which is done offline, finds for these inputs."""
    patterns = search_patterns(*given, geometry)
    return SparseVdit(PatternTable((patterns,) * 40))


def _planned(plan: BlockPlan) -> Attention:
    return lambda q, k, v: sparse_attention(q, k, v, plan, impl="triton")


def _efficiency(plan: BlockPlan, shape: Shape, ms: float, base: _Dense, plan_ms: float, gates: Sequence[Gate]) -> Row:
    """The plan's density, and dense time times density over the kernel's time: 1 is as good as dense."""
    share = density(plan, shape.heads)
    return {
        "ms_plan": plan_ms,
        "density": round(share, 5),
        "efficiency": round(base.timing.median * share / ms, 3),
        "error_vs_fp64": _worst(gates, "blocks", shape.head_dim, gradients=False),
    }


def _row(policy: str, shape: Shape, inputs: Inputs, timing: Timing, base: _Dense, *, backward: bool) -> Row:
    return {
        "policy": policy,
        "tokens": shape.tokens,
        "batch": shape.batch,
        "heads": shape.heads,
        "head_dim": shape.head_dim,
        "dtype": "bfloat16",
        "direction": "forward_backward" if backward else "forward",
        "inputs": inputs,
        "ms": timing.median,
        "ms_spread": [timing.low, timing.high],
        "ms_dense": base.timing.median,
        "dense": base.name,
        "ratio": round(base.timing.median / timing.median, 2),
    }


def _told(row: Row, notify: Notify) -> Row:
    notify(
        f"{row['policy']} {row['tokens']} x {row['head_dim']} {row['direction']} {row['inputs']}: {row['ms']} ms "
        f"{row['ms_spread']}, {row['dense']} {row['ms_dense']} ms, ratio {row['ratio']}"
    )
    return row
