"""What helps the training of the pocket model: optimisers and rates, shapes, alignments and sizes of pictures.

Each arm is trained from the same seeds on the same pictures, and differs from its baseline in one thing. Differences
stand beside the spread of the baseline over seeds, and those of an alignment beside its control with a shuffled
teacher. A training that is done is kept in the folder, and not done again.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.loading import load_pocket_modules
from chatdit.tools.training.trials.arms import Arm, chosen_arms, small_arm
from chatdit.tools.training.trials.pictures import TrialPictures, draw_trial_pictures
from chatdit.tools.training.trials.trial import SMALL_TRIAL_RECIPE, TrialRecipe, train_trial

Notify = Callable[[str, int, int], None]
Row = dict[str, object]
Losses = dict[int, float]
"""By seed."""


def run(
    out: Path,
    *,
    device: torch.device,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int | None = None,
    small: bool = False,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Train each arm with each seed; a JSON record. What `out` holds of the same recipe and arm is not done again.

    `small` trains tiny models on a few pictures, as a CPU always does.

    Raises:
        ValueError: there is no arm of a name.
    """
    small = small or device.type != "cuda"
    recipe = SMALL_TRIAL_RECIPE if small else TrialRecipe()
    recipe = replace(recipe, steps=steps or recipe.steps)
    chosen = [small_arm(arm) if small else arm for arm in chosen_arms(arms)]
    out.mkdir(parents=True, exist_ok=True)
    rows = _rows(out, chosen, recipe, device, seeds, notify)
    named = f" --arms {','.join(arms)}" if arms is not None else ""
    return {
        "benchmark": "trials",
        "command": f"chatdit bench trials{named} --device {device.type} --seeds {len(seeds)} "
        f"--steps {recipe.steps} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": describe_device(device),
        "versions": versions("diffusers"),
        "recipe": asdict(recipe),
        "note": "loss is the flow-matching loss of the averaged weights on pictures that were left out, with the same "
        "times and noise for all; differences are an arm less its baseline for each seed, below 0 where the arm is "
        "better; at equal time both are read off their curves where the shorter training ends, before the rates of "
        "the longer one have fallen; a spread is the sample deviation over seeds; every arm sees as many image tokens "
        "as the plain one, times its length; text tokens are not counted, so equal tokens are not quite equal time",
        "arms": summary(chosen, rows),
        "rows": rows,
    }


def _rows(
    out: Path,
    arms: Sequence[Arm],
    recipe: TrialRecipe,
    device: torch.device,
    seeds: Sequence[int],
    notify: Notify,
) -> list[Row]:
    """A row for each arm and seed; all arms of one seed before the next."""
    rows: dict[tuple[int, str], Row] = {}
    missing: list[tuple[int, Arm]] = []
    for seed in seeds:
        for arm in arms:
            row = _kept(_path(out, arm, seed), recipe, arm, device)
            if row is None:
                missing.append((seed, arm))
            else:
                rows[seed, arm.name] = row
    pictures = _pictures(recipe, [arm for _, arm in missing], device) if missing else None
    for done, (seed, arm) in enumerate(missing):
        assert pictures is not None
        notify(f"trainings, now {arm.name} with seed {seed}", done, len(missing))
        rows[seed, arm.name] = _trained(out, pictures, arm, recipe, seed, notify)
    return [rows[seed, arm.name] for seed in seeds for arm in arms]


def _pictures(recipe: TrialRecipe, arms: Sequence[Arm], device: torch.device) -> TrialPictures:
    sides = sorted({side for arm in arms for side, _ in arm.stages})
    return draw_trial_pictures(recipe.pictures, sides, load_pocket_modules("pocket").autoencoder, device)


def _trained(out: Path, pictures: TrialPictures, arm: Arm, recipe: TrialRecipe, seed: int, notify: Notify) -> Row:
    result = asdict(train_trial(pictures, arm, recipe, seed, notify=notify))
    row: Row = {"arm": arm.name, "seed": seed} | {name: _finite(value) for name, value in result.items()}
    kept = {"recipe": asdict(recipe), "arm": asdict(arm), "device": describe_device(pictures.device), "row": row}
    _path(out, arm, seed).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return json.loads(json.dumps(row))  # type: ignore[no-any-return]


