"""How many pictures of the pocket world a device renders a second, and how many one process thinks up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.pocket.drawing import Drawing
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.training.streams import StreamOptions, stream

_PANELS = (1, 2, 4)


def run(*, device: str = "cpu", repeats: int = 5, batch: int = 64) -> dict[str, object]:
    """Pictures a second of rendering, and of making scenes and captions in one process; a JSON record."""
    renderer = Renderer(device)
    speeds: dict[str, object] = {}
    for panels in _PANELS:
        sets = max(1, batch // panels)
        chunks = stream(StreamOptions(panels, sets), "bench", workers=0)
        numbers = next(chunks).drawing
        speeds[f"made_{panels}"] = _rate(partial(next, chunks), sets * panels, repeats)
        speeds[f"rendered_{panels}"] = _rate(partial(_draw, renderer, numbers), sets * panels, repeats)
    return {
        "benchmark": "world",
        "command": f"chatdit bench world --device {device} --repeats {repeats} --batch {batch} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(renderer.device),
        "versions": versions("pillow"),
        "batch": batch,
        "pictures_per_second": speeds,
    }


def _draw(renderer: Renderer, numbers: Drawing) -> None:
    renderer.draw(numbers)
    if renderer.device.type == "cuda":
        torch.cuda.synchronize(renderer.device)


def _rate(work: Callable[[], object], pictures: int, repeats: int) -> dict[str, float | int]:
    work()
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        rates.append(pictures / (time.perf_counter() - started))
    return {
        "median": round(statistics.median(rates), 1),
        "min": round(min(rates), 1),
        "max": round(max(rates), 1),
        "n": repeats,
    }
