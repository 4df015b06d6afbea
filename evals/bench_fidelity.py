"""How far each policy's output is from dense attention, against the share of pairs that it computes.

On queries, keys and values of pocket while it draws: a canvas of four panels, whose panels are frames to the
policies, and one large picture. The error is of one call alone, ‖o - o_dense‖ / ‖o_dense‖ over the picture's
tokens, so it says which policy is closer at equal cost, not how a finished picture looks. Nothing is carried
from one call to the next: AdaSpa searches at the very step it is measured at, and SVG2 clusters from scratch.
"""

from __future__ import annotations

import copy
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

import torch
from torch import Tensor

from chatdit.evals.captured_attention import Captured, capture, capture_random_flux, dense
from chatdit.evals.records import commit
from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.density import plan_density
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.block_choice import top_k_rows
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.efficient_vdit import EfficientVdit
from chatdit.kernels.policies.geometry import Geometry, Place, Policy, tiled_axis
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.nabla import Nabla
from chatdit.kernels.policies.sparse_vdit import PatternTable, SparseVdit
from chatdit.kernels.policies.sparse_vdit_search import search_patterns
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.tesa import Tesa
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.sparse_attention import sparse_attention
from chatdit.tools.dit.model import DiT, Row, Segment

Notify = Callable[[str, int, int], None]

CAPTIONS = (
    "a panda on the beach", "a large fox in the forest", "a cat left of a rocket on the beach",
    "a robot on the moon", "a penguin right of a tent at night", "a large whale under water",
)  # fmt: skip
PLACES = ("on the beach", "in the forest", "in the snow", "on the moon")


@dataclass(frozen=True)
class Setting:
    """A policy at one of its settings; `setting` names what is varied."""

    name: str
    setting: str
    policy: Policy


@dataclass(frozen=True)
class RandomTiles:
    """The control: k tiles of 16 tokens drawn at random for each tile of queries."""

    k: int

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Static plan, of another draw for each layer and step."""
        axis = tiled_axis(geometry, (4, 4), q.device)
        generator = torch.Generator().manual_seed(1000 * step.index + layer.index)
        scores = torch.rand(*q.shape[:2], axis.blocks, axis.blocks, generator=generator).to(q.device)
        return BlockPlan(axis, axis, top_k_rows(scores, self.k), trusted=True)


def run(
    *, seeds: int = 4, steps: int = 8, side: int = 256, notify: Notify = lambda what, done, total: None
) -> dict[str, object]:
    """Measure every policy on `seeds` canvases of four panels of `side` pixels and as many pictures of twice that."""
    dit = DiT.load("pocket", device="cpu")
    kept_steps = tuple(sorted({steps // 8, steps // 2, steps - 1}))
    kept_layers = tuple(range(0, dit.layers, 2))
    rows = {"canvas": [_canvas(i, side) for i in range(seeds + 1)], "picture": [_picture(i, side) for i in
                                                                               range(seeds + 1)]}  # fmt: skip
    results: list[dict[str, object]] = []
    tokens = {}
    for kind, drawn in rows.items():
        calls = []
        for i, row in enumerate(drawn):
            calls.append(capture(dit, row, steps=steps, kept_steps=kept_steps, kept_layers=kept_layers))
            notify(f"drawing {kind}", i + 1, len(drawn))
        found = calls[0][0]
        tokens[kind] = {"text": found.geometry.length - found.geometry.body, "image": found.geometry.body}
        measured = [call for each in calls[1:] for call in each]
        settings = [*_settings(found), *_searched(calls[0], dit.layers)]
        for i, setting in enumerate(settings):
            results.append({"case": kind} | _measure(setting, measured))
            notify(f"policies on {kind}", i + 1, len(settings))
    return {
        "benchmark": "fidelity",
        "command": f"chatdit bench fidelity --seeds {seeds} --steps {steps} --side {side} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": dit.name, "weights": dit.weights_hash},
        "sampling": {"steps": steps, "kept_steps": list(kept_steps), "kept_layers": list(kept_layers)},
        "tokens": tokens,
        "seeds": list(range(1, seeds + 1)),
        "calls_each": len(kept_steps) * len(kept_layers) * seeds,
        "note": "seed 0 is what sparse-vdit searched its table on; error is relative L2 over image tokens, mean and "
        "standard deviation over calls; density counts text too",
        "device": {"kind": "cpu", "threads": torch.get_num_threads(), "machine": platform.machine()},
        "versions": {name: metadata.version(name) for name in ("torch", "diffusers")}
        | {"python": platform.python_version()},
        "rows": results,
    }


def run_random_flux(
    *, side: int = 512, heads: int = 24, head_dim: int = 128, notify: Notify = lambda what, done, total: None
) -> dict[str, object]:
    """The same on the calls of two blocks of FLUX.1's shapes with random weights; a record of its own."""
    calls = capture_random_flux(side, heads=heads, head_dim=head_dim)
    settings, rows = _settings(calls[0]), []
    for i, setting in enumerate(settings):
        rows.append({"case": "flux"} | _measure(setting, calls))
        notify("policies on random FLUX", i + 1, len(settings))
    return {
        "benchmark": "fidelity_flux",
        "command": f"chatdit bench fidelity --flux --side {side} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"class": "FluxTransformer2DModel", "blocks": [1, 1], "heads": heads, "head_dim": head_dim,
                  "weights": "random"},
        "tokens": {"text": calls[0].geometry.length - calls[0].geometry.body, "image": calls[0].geometry.body},
        "note": "for shape only: nothing is learned in random weights, whose attention is almost even",
        "device": {"kind": "cpu", "threads": torch.get_num_threads(), "machine": platform.machine()},
        "versions": {name: metadata.version(name) for name in ("torch", "diffusers")}
        | {"python": platform.python_version()},
        "rows": rows,
    }  # fmt: skip


