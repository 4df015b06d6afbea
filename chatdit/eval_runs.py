"""What the commands of `chatdit eval` do: systems and judges by name, runs on disk, tables on the terminal."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.table import Table

from chatdit.config import api_key, data_dir, load_settings
from chatdit.eval_progress import progress
from chatdit.evals.intervals import Estimate
from chatdit.evals.judges.judge import Judge
from chatdit.evals.records import commit, versions, write_record
from chatdit.evals.report.gather import JudgedRun, compare_runs, judged_run, suite_of, suite_record, write_report
from chatdit.evals.running.command_system import worker_command
from chatdit.evals.running.run_folder import Manifest, RunFolder, config_sha256
from chatdit.evals.running.runner import Draw, judge_run, local_pool, run_suite
from chatdit.evals.scoring import AGGREGATIONS, Aggregation
from chatdit.evals.suites.case import Split
from chatdit.evals.suites.idea_bench import select
from chatdit.evals.suites.named_suite import POCKET, open_suite
from chatdit.exit_codes import OK, SCORE_BELOW_THRESHOLD, UsageError

if TYPE_CHECKING:
    from chatdit.evals.judges.judge_costs import Prices

Notify = Callable[[str, int, int], None]
SYSTEMS: Mapping[str, str] = {"ours": "offline", "table": "table", "rephrase": "rephrase"}
"""The planner of each system of this project."""
JUDGES = ("pocket", "openai", "person", "none")


@dataclass(frozen=True)
class Wish:
    """A run as it is asked for."""

    suite: str
    system: str
    template: str | None
    model: str
    split: str | None
    limit: int | None
    seed: int
    out: Path | None

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.out or Path(f"eval-{Path(self.suite).name}-{self.system}")


@dataclass(frozen=True)
class JudgeWish:
    """A judge as it is asked for."""

    judge: str
    votes: int
    prices: str | None
    max_cost: float | None
    probe: bool = True
    name: str = "anonymous"


def draw(wish: Wish, *, workers: int, ray: str | None, timeout: float, resume: bool) -> Path:
    """Run the suite; gives the run's folder. Raises UsageError, SuiteError or RunFolderError."""
    command = _command(wish)
    split = _one_of(wish.split, ("dev", "test"), "--split") if wish.split is not None else None
    folder = RunFolder(wish.folder)
    folder.check(resume=resume)
    suite = open_suite(wish.suite, folder.suite)
    for problem in suite.problems:
        print(f"note: {problem}", file=sys.stderr)
    chosen = select(suite, cast("Split | None", split), wish.limit)
    folder.begin(_manifest(wish, suite.sha256, command))
    pool = local_pool(folder, command, workers, timeout) if ray is None else _ray_pool(ray, command, timeout)
    with progress() as notify:
        results = run_suite(chosen, folder, wish.system, pool, wish.seed, notify)
    failed = [r for r in results.values() if r.status == "failed"]
    for result in failed[:5]:
        print(f"note: {result.case} failed: {result.error}", file=sys.stderr)
    if len(failed) > 5:
        print(f"note: {len(failed)} cases failed in all; see results.jsonl in {folder.path}", file=sys.stderr)
    return folder.path


def judge(path: Path, wish: JudgeWish) -> str:
    """Judge a run; gives the judge's name. Raises UsageError, RunFolderError or what the judge raises."""
    _one_of(wish.judge, JUDGES[:-1], "--judge")
    folder = RunFolder(path)
    suite = suite_of(folder, folder.manifest)
    if wish.judge == "person":
        return _person(folder, wish.name)
    chosen = _judge(wish)
    with progress() as notify:
        judge_run(suite, folder, chosen, notify)
    return chosen.name


def tell_drawn(path: Path, as_json: bool) -> int:
    """What a run without a judge made."""
    results = RunFolder(path).results().values()
    counts = {s: sum(r.status == s for r in results) for s in ("done", "asked", "failed")}
    if as_json:
        print(json_module.dumps({"folder": str(path), "cases": len(results), **counts}, indent=2))
    else:
        print(f"{path}: {len(results)} cases, {', '.join(f'{n} {s}' for s, n in counts.items())}")
    return OK


def tell_scores(
    paths: Sequence[Path], judge: str | None, aggregation: str, as_json: bool, fail_under: float | None = None
) -> int:
    """The scores of judged runs as a table or as JSON; the exit code."""
    runs = _judged(paths, judge, aggregation)
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


