"""From run folders to what reports and tables show: the judge's verdicts, scores, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from chatdit.evals.comparing import Difference, compare
from chatdit.evals.judges.judge import Verdict
from chatdit.evals.judges.pocket_judge import ERRORS
from chatdit.evals.report.page import Made, PageDifference, SystemRun, page
from chatdit.evals.running.run_folder import Manifest, Result, RunFolder, RunFolderError
from chatdit.evals.running.runner import answers_of, no_answers, score_run
from chatdit.evals.scoring import Aggregation, JudgeErrors, Scores, case_score, gated
from chatdit.evals.suites.case import CATEGORIES, Case, Suite
from chatdit.evals.suites.idea_bench import select
from chatdit.evals.suites.named_suite import POCKET, open_suite

STAMP = "Not comparable with published IDEA-Bench numbers: those come from people or another judge, on other cases."


@dataclass(frozen=True)
class JudgedRun:
    """A run with one judge's verdicts and the scores that follow."""

    folder: RunFolder
    manifest: Manifest
    suite: Suite
    """The cases that were run."""
    judge: str
    verdicts: dict[str, Verdict]
    scores: Scores

    @property
    def name(self) -> str:
        """The system's."""
        return self.manifest.system


def suite_of(folder: RunFolder, manifest: Manifest) -> Suite:
    """The cases that a run was about.

    Raises:
        RunFolderError: the suite has changed since.
    """
    whole = open_suite(manifest.suite_root or POCKET, folder.suite)
    suite = select(whole, manifest.split, manifest.limit)
    if whole.sha256 != manifest.suite_sha256:
        raise RunFolderError(
            f"{folder.path} is a run of another state of {manifest.suite} ({manifest.suite_sha256[:12]}, now "
            f"{whole.sha256[:12]}): run it again"
        )
    return suite


def judged_run(path: Path, judge: str | None = None, aggregation: Aggregation = "group") -> JudgedRun:
    """The run in a folder with the verdicts of `judge`, which may be left out where there is one judge only.

    Raises:
        RunFolderError: no run, no verdicts, or those of several judges.
    """
    folder = RunFolder(path)
    manifest = folder.manifest
    suite = suite_of(folder, manifest)
    judge = judge or _only_judge(folder)
    verdicts = {case.id: v for case in suite.cases if (v := folder.verdicts(judge).get(case.id))}
    return JudgedRun(
        folder, manifest, suite, judge, verdicts, score_run(suite, verdicts, aggregation, errors_of(judge))
    )


def errors_of(judge: str) -> JudgeErrors | None:
    """How often a judge is known to be wrong; None where that was not measured."""
    return ERRORS if judge == "pocket" else None


def compare_runs(a: JudgedRun, b: JudgedRun) -> tuple[Difference, ...]:
    """Differences of two runs of the same cases by the same judge.

    Raises:
        RunFolderError: they are of other cases, of another judge or averaged in another way.
    """
    for what, one, other in (
        ("suites", a.suite.sha256, b.suite.sha256),
        ("judges", a.judge, b.judge),
        ("aggregations", a.scores.aggregation, b.scores.aggregation),
        ("seeds", a.manifest.seed, b.manifest.seed),
    ):
        if one != other:
            raise RunFolderError(f"{a.folder.path} and {b.folder.path} have other {what}: {one!r} and {other!r}")
    return compare(a.suite.cases, answers_of(a.verdicts), answers_of(b.verdicts), a.scores.aggregation)


def suite_record(runs: Sequence[JudgedRun]) -> dict[str, object]:
    """A record of runs of the same cases: each system's scores, each two's differences. Raises as `compare_runs`."""
    first = runs[0]
    names = _names(runs)
    keys = ("overall", *CATEGORIES)
    return {
        "benchmark": "suite",
        "command": f"chatdit eval report {' '.join(r.folder.path.name for r in runs)} --record",
        "date": first.manifest.started[:10],
        "commit": first.manifest.commit,
        "suite": first.manifest.suite,
        "suite_hash": first.manifest.suite_sha256,
        "split": first.manifest.split or "all",
        "judge": {"name": first.judge, "fingerprint": next(iter(first.verdicts.values())).fingerprint},
        "aggregation": first.scores.aggregation,
        "seed": first.manifest.seed,
        "weights": first.manifest.weights,
        "versions": first.manifest.versions,
        "systems": {
            name: {k: v for k, v in run.scores.told().items() if k in keys} | _counts(run)
            for name, run in zip(names, runs, strict=True)
        },
        "paired": [
            {"a": names[runs.index(a)], "b": names[runs.index(b)], **d.told()}
            for a, b in combinations(runs, 2)
            for d in compare_runs(a, b)
        ],
    }


def _counts(run: JudgedRun) -> dict[str, object]:
    results = list(run.folder.results().values())
    statuses = {s: sum(r.status == s for r in results) for s in ("done", "asked", "failed")}
    seconds = round(sum(r.seconds for r in results), 1)
    return {"commit": run.manifest.commit, "cases": statuses, "seconds_in_cases": seconds}


def write_report(runs: Sequence[JudgedRun], out: Path) -> Path:
    """The HTML report of runs of the same cases, in the file `out`. Raises as `compare_runs`."""
    first = runs[0]
    pairs = [(a, b, d) for a, b in combinations(runs, 2) for d in compare_runs(a, b)]
    names = _names(runs)
    html = page(
        title=f"{first.manifest.suite}: {' and '.join(names)}",
        about=_about(first),
        stamp=STAMP,
        cases=first.suite.cases,
        systems=[_column(run, name) for run, name in zip(runs, names, strict=True)],
        differences=[
            PageDifference(
                names[runs.index(a)], names[runs.index(b)], d.category, d.estimate, (d.better, d.same, d.worse)
            )
            for a, b, d in pairs
        ],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


def _only_judge(folder: RunFolder) -> str:
    judges = folder.judges()
    if len(judges) != 1:
        found = "no verdicts" if not judges else f"verdicts of {', '.join(judges)}: name one with --judge"
        raise RunFolderError(f"{folder.path} has {found}; `chatdit eval judge {folder.path}` judges it")
    return judges[0]


def _about(run: JudgedRun) -> str:
    split = f", {run.manifest.split} half" if run.manifest.split else ", both halves"
    counts = run.scores
    return (
        f"{counts.cases} cases of {run.manifest.suite} ({run.manifest.suite_sha256[:12]}{split}), judged by "
        f"{run.judge}, seed {run.manifest.seed}, {run.manifest.started[:10]}. Scores in percent with 95 % intervals; "
        f"a category is the mean over its {counts.aggregation}s."
    )


def _names(runs: Sequence[JudgedRun]) -> list[str]:
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [f"{r.name} ({r.folder.path.name})" for r in runs]


def _column(run: JudgedRun, name: str) -> SystemRun:
    results = run.folder.results()
    return SystemRun(
        name=name,
        scores={"overall": run.scores.overall, **{c: e for c, e in run.scores.categories.items()}},
        groups=run.scores.groups,
        cases={c.id: _made(run, c, results.get(c.id)) for c in run.suite.cases},
    )


def _made(run: JudgedRun, case: Case, result: Result | None) -> Made:
    verdict = run.verdicts.get(case.id)
    answers = verdict.answers if verdict else no_answers()
    scores = tuple(a.score for a in answers)
    told = {} if result is None else result.model_dump(include={"reply", "error", "plan", "seconds"})
    return Made(
        status=result.status if result else "done",
        outputs=run.folder.pictures(case.id),
        answers=answers,
        gated=gated(scores),
        score=100 * case_score(scores),
        **told,
    )
