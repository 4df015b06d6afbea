"""Where the time of a step of pocket's base training goes, part by part.

The host's time is what a call keeps Python busy for; the whole time ends when the device has done its work. A part
whose two times are alike keeps the device waiting.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.loading import load_pocket_modules
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.vocabulary import caption_vocabulary
from chatdit.tools.training.base import SMALL_RECIPE, BaseRecipe, PocketModel, build_model, flow_loss
from chatdit.tools.training.examples import GRID, Batch, encode_tokens, panel_positions, shrunk, untold
from chatdit.tools.training.pooled import Average, optimiser_of
from chatdit.tools.training.steps import RecordedStep
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import without_cudnn_attention

Notify = Callable[[str, int, int], None]
TEXT_TOKENS = 32
_WAYS = ("eager", "compiled", "recorded")


def run(
    *,
    device: torch.device,
    pixels: int = PICTURE_PIXELS,
    repeats: int = 5,
    small: bool = False,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Milliseconds of each part for every number of panels; a JSON record. `small` times the recipe of a CPU's check.

    `step_ms` adds up what a mean step does: a batch, its share of new pictures, the optimiser, the average.
    """
    recipe = BaseRecipe() if device.type == "cuda" else SMALL_RECIPE
    recipe = replace(recipe, pixels=pixels)
    if small:
        recipe = replace(recipe, batches={panels: 1 for panels in recipe.batches}, chunk=4)
    torch.manual_seed(0)
    timer = _Timer(device, repeats)
    with without_cudnn_attention():
        pictures = _picture_parts(recipe, timer, notify)
        steps = _step_parts(recipe, timer, notify)
    parts = pictures | steps
    return {
        "benchmark": "training",
        "command": f"chatdit bench training --device {device.type} --pixels {pixels} --repeats {repeats} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(device),
        "versions": versions("diffusers"),
        "pixels": recipe.pixels,
        "batches": {panels: recipe.rows(panels) for panels in recipe.batches},
        "chunk": recipe.chunk,
        "step_ms": _mean_step(recipe, parts),
        "parts": parts,
    }


class _Timer:
    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self._repeats = device, repeats

    def __call__(self, work: Callable[[], object]) -> dict[str, float]:
        """Medians, after one call that is not timed."""
        hosts, wholes = [], []
        for _ in range(self._repeats + 1):
            started = self.now()
            work()
            host = time.perf_counter() - started
            hosts.append(1000 * host)
            wholes.append(1000 * (self.now() - started))
        return {"ms": round(statistics.median(wholes[1:]), 2), "ms_host": round(statistics.median(hosts[1:]), 2)}

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _picture_parts(recipe: BaseRecipe, timer: _Timer, notify: Notify) -> dict[str, dict[str, float]]:
    renderer = Renderer(timer.device)
    autoencoder = load_pocket_modules("pocket").autoencoder.to(timer.device).eval().requires_grad_(False)
    parts = {}
    for i, panels in enumerate(recipe.batches):
        sets = max(1, recipe.chunk // panels)
        chunk = next(stream(StreamOptions(panels, sets), "bench", workers=0)).drawing
        parts[f"draw_{panels}"] = timer(partial(renderer.draw, chunk))
        parts[f"encode_{panels}"] = timer(
            partial(encode_tokens, autoencoder, shrunk(renderer.draw(chunk), recipe.pixels))
        )
        notify("pictures", i + 1, len(recipe.batches))
    return parts


def _step_parts(recipe: BaseRecipe, timer: _Timer, notify: Notify) -> dict[str, dict[str, float]]:
    model = build_model(recipe.blocks).to(timer.device)
    optimiser, average = optimiser_of(model), Average(model, recipe.average)
    parts = {}
    for how in ("eager", "compiled") if recipe.compile else ("eager",):
        if how == "compiled":
            model.transformer.compile_repeated_blocks(dynamic=False)  # type: ignore[no-untyped-call]
        for i, panels in enumerate(recipe.batches):
            batch = _batch(recipe, panels, timer.device)
            started = timer.now()
            _forward_backward(model, batch)
            first = 1000 * (timer.now() - started)
            parts[f"{how}_{panels}"] = timer(partial(_forward_backward, model, batch)) | {"ms_first": round(first, 1)}
            notify(f"{how} steps", i + 1, len(recipe.batches))
    if timer.device.type == "cuda":
        recorded = RecordedStep(partial(flow_loss, model), model)
        for panels in recipe.batches:
            found = timer(partial(recorded, _batch(recipe, panels, timer.device)))
            if recorded.records:
                parts[f"recorded_{panels}"] = found
    parts["optimiser"] = timer(partial(optimiser.step, 0.0, 0.0))
    parts["average"] = timer(partial(average.update, model, 1000))
    return parts


def _batch(recipe: BaseRecipe, panels: int, device: torch.device) -> Batch:
    size, tokens = recipe.rows(panels), panels * (recipe.pixels // GRID.token_size) ** 2
    ids = torch.randint(1, len(caption_vocabulary()), (size, TEXT_TOKENS), device=device)
    given = torch.zeros(size, tokens, dtype=torch.bool, device=device)
    positions = panel_positions(panels, canvas=True, pixels=recipe.pixels).to(device)
    squares = untold(size, panels, device)
    return Batch(torch.randn(size, tokens, GRID.elements, device=device), ids, positions, given, squares)


def _forward_backward(model: PocketModel, batch: Batch) -> None:
    flow_loss(model, batch).backward()  # type: ignore[no-untyped-call]


def _mean_step(recipe: BaseRecipe, parts: dict[str, dict[str, float]]) -> float:
    total = parts["optimiser"]["ms"] + parts["average"]["ms"]
    shares = sum(recipe.shares.values())
    for panels in recipe.batches:
        best = min(part["ms"] for how in _WAYS if (part := parts.get(f"{how}_{panels}")))
        sets = max(1, recipe.chunk // panels)
        fresh = (
            recipe.rows(panels)
            / (recipe.reuse * recipe.smaller)
            / sets
            * (parts[f"draw_{panels}"]["ms"] + parts[f"encode_{panels}"]["ms"])
        )
        total += recipe.shares.get(panels, 0.0) / shares * (best + fresh)
    return round(total, 2)