def measure_effects(model: str, tool: str | None, cases: int, seed: int, notify: Notify) -> dict[str, object]:
    """The record of `chatdit eval effects`. Raises ValueError for a tool without a claim."""
    from chatdit.evals import effects
    from chatdit.evals.effect_claims import CLAIMS
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.pocket import free_world
    from chatdit.tools.pocket.closer_look import CloserLook
    from chatdit.tools.pocket.detector import load_detector
    from chatdit.tools.pocket.renderer import Renderer

    effects.chosen(CLAIMS, tool)
    bench = effects.Bench(
        DiT.load(model), CloserLook(load_detector()), Renderer(placer=free_world.place), notify=notify
    )
    return effects.run(bench, CLAIMS, tool=tool, cases=cases, seed=seed)


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


def _command(wish: Wish) -> list[str]:
    """The command line of the system's worker."""
    _one_of(wish.system, (*SYSTEMS, "command"), "--system")
    if (wish.system == "command") != (wish.template is not None):
        raise UsageError(
            '--system command needs a command after the suite, and no other system takes one: "prog {out}"'
        )
    if wish.template is not None:
        try:
            return worker_command(wish.template)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return [sys.executable, "-P", "-m", "chatdit.eval_worker", SYSTEMS[wish.system], wish.model]


def _manifest(wish: Wish, suite_sha256: str, command: Sequence[str]) -> Manifest:
    # which Python runs it changes nothing
    values = {
        "suite": Path(wish.suite).name,
        "suite_sha256": suite_sha256,
        "system": wish.system,
        "command": tuple(command[1:]),
        "seed": wish.seed,
        "weights": _weights(wish),
        "split": wish.split,
        "limit": wish.limit,
    }
    plain = {**values, "command": list(command[1:])}
    return Manifest(
        **values,  # type: ignore[arg-type]
        suite_root=None if wish.suite == POCKET else str(Path(wish.suite).expanduser().absolute()),
        config_sha256=config_sha256(plain),  # type: ignore[arg-type]
        versions=versions("diffusers"),
        commit=commit(),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _weights(wish: Wish) -> str:
    if wish.system == "command":
        return "unknown"
    from chatdit.workshop import Workshop

    return Workshop(load_settings({"model": wish.model})).painter.weights_hash()


def _ray_pool(address: str, command: Sequence[str], timeout: float) -> Draw:
    try:
        from chatdit.evals.running.ray_pool import ray_pool
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'chatdit[ray]'") from error
    return ray_pool(address, command, timeout)


def _judge(wish: JudgeWish) -> Judge:
    if wish.judge == "pocket":
        from chatdit.evals.judges.pocket_judge import PocketJudge

        return PocketJudge()
    from chatdit.agents.brain import BrainSettings
    from chatdit.evals.judges.openai_judge import OpenAIJudge

    settings = load_settings()
    llm, key = settings.llm, api_key(settings)
    chosen = BrainSettings(base_url=llm.base_url, api_key=key, timeout=llm.timeout, fall_back=False)
    if llm.model is not None:
        chosen = BrainSettings(
            model=llm.model, base_url=llm.base_url, api_key=key, timeout=llm.timeout, fall_back=False
        )
    return OpenAIJudge(
        chosen,
        cache=data_dir() / "judge-votes",
        votes=wish.votes,
        prices=_prices(wish.prices),
        max_cost_usd=wish.max_cost,
        probe=wish.probe,
    )


def _prices(text: str | None) -> Prices | None:
    from chatdit.evals.judges.judge_costs import Prices

    if text is None:
        return None
    try:
        money_in, money_out = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--prices {text[:40]!r}: expected two numbers, such as 2.5,10") from None
    return Prices(money_in, money_out)


def _person(folder: RunFolder, name: str) -> str:
    from chatdit.evals.judges.person import PersonJudgeServer
    from chatdit.evals.judges.person_sitting import ToJudge

    label, suite = folder.manifest.system, suite_of(folder, folder.manifest)
    items = [ToJudge(label, case, pictures) for case in suite.cases if (pictures := folder.pictures(case.id))]
    judge_name = f"person:{name}"
    done = [(label, verdict) for verdict in folder.verdicts(judge_name).values()]
    with PersonJudgeServer(items, lambda _, verdict: folder.add_verdict(verdict), name=name, done=done) as server:
        print(f"judge at {server.url} (Ctrl-C ends it; every answer is kept at once)", file=sys.stderr)
        try:
            server.wait()
        except KeyboardInterrupt:
            print("ended; go on with the same command", file=sys.stderr)
    return judge_name


def _judged(paths: Sequence[Path], judge: str | None, aggregation: str) -> list[JudgedRun]:
    how = cast(Aggregation, _one_of(aggregation, AGGREGATIONS, "--aggregation"))
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


def _one_of(name: str, known: Sequence[str], option: str) -> str:
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{option} {name[:40]!r} is not known: expected {', '.join(known)}{hint}")
    return name
