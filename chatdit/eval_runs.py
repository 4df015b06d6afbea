"""What the commands of `chatdit eval` do: suites drawn, runs judged, effects measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from chatdit.eval_judges import JudgeWish, judge_with
from chatdit.eval_progress import Notify, progress
from chatdit.eval_systems import manifest, named_system, one_of, suite_root
from chatdit.eval_tables import known_aggregation
from chatdit.evals.report.gather import suite_of
from chatdit.evals.running.foreign_results import adopt
from chatdit.evals.running.run_folder import Result, RunFolder
from chatdit.evals.running.runner import Draw, local_pool, run_suite, score_run
from chatdit.evals.suites.case import Split, Suite
from chatdit.evals.suites.idea_bench import select
from chatdit.evals.suites.named_suite import POCKET, open_suite
from chatdit.exit_codes import UsageError

SPLITS = ("dev", "test")
FIRST_WORDS = (POCKET, "run", "judge", "report", "compare", "effects")
NAMED_FAILURES = 5


@dataclass(frozen=True)
class Wish:
    """A run as it is asked for."""

    suite: str
    system: str
    template: str | None
    model: str | None
    split: str | None
    limit: int | None
    seed: int
    out: Path | None
    aggregation: str = "group"

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.out or Path(f"eval-{Path(self.suite).absolute().name}-{self.system}")


def draw(wish: Wish, *, workers: int, ray: str | None, timeout: float, resume: bool) -> Path:
    """Run the suite; gives the run's folder. Raises UsageError, SuiteError, ScoringError or RunFolderError."""
    _check_suite(wish.suite)
    system = named_system(wish.system, wish.template, wish.model)
    folder, how = RunFolder(wish.folder), known_aggregation(wish.aggregation)
    split = cast("Split | None", wish.split and one_of(wish.split, SPLITS, "--split"))
    if ray is not None and workers != 1:
        raise UsageError(f"--workers {workers} does not go with --ray, which takes every GPU or CPU slot: leave it out")
    folder.check(resume=resume)
    suite = _opened(wish.suite, folder)
    chosen = select(suite, split, wish.limit)
    score_run(chosen, {}, how)  # an aggregation that these cases do not have is refused before they are drawn
    command = system.worker
    if ray is None:
        pool = local_pool(folder, command, workers, timeout, system.gpus() if workers > 1 else ())
    else:
        pool = _ray_pool(ray, command, timeout)
    with folder.held(), progress() as notify:
        folder.begin(manifest(system, suite, wish.suite, split, wish.limit, wish.seed))
        _note(folder.mend())
        results = run_suite(chosen, folder, wish.system, pool, wish.seed, notify)
    _note_failures(folder, [results[case.id] for case in chosen.cases])
    return folder.path


def judge(path: Path, wish: JudgeWish, suite: str | None = None) -> str:
    """Judge a run, or the pictures of another system for `suite`; gives the judge's name.

    Raises UsageError, SuiteError, RunFolderError or what the judge raises.
    """
    wish.check()
    folder = RunFolder(path)
    if suite is not None:
        _set_suite(folder, suite)
    elif path.is_dir() and not (path / "manifest.json").exists():
        raise UsageError(f"{path} has no manifest.json: name the suite that its pictures are for with --suite")
    _note(folder.mend())
    return judge_with(wish, folder, suite_of(folder, folder.manifest))


def measure_effects(model: str, tool: str | None, cases: int, seed: int, notify: Notify) -> dict[str, object]:
    """The record of `chatdit eval effects`. Raises ValueError for a tool without a claim."""
    from chatdit.evals import effects
    from chatdit.evals.effect_claims import CLAIMS
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.pocket.closer_look import CloserLook
    from chatdit.tools.pocket.detector import load_detector
    from chatdit.tools.pocket.renderer import Renderer

    effects.chosen(CLAIMS, tool)
    bench = effects.Bench(DiT.load(model), CloserLook(load_detector()), Renderer(), notify=notify)
    return effects.run(bench, CLAIMS, tool=tool, cases=cases, seed=seed)


def _check_suite(name: str) -> None:
    if name != POCKET and not Path(name).expanduser().is_dir():
        near = get_close_matches(name, FIRST_WORDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"no suite at {name}: expected a folder of cases in IDEA-Bench's format, or pocket{hint}")


def _opened(name: str, folder: RunFolder) -> Suite:
    suite = open_suite(name, folder.suite)
    _note(suite.problems)
    return suite


def _set_suite(folder: RunFolder, name: str) -> None:
    """Say where the run's suite lies; a folder of pictures alone becomes a run of it."""
    _check_suite(name)
    if not folder.path.is_dir():
        raise UsageError(f"no folder {folder.path}: expected one with outputs/<system>/<case>/0001.jpg")
    suite = _opened(name, folder)
    if (folder.path / "manifest.json").exists():
        there = folder.manifest.model_copy(update={"suite_root": suite_root(name)})
        suite_of(folder, there)  # which refuses another suite
        folder.rewrite(there)
    else:
        adopt(folder, suite, suite_root(name))


def _ray_pool(address: str, command: Sequence[str], timeout: float) -> Draw:
    try:
        from chatdit.evals.running.ray_pool import ray_pool
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'chatdit[ray]'") from error
    return ray_pool(address, command, timeout)


def _note(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"note: {line}", file=sys.stderr)


def _note_failures(folder: RunFolder, results: Sequence[Result]) -> None:
    failed = [r for r in results if r.status == "failed"]
    _note(f"{result.case} failed: {result.error}" for result in failed[:NAMED_FAILURES])
    if len(failed) > NAMED_FAILURES:
        _note([f"{len(failed)} cases failed in all; see results.jsonl in {folder.path}"])