def _kept(path: Path, recipe: TrialRecipe, arm: Arm, device: torch.device) -> Row | None:
    """The row of a training that was done with this recipe and arm on this device."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps({"recipe": asdict(recipe), "arm": asdict(arm), "device": describe_device(device)}))
    row: Row = kept.pop("row")
    return row if kept == wanted else None


def _path(out: Path, arm: Arm, seed: int) -> Path:
    return out / f"{arm.name}-{seed}.json"


def _finite(value: object) -> object:
    """The same with None for numbers that JSON does not have: a training that diverged."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(arms: Sequence[Arm], rows: Sequence[Row]) -> list[dict[str, object]]:
    """For each arm its loss, and its differences to its baseline and its control where both have the same seed."""
    by_arm = {arm.name: {int(str(row["seed"])): row for row in rows if row["arm"] == arm.name} for arm in arms}
    return [_summary(arm, by_arm) for arm in arms]


def _summary(arm: Arm, by_arm: dict[str, dict[int, Row]]) -> dict[str, object]:
    mine = by_arm[arm.name]
    losses = _losses(mine)
    found: dict[str, object] = {
        "arm": arm.name,
        "loss": _rounded(statistics.mean(losses.values()) if losses else None),
        "spread": _spread(losses),
        "diverged": len(mine) - len(losses),
        "step_ms": round(statistics.median(float(str(row["step_ms"])) for row in mine.values()), 2),
        "seconds": round(statistics.mean(float(str(row["seconds"])) for row in mine.values()), 1),
        "parameters": next(iter(mine.values()))["parameters"],
    }
    if arm.baseline in by_arm:
        base = by_arm[arm.baseline]
        found |= {"baseline": arm.baseline, "baseline_spread": _spread(_losses(base))}
        found |= _differences("difference", losses, _losses(base))
        found |= _differences("difference_at_equal_time", *_at_equal_time(mine, base))
    if arm.control in by_arm:
        found |= {"control": arm.control} | _differences("control_difference", losses, _losses(by_arm[arm.control]))
    return found


def _losses(rows: dict[int, Row]) -> Losses:
    return {seed: float(str(row["loss"])) for seed, row in rows.items() if row["loss"] is not None}


def _spread(losses: Losses) -> float | None:
    return _rounded(statistics.stdev(losses.values())) if len(losses) > 1 else None


def _differences(name: str, mine: Losses, others: Losses) -> dict[str, object]:
    each = [mine[seed] - others[seed] for seed in mine if seed in others]
    if not each:
        return {name: None, f"{name}_range": None}
    return {name: _rounded(statistics.mean(each)), f"{name}_range": [_rounded(min(each)), _rounded(max(each))]}


def _at_equal_time(mine: dict[int, Row], others: dict[int, Row]) -> tuple[Losses, Losses]:
    """Losses of both at the end of the shorter training of each seed."""
    found: tuple[Losses, Losses] = ({}, {})
    for seed in set(mine) & set(others):
        curves = [_curve(rows[seed]) for rows in (mine, others)]
        if all(curves):
            end = min(curve[-1][0] for curve in curves)
            for losses, curve in zip(found, curves, strict=True):
                losses[seed] = loss_at(curve, end)
    return found


def _curve(row: Row) -> list[tuple[float, float]]:
    """Seconds and loss; empty for a training that diverged."""
    points = row["curve"]
    assert isinstance(points, list)
    lost = row["loss"] is None or any(point["loss"] is None for point in points)
    return [] if lost else [(point["seconds"], point["loss"]) for point in points]


def loss_at(curve: Sequence[tuple[float, float]], seconds: float) -> float:
    """The loss of a curve of (seconds, loss) at a time, linearly between its points, and that of its ends beyond."""
    if seconds <= curve[0][0]:
        return curve[0][1]
    for (t0, a), (t1, b) in itertools.pairwise(curve):
        if seconds <= t1:
            return a + (b - a) * (seconds - t0) / (t1 - t0)
    return curve[-1][1]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
