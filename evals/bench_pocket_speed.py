"""How long the embedded model takes on this machine, and how much memory.

It is measured as it draws by default, in few steps of one pass, and in quality mode, with twice the passes.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.model import DiT, Row, SamplingDefaults, SamplingOptions, Segment
from chatdit.tools.pocket.captions import joint_caption
from chatdit.tools.pocket.scene import MAX_PANELS, PICTURE_PIXELS

QUALITY_GUIDANCE = 2.0
"""Of quality mode, for a model that draws without guidance unless it is asked to."""
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

    With `steps` there are no other modes.
    """
    dit = DiT.load(model, device=device)
    sampling = SamplingOptions(steps=steps, guidance=guidance)
    single = Row("a large fox in the forest", _segments(1), 0)
    four = Row(joint_caption([f"a fox {place}" for place in _PLACES]), _segments(MAX_PANELS), 0)
    latents = torch.zeros(1, 16, PICTURE_PIXELS // 8, PICTURE_PIXELS // 8, device=dit.device)
    modes = sampling_modes(dit.defaults)._asdict() if steps is None else {}
    more = {
        f"seconds_{name}": _seconds(partial(dit.sample, [single], sampling=mode), repeats)
        for name, mode in modes.items()
    }
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


class SamplingModes(NamedTuple):
    """How a model is asked when few steps count, and when quality does."""

    few_step: SamplingOptions
    quality: SamplingOptions


def sampling_modes(defaults: SamplingDefaults) -> SamplingModes:
    """A model's own steps in one pass each, and twice the passes: by guidance, or by steps for a distilled model."""
    few = SamplingOptions(steps=defaults.steps, guidance=1.0)
    if defaults.horizon is not None:
        return SamplingModes(few, SamplingOptions(steps=2 * defaults.steps, guidance=1.0))
    guidance = defaults.guidance if defaults.guidance > 1 else QUALITY_GUIDANCE
    return SamplingModes(few, SamplingOptions(steps=defaults.steps, guidance=guidance))


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
