"""What a method is worth: one frame for every tool's claims, with paired seeds, intervals, a control and the cost.

Evidence is four numbers: what the method changes when it is neutral (nothing), by how much it moves the metric that its
paper claims (with the 95 % interval of the paired difference), what is left of that when its input is destroyed on
purpose, and what it costs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chatdit.evals.intervals import bootstrap_mean
from chatdit.evals.pocket_asking import Reader
from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.model import DiT
from chatdit.tools.pocket.renderer import Renderer

Notify = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Bench:
    """What a claim is measured with."""

    dit: DiT
    reader: Reader
    renderer: Renderer
    notify: Notify = lambda what, done, total: None


@dataclass(frozen=True)
class Trial:
    """The metric on one frozen case, with one seed: without the method, with it, and with its input destroyed."""

    base: float
    treated: float
    control: float


@dataclass(frozen=True)
class Measured:
    """All trials of a claim."""

    trials: tuple[Trial, ...]
    identity_max_abs: float
    """Largest difference of any pixel, in [0, 1], between the base and the method in its neutral setting."""
    cost_ratio: float
    """Time with the method over time without it, for the same picture."""


@dataclass(frozen=True)
class Claim:
    """One sentence that a method's numbers must bear out."""

    tool: str
    claim: str
    metric: str
    source: str
    """Paper or design whose claim it is."""
    measure: Callable[[Bench, int, int], Measured]
    """From bench, number of cases and seed."""
    ready: Callable[[], bool] = lambda: True
    """Whether what it measures is there; when all claims are measured, others are passed over."""


def effect_row(claim: Claim, measured: Measured) -> dict[str, object]:
    """The claim's line in the table; `holds` is what DESIGN asks of a method that counts as working.

    That is: neutral it changes nothing, the interval of its effect lies above 0, and destroying its input leaves less
    than the interval's lower end.
    """
    effect = bootstrap_mean([t.treated - t.base for t in measured.trials])
    control = statistics.fmean(t.control - t.base for t in measured.trials)
    holds = measured.identity_max_abs == 0 and effect.ci_low > max(0.0, control)
    return {
        "tool": claim.tool,
        "claim": claim.claim,
        "metric": claim.metric,
        "source": claim.source,
        "n": effect.n,
        "base": round(statistics.fmean(t.base for t in measured.trials), 4),
        "effect": round(effect.value, 4),
        "ci_low": round(effect.ci_low, 4),
        "ci_high": round(effect.ci_high, 4),
        "control_effect": round(control, 4),
        "identity_max_abs": measured.identity_max_abs,
        "cost_ratio": round(measured.cost_ratio, 3),
        "holds": holds,
    }


def run(
    bench: Bench, claims: Mapping[str, Claim], *, tool: str | None = None, cases: int = 64, seed: int = 0
) -> dict[str, object]:
    """A JSON record with a row for each claim, or for those of `tool`.

    Raises ValueError for a tool without a claim.
    """
    rows = [effect_row(claim, claim.measure(bench, cases, seed)) for claim in chosen(claims, tool)]
    return {
        "benchmark": "effects",
        "command": f"chatdit eval effects{f' --tool {tool}' if tool else ''} --cases {cases} --seed {seed} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": bench.dit.name, "weights": bench.dit.weights_hash},
        "device": describe_device(bench.dit.device),
        "versions": versions("diffusers"),
        "note": "effect and control_effect are differences to the same cases and seeds without the method",
        "rows": rows,
    }


def chosen(claims: Mapping[str, Claim], tool: str | None) -> list[Claim]:
    """The claims of a tool, or all that are ready. Raises ValueError for a tool without a claim."""
    found = [claim for claim in claims.values() if (claim.ready() if tool is None else claim.tool == tool)]
    if not found:
        known = ", ".join(sorted({claim.tool for claim in claims.values()}))
        raise ValueError(f"no claim of a tool {tool!r}: expected one of {known}")
    return found
