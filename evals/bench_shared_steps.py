"""Time of a FLUX step whose sequence several GPUs share, dense and with a policy, beside one GPU's; and the difference.

Started by torchrun, one process for each GPU. Each computes the step alone first, then together with the others by
diffusers' context parallelism (Ulysses). Full size, random weights; `tiny` runs the same code on a small model on CPUs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed._functional_collectives import AsyncCollectiveTensor

from chatdit.evals.bench_attention_steps import (
    POLICIES,
    STEPS,
    WARM_UP,
    arguments_of,
    model_of,
    step,
    timed,
)
from chatdit.evals.records import commit
from chatdit.tools.runtime.attach import attach
from chatdit.tools.training.team import Team, team

Notify = Callable[[str, int, int], None]
SIDES = (2048, 4096)
TINY_SIDES = (256,)


def run(
    *,
    sides: Sequence[int] | None = None,
    policies: Sequence[str] = ("llsa", "draft"),
    tiny: bool = False,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object] | None:
    """A JSON record for the first process, None for the others.

    Raises ValueError where torchrun has not started two processes or more.
    """
    with team(torch.device("cpu" if tiny else "cuda")) as members:
        if members.size < 2:
            raise ValueError(
                "a shared step needs two processes: torchrun --no-python --nproc-per-node 2 chatdit bench shared-steps"
            )
        sides = sides or (TINY_SIDES if tiny else SIDES)
        rows = _rows(members, sides, policies, tiny, notify)
        if not members.leads:
            return None
        return {
            "benchmark": "shared_steps",
            "command": f"torchrun --no-python --nproc-per-node {members.size} chatdit bench shared-steps "
            f"--sides {','.join(map(str, sides))} --policies {','.join(policies)}{' --tiny' if tiny else ''} --json",
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": commit(),
            "device": {"name": "cpu" if tiny else torch.cuda.get_device_name(members.device), "count": members.size},
            "versions": {name: metadata.version(name) for name in ("torch", "diffusers", "triton")},
            "note": "error is the shared step's output beside one device's, relative root mean square; effect is what "
            "the policy does to the output, measured likewise; what dense attention's error is, the dtype makes",
            "rows": rows,
        }


def _rows(
    members: Team, sides: Sequence[int], policies: Sequence[str], tiny: bool, notify: Notify
) -> list[dict[str, object]]:
    model = model_of(tiny, members.device)
    everything = [(side, name) for side in sides for name in ("dense", *policies)]
    given = {side: _same_everywhere(arguments_of(model, side // 16)) for side in sides}
    alone = {key: _measured(model, given[key[0]], key[1]) for key in everything}
    _share(model, members)
    rows: list[dict[str, object]] = []
    for i, (side, name) in enumerate(everything):
        ms_one, spread_one, one = alone[side, name]
        ms, spread, shared = _measured(model, given[side], name)
        rows.append(
            {"policy": name, "side": side, "devices": members.size, "ms": ms, "ms_spread": spread, "ms_one": ms_one,
             "ms_one_spread": spread_one, "speed": round(ms_one / ms, 3), "error": _error(shared, one),
             "effect": _error(one, alone[side, "dense"][2])}
        )  # fmt: skip
        notify("steps", i + 1, len(everything))
    return rows


def _measured(model: Any, arguments: dict[str, Any], name: str) -> tuple[float, float, Tensor]:
    """Median and range in ms of a step in the second half of a run, and what the last one put out."""
    last: list[Tensor] = []

    def once() -> Tensor:
        last[:] = [_arrived(step(model, arguments))]
        return last[0]

    with nullcontext() if name == "dense" else attach(model, POLICIES[name](), dense_below=0) as attachment:
        if attachment is not None:
            attachment.begin(steps=STEPS)
        ms, spread = timed(once, model.device, warm_up=WARM_UP)
    return ms, spread, last[0]


def _arrived(output: Tensor) -> Tensor:
    """The output, waited for: a shared step returns while its last gather is under way.

    What nobody waits for is not in the measured time, and may abort the process at its end.
    """
    return output.wait() if isinstance(output, AsyncCollectiveTensor) else output


def _share(model: Any, members: Team) -> None:
    from diffusers.models._modeling_parallel import ContextParallelConfig

    kind = members.device.type
    mesh = distributed.device_mesh.init_device_mesh(kind, (1, members.size), mesh_dim_names=("ring", "ulysses"))
    counted = torch.accelerator.device_count
    if kind == "cpu":  # diffusers asks how many accelerators there are, and divides by it
        torch.accelerator.device_count = lambda: 1
    try:
        model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=members.size, mesh=mesh))
    finally:
        torch.accelerator.device_count = counted


def _same_everywhere(arguments: dict[str, Any]) -> dict[str, Any]:
    for value in arguments.values():
        distributed.broadcast(value, src=0)
    return arguments


def _error(got: Tensor, truth: Tensor) -> float:
    return float(f"{float((got.double() - truth.double()).norm() / truth.double().norm()):.3g}")
