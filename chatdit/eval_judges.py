"""The judges that `chatdit eval` knows by name."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chatdit.config import api_key, data_dir, load_settings
from chatdit.eval_progress import progress
from chatdit.eval_systems import one_of
from chatdit.evals.judges.judge import Judge
from chatdit.evals.running.run_folder import RunFolder
from chatdit.evals.running.runner import judge_run
from chatdit.evals.suites.case import Suite
from chatdit.exit_codes import UsageError

if TYPE_CHECKING:
    from chatdit.evals.judges.judge_costs import Prices

JUDGES = ("pocket", "openai", "person")
NONE = "none"
VOTES = 3
"""Of a language model on each question, where it is not said."""


@dataclass(frozen=True)
class JudgeWish:
    """A judge as it is asked for."""

    judge: str
    votes: int | None = None
    prices: str | None = None
    max_cost: float | None = None
    probe: bool = True
    name: str | None = None

    def check(self, *, none: bool = False) -> None:
        """Before anything is drawn. Raises UsageError, BudgetError or EndpointError for what would fail later."""
        judge = one_of(self.judge, (*JUDGES, NONE) if none else JUDGES, "--judge")
        for option, owner, said in self._options():
            if said is not None and judge != owner:
                raise UsageError(f"{option} is for --judge {owner} and does not go with {judge}: leave one of them out")
        if judge == "openai":
            _openai_judge(self)

    def _options(self) -> tuple[tuple[str, str, object], ...]:
        """Each option that belongs to one judge alone: its name, the judge, and what was said or None."""
        return (
            ("--votes", "openai", self.votes),
            ("--prices", "openai", self.prices),
            ("--max-cost", "openai", self.max_cost),
            ("--no-probe", "openai", None if self.probe else True),
            ("--name", "person", self.name),
        )


def judge_with(wish: JudgeWish, folder: RunFolder, suite: Suite) -> str:
    """Have the run in a folder judged; gives the judge's name. Raises UsageError, or what the judge raises."""
    if wish.judge == "person":
        return _person(folder, suite, wish.name or "anonymous")
    judge = _pocket_judge() if wish.judge == "pocket" else _openai_judge(wish)
    with progress() as notify:
        judge_run(suite, folder, judge, notify)
    return judge.name


def _pocket_judge() -> Judge:
    from chatdit.evals.judges.pocket_judge import PocketJudge

    return PocketJudge()


def _openai_judge(wish: JudgeWish) -> Judge:
    from chatdit.agents.brain import BrainSettings
    from chatdit.evals.judges.openai_judge import OpenAIJudge

    settings = load_settings()
    llm = settings.llm
    chosen = BrainSettings(base_url=llm.base_url, api_key=api_key(settings), timeout=llm.timeout, fall_back=False)
    return OpenAIJudge(
        chosen if llm.model is None else replace(chosen, model=llm.model),
        cache=data_dir() / "judge-votes",
        votes=VOTES if wish.votes is None else wish.votes,
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


def _person(folder: RunFolder, suite: Suite, name: str) -> str:
    from chatdit.evals.judges.person import PersonJudgeServer
    from chatdit.evals.judges.person_sitting import ToJudge

    label, judge = folder.manifest.system, f"person:{name}"
    items = [ToJudge(label, case, pictures) for case in suite.cases if (pictures := folder.pictures(case.id))]
    done = [(label, verdict) for verdict in folder.verdicts(judge).values()]
    try:
        page = PersonJudgeServer(items, lambda _, verdict: folder.add_verdict(verdict), name=name, done=done)
    except ValueError as error:  # the name is no name, or there is nothing to judge
        raise UsageError(str(error)) from error
    with page as server:
        print(f"judge at {server.url} (Ctrl-C ends it; every answer is kept at once)", file=sys.stderr, flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            print("ended; go on with the same command", file=sys.stderr)
    return judge