def _canvas(seed: int, side: int) -> Row:
    subject = CAPTIONS[seed % len(CAPTIONS)].split(" on ")[0].split(" in ")[0]
    caption = " ".join(f"[panel{i}] {subject} {place}" for i, place in enumerate(PLACES, start=1))
    return Row(caption, tuple(Segment(side, side, panel=i) for i in range(len(PLACES))), seed)


def _picture(seed: int, side: int) -> Row:
    return Row(CAPTIONS[seed % len(CAPTIONS)], (Segment(2 * side, 2 * side),), seed)


def _settings(call: Captured) -> list[Setting]:
    """Every policy but the searched one at the settings that fit the grid of a call."""
    frames, tiles = call.geometry.frames, call.geometry.body // 16
    cubes = tiles // 4
    several = [k for k in (1, 2, 4, 8, 16, 32) if k < tiles]
    found = [
        *(Setting("llsa", f"k={k}", Llsa(Hierarchy(k=k))) for k in several),
        *(Setting("vsa", f"k={k}", Vsa(k=k)) for k in several if k < cubes),
        *(
            Setting("draft", f"sparsity={s}, patch=4x4", Draft(sparsity=s, patch=(4, 4), dense_steps=0))
            for s in (0.95, 0.9, 0.8, 0.6, 0.4)
        ),
        *(
            Setting("draft", f"sparsity={s}, patch=8x16", Draft(sparsity=s, dense_steps=0))
            for s in (0.9, 0.8, 0.6, 0.4)
        ),
        *(
            Setting("nabla", f"p={p}, no window", Nabla(p=p, window=None, tile=(4, 4)))
            for p in (0.1, 0.2, 0.4, 0.6, 0.8)
        ),
        *(
            Setting("adaspa", f"sparsity={s}, block=16", AdaSpa(s, block=16, search_steps=(0,)))
            for s in (0.95, 0.9, 0.8, 0.6, 0.4)
        ),
        *(
            Setting("svg2", f"p={p}, 16 and 64 clusters", Svg2(16, 64, p, least=0, dense_steps=0))
            for p in (0.1, 0.2, 0.4, 0.6, 0.8)
        ),
        *(Setting("tesa", f"window={w}", Tesa(w)) for w in ((4, 4, 4), (4, 8, 8), (1, 8, 8), (4, 16, 16))),
        *(Setting("random", f"k={k}", RandomTiles(k)) for k in several),
    ]
    if frames == 1:
        found += [Setting("clear", f"radius={r}", Clear(radius=r, tile=(4, 4))) for r in (2, 4, 6, 8, 12)]
    else:
        found += [Setting("efficient-vdit", f"references={k}", EfficientVdit(k)) for k in (1, 2, 3) if k <= frames]
    return found


def _searched(calls: Sequence[Captured], layers: int) -> list[Setting]:
    """Sparse-vDiT with tables searched on the calls of one seed, at several weights of cost against error."""
    found = []
    for weight in (0.001, 0.01, 0.1, 1.0):
        of_layer = {
            call.layer.index: search_patterns(call.q, call.k, call.v, call.geometry, block=32, window=1, weight=weight)
            for call in calls
        }
        last = list(of_layer.values())[-1]
        table = PatternTable(tuple(of_layer.get(i, last) for i in range(layers)), block=32, window=1)
        found.append(Setting("sparse-vdit", f"weight={weight}, block=32", SparseVdit(table, 0, 0)))
    return found


@torch.no_grad()
def _measure(setting: Setting, calls: Sequence[Captured]) -> dict[str, object]:
    errors, densities = [], []
    for call in calls:
        # each call by itself, so that nothing of another seed is remembered
        plan = copy.deepcopy(setting.policy)(call.q, call.k, call.geometry, call.step, call.layer)
        out, exact = sparse_attention(call.q, call.k, call.v, plan), dense(call)
        text = call.geometry.text[0].stop
        errors.append(float((out - exact)[:, :, text:].norm() / exact[:, :, text:].norm()))
        densities.append(float(plan_density(plan, call.q.shape[1], call.q.device)))
    return {
        "policy": setting.name,
        "setting": setting.setting,
        "density": round(statistics.fmean(densities), 4),
        "error": round(statistics.fmean(errors), 4),
        "error_sd": round(statistics.stdev(errors), 4) if len(errors) > 1 else 0.0,
        "n": len(errors),
    }
