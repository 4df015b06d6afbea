"""How long the embedded model takes on this machine, and how much memory.

A model of few steps is measured at its own steps and in quality mode, which is twice as many.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.pocket.captions import joint_caption
from chatdit.tools.pocket.scene import MAX_PANELS, PICTURE_PIXELS

_PLACES = ("on the beach", "in the forest", "in the snow", "at night")


def run(
    *,
    model: str = "pocket",
    device: str = "cpu",
    repeats: int = 5,
    steps: int | None = None,
    guidance: float | None = None,
) -> dict[str, object]:
    """Seconds for one picture of 256 pixels and for a set of four, decoding alone, and peak memory; a JSON record.

    With `steps` there is no quality mode.
    """
    dit = DiT.load(model, device=device)
    sampling = SamplingOptions(steps=steps, guidance=guidance)
    single = Row("a large fox in the forest", _segments(1), 0)
    four = Row(joint_caption([f"a fox {place}" for place in _PLACES]), _segments(MAX_PANELS), 0)
    latents = torch.zeros(1, 16, PICTURE_PIXELS // 8, PICTURE_PIXELS // 8, device=dit.device)
    quality = quality_mode(dit) if steps is None else None
    more = (
        {} if quality is None else {"seconds_quality": _seconds(lambda: dit.sample([single], None, quality), repeats)}
    )
    return {
        "benchmark": "pocket-speed",
        "command": f"chatdit bench pocket-speed --device {device} --repeats {repeats} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": dit.name, "weights": dit.weights_hash},
        "sampling": {
            "steps": dit.defaults.steps if steps is None else steps,
            "guidance": dit.defaults.guidance if guidance is None else guidance,
        },
        "device": describe_device(dit.device),
        "versions": versions("diffusers"),
        "seconds_per_picture": _seconds(lambda: dit.sample([single], sampling=sampling), repeats),
        **more,
        "seconds_four_panels": _seconds(lambda: dit.sample([four], sampling=sampling), repeats),
        "seconds_decode": _seconds(lambda: dit.images.decode(latents).cpu(), repeats),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def quality_mode(dit: DiT) -> SamplingOptions | None:
    """Twice its steps for a model of few; None for others."""
    return None if dit.defaults.horizon is None else SamplingOptions(steps=2 * dit.defaults.steps)


def _segments(panels: int) -> tuple[Segment, ...]:
    return tuple(Segment(PICTURE_PIXELS, PICTURE_PIXELS, panel=i) for i in range(panels))


@torch.no_grad()
def _seconds(work: Callable[[], object], repeats: int) -> dict[str, object]:
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return {
        "median": round(statistics.median(times), 3),
        "min": round(min(times), 3),
        "max": round(max(times), 3),
        "n": repeats,
        "each": [round(t, 3) for t in times],
    }
