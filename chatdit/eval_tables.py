"""What the commands of `chatdit eval` tell: tables for people, JSON for programs."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from chatdit.eval_systems import one_of
from chatdit.evals.intervals import Estimate
from chatdit.evals.records import write_record
from chatdit.evals.report.gather import JudgedRun, compare_runs, judged_run, suite_record, write_report
from chatdit.evals.running.run_folder import RunFolder
from chatdit.evals.scoring import AGGREGATIONS, Aggregation
from chatdit.exit_codes import OK, SCORE_BELOW_THRESHOLD


def tell_drawn(path: Path, as_json: bool) -> int:
    """What a run without a judge made."""
    results = RunFolder(path).results().values()
    counts = {s: sum(r.status == s for r in results) for s in ("done", "asked", "failed")}
    if as_json:
        print(json_module.dumps({"folder": str(path), "cases": len(results), **counts}, indent=2))
    else:
        print(f"{path}: {len(results)} cases, {', '.join(f'{n} {s}' for s, n in counts.items())}")
    return OK


def tell_judged(path: Path, judge: str, aggregation: str, as_json: bool, fail_under: float | None) -> int:
    """As `tell_scores` of a run that was judged now; the scores are also written down in its folder."""
    (run,) = _judged([path], judge, aggregation)
    run.folder.write_scores(run.judge, _told(run))
    return _tell([run], as_json, fail_under)


def tell_scores(paths: Sequence[Path], judge: str | None, aggregation: str, as_json: bool) -> int:
    """The scores of judged runs as a table or as JSON; the exit code."""
    return _tell(_judged(paths, judge, aggregation), as_json, None)


def tell_difference(first: Path, second: Path, judge: str | None, aggregation: str, as_json: bool) -> int:
    """The paired difference of two runs."""
    a, b = _judged([first, second], judge, aggregation)
    differences = compare_runs(a, b)
    if as_json:
        told = {"a": a.name, "b": b.name, "judge": a.judge, "aggregation": a.scores.aggregation}
        print(json_module.dumps({**told, "paired": [d.told() for d in differences]}, indent=2))
        return OK
    table = Table(title=f"{a.name} less {b.name}, percent, 95 % intervals, judged by {a.judge}")
    for heading in ("", "difference", "better", "same", "worse"):
        table.add_column(heading, justify="left" if not heading else "right")
    for d in differences:
        table.add_row(d.category, _number(d.estimate, signed=True), str(d.better), str(d.same), str(d.worse))
    Console().print(table)
    return OK


def write_html(paths: Sequence[Path], judge: str | None, aggregation: str, out: Path) -> None:
    """The report as a page."""
    print(write_report(_judged(paths, judge, aggregation), out), file=sys.stderr)


def write_suite_record(paths: Sequence[Path], judge: str | None, aggregation: str) -> None:
    """The record of several systems on one suite, under evals/records/."""
    print(f"written to {write_record(suite_record(_judged(paths, judge, aggregation)))}", file=sys.stderr)


def tell_effects(record: Mapping[str, object]) -> None:
    """The claims as a table."""
    table = Table(title="Effects, with 95 % intervals of the paired difference")
    for heading in ("tool", "claim", "n", "effect", "control", "identity", "cost", "holds"):
        table.add_column(heading)
    for row in cast("list[dict[str, float | str | bool]]", record["rows"]):
        effect = f"{row['effect']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        table.add_row(
            str(row["tool"]), str(row["claim"]), str(row["n"]), effect, f"{row['control_effect']:+.3f}",
            f"{row['identity_max_abs']:g}", f"{row['cost_ratio']:.2f} x", "yes" if row["holds"] else "no",
        )  # fmt: skip
    Console().print(table)


def known_aggregation(name: str) -> Aggregation:
    """The aggregation of this name. Raises UsageError."""
    return cast(Aggregation, one_of(name, AGGREGATIONS, "--aggregation"))


def _tell(runs: Sequence[JudgedRun], as_json: bool, fail_under: float | None) -> int:
    if as_json:
        told = [_told(run) for run in runs]
        print(json_module.dumps(told[0] if len(told) == 1 else told, indent=2))
    else:
        _score_table(runs)
    lowest = min(run.scores.overall.value for run in runs)
    if fail_under is not None and lowest < fail_under:
        print(f"error: overall score {lowest:.2f} is below {fail_under:g}", file=sys.stderr)
        return SCORE_BELOW_THRESHOLD
    return OK


def _judged(paths: Sequence[Path], judge: str | None, aggregation: str) -> list[JudgedRun]:
    how = known_aggregation(aggregation)
    return [judged_run(path, judge, how) for path in paths]


def _told(run: JudgedRun) -> dict[str, object]:
    return {
        "folder": str(run.folder.path),
        "suite": run.manifest.suite,
        "suite_sha256": run.manifest.suite_sha256,
        "split": run.manifest.split,
        "system": run.name,
        "judge": run.judge,
        **run.scores.told(),
    }


def _score_table(runs: Sequence[JudgedRun]) -> None:
    first = runs[0]
    how = f"percent, 95 % intervals, mean over {first.scores.aggregation}s"
    table = Table(title=f"{first.manifest.suite}, judged by {first.judge}: {how}")
    table.add_column("")
    for run in runs:
        table.add_column(run.name, justify="right")
    table.add_row("overall", *(_number(run.scores.overall) for run in runs), end_section=True)
    for category in first.scores.categories:
        table.add_row(category, *(_number(run.scores.categories[category]) for run in runs))
    table.add_section()
    table.add_row("cases", *(str(run.scores.cases) for run in runs))
    table.add_row("without a picture", *(str(run.scores.missing) for run in runs))
    table.add_row("questions unanswered", *(str(run.scores.unreadable) for run in runs))
    Console().print(table)


def _number(estimate: Estimate, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{estimate.value:{sign}.1f} [{estimate.ci_low:{sign}.1f}, {estimate.ci_high:{sign}.1f}]"
