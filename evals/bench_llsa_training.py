"""Whether a diffusion transformer over pixels trains as well with LLSA as with dense attention, and how fast.

Both are trained from the same seeds on the same pictures, captions, noise and steps. The difference between them is
set beside the difference between seeds. A training that is done is kept in the folder, and not done again.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.kernels.policies.geometry import Policy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.tools.training.pixel import SMALL_PIXEL_RECIPE, Pictures, PixelRecipe, draw_pictures, train_pixel

Notify = Callable[[str, int, int], None]
ATTENTIONS: dict[str, Callable[[], Policy | None]] = {"dense": lambda: None, "llsa": Llsa}


def run(
    out: Path,
    *,
    device: torch.device,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int | None = None,
    side: int | None = None,
    loaders: int = 8,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Train each seed with each attention; a JSON record. What `out` holds of the same recipe is not done again."""
    recipe = PixelRecipe() if device.type == "cuda" else SMALL_PIXEL_RECIPE
    recipe = replace(recipe, steps=steps or recipe.steps, side=side or recipe.side)
    out.mkdir(parents=True, exist_ok=True)
    pictures: Pictures | None = None
    rows: list[dict[str, object]] = []
    for seed in seeds:
        for name, policy in ATTENTIONS.items():
            path = out / f"{name}-{seed}.json"
            row = _kept(path, recipe, device)
            if row is None:
                if pictures is None:
                    pictures = draw_pictures(recipe, device, 0, loaders if device.type == "cuda" else 0)
                result = train_pixel(pictures, recipe, policy(), seed, notify=notify)
                row = {"attention": name, "seed": seed, **asdict(result)}
                kept = {"recipe": asdict(recipe), "device": describe_device(device), "row": row}
                path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
            rows.append(row)
    return {
        "benchmark": "llsa-training",
        "command": f"chatdit bench llsa-training --device {device.type} --seeds {len(seeds)} --steps {recipe.steps} "
        f"--side {recipe.side} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(device),
        "versions": versions("triton", "diffusers"),
        "recipe": asdict(recipe) | {"tokens": recipe.tokens},
        "note": "loss is the flow-matching loss on pictures that were left out, with the same noise for all; the "
        "difference is LLSA less dense for each seed, the spread is the sample deviation of dense over seeds",
        **_summary(rows),
        "rows": rows,
    }


def _kept(path: Path, recipe: PixelRecipe, device: torch.device) -> dict[str, object] | None:
    """The row of a training that was done with this recipe on this device."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    same = kept["recipe"] == json.loads(json.dumps(asdict(recipe))) and kept["device"] == describe_device(device)
    row: dict[str, object] | None = kept["row"] if same else None
    return row


def _summary(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    def of(name: str, field: str) -> list[float]:
        return [float(str(row[field])) for row in rows if row["attention"] == name]

    dense, llsa = of("dense", "loss"), of("llsa", "loss")
    differences = [b - a for a, b in zip(dense, llsa, strict=True)]
    return {
        "loss_dense": round(statistics.mean(dense), 5),
        "loss_llsa": round(statistics.mean(llsa), 5),
        "difference": round(statistics.mean(differences), 5),
        "difference_range": [round(min(differences), 5), round(max(differences), 5)],
        "seed_spread": round(statistics.stdev(dense), 5) if len(dense) > 1 else None,
        "step_ms_dense": round(statistics.median(of("dense", "step_ms")), 2),
        "step_ms_llsa": round(statistics.median(of("llsa", "step_ms")), 2),
        "speed": round(statistics.median(of("dense", "step_ms")) / statistics.median(of("llsa", "step_ms")), 3),
    }
