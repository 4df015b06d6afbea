"""`chatdit eval`: suites run over systems, judged, reported and compared. Options here, work in `chatdit.eval_*`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from chatdit.bench_options import Json, Model, Record, notify_line

RUN = "run"
HELP = """Run a suite over a system, and judge it.

`chatdit eval SUITE` is short for `chatdit eval run SUITE`, whose --help has the options. SUITE is pocket, which needs
neither network nor key, or a folder of cases in IDEA-Bench's format.
"""


class SuiteFirst(TyperGroup):
    """A first word that is no command is a suite: `chatdit eval pocket` is `chatdit eval run pocket`."""

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        """As the group's own, with the command put in."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)  # type: ignore[arg-type]


evaluate = typer.Typer(
    cls=SuiteFirst, help=HELP, rich_markup_mode=None, no_args_is_help=True,
    subcommand_metavar="SUITE | COMMAND ...",
)  # fmt: skip
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of a run.")]
Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help="The --out folders of runs of the same cases.")]
JudgeName = Annotated[str, typer.Option(metavar="J", help="pocket, openai, person or none.")]
Painter = Annotated[str | None, typer.Option("--model", metavar="M", help="pocket, a diffusers folder, or a hub id.")]
KnownJudge = Annotated[str | None, typer.Option(metavar="J", help="Whose verdicts, where several have judged.")]
Mean = Annotated[str, typer.Option(metavar="A", help="A category's mean: group (the leaderboard's), task or mini.")]
Votes = Annotated[int | None, typer.Option(min=1, metavar="N", help="Of --judge openai on a question; 3 by default.")]
MaxCost = Annotated[
    float | None, typer.Option(min=0, metavar="USD", help="Of --judge openai: stop before it costs more.")
]
Price = Annotated[str | None, typer.Option(metavar="IN,OUT", help="Of --judge openai: US dollars a million tokens.")]
NoProbe = Annotated[bool, typer.Option("--no-probe", help="Of --judge openai: not asked whether it can see.")]
FailUnder = Annotated[float | None, typer.Option(metavar="X", help="Exit code 5 if the overall score is below.")]


@evaluate.command(RUN)
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="pocket, or a folder in IDEA-Bench's format.")],
    template: Annotated[str | None, typer.Argument(metavar="[COMMAND]", help="With --system command.")] = None,
    system: Annotated[str, typer.Option(metavar="S", help="ours, table, rephrase or command.")] = "ours",
    judge: JudgeName = "pocket",
    split: Annotated[str | None, typer.Option(metavar="H", help="dev or test; both by default.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="So many cases, spread over all.")] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes, one model each.")] = 1,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a Ray cluster that draws.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Else eval-SUITE-SYSTEM.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same for systems to be compared.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, metavar="S", help="Seconds for one case.")] = 600,
    model: Painter = None,
    votes: Votes = None,
    prices: Price = None,
    max_cost: MaxCost = None,
    no_probe: NoProbe = False,
    aggregation: Mean = "group",
    fail_under: FailUnder = None,
    json: Json = False,
) -> None:
    """Draw every case of SUITE, then judge it.

    What is finished stays, whatever ends this early, and --resume goes on with it. COMMAND is run for each case:

    chatdit eval pocket --system command "python draw.py {instruction} --out {out} --images {inputs}"
    """
    from chatdit import eval_judges, eval_runs, eval_tables

    wish = eval_runs.Wish(suite, system, template, model, split, limit, seed, out, aggregation)
    asked = eval_judges.JudgeWish(judge, votes, prices, max_cost, not no_probe)
    asked.check(none=True)
    folder = eval_runs.draw(wish, workers=workers, ray=ray, timeout=timeout, resume=resume)
    if judge == eval_judges.NONE:
        raise typer.Exit(eval_tables.tell_drawn(folder, json))
    raise typer.Exit(eval_tables.tell_judged(folder, eval_runs.judge(folder, asked), aggregation, json, fail_under))


@evaluate.command("judge")
def judge_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run, or a folder of another system's outputs.")],
    judge: Annotated[str, typer.Option(metavar="J", help="pocket, openai or person.")] = "pocket",
    suite: Annotated[
        str | None, typer.Option(metavar="SUITE", help="What the pictures are for, where DIR does not say it.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Judge on a page in your browser: --judge person.")] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of --judge person; anonymous by default.")] = None,
    votes: Votes = None,
    prices: Price = None,
    max_cost: MaxCost = None,
    no_probe: NoProbe = False,
    aggregation: Mean = "group",
    fail_under: FailUnder = None,
    json: Json = False,
) -> None:
    """Judge a run's pictures, or another system's.

    Nothing is drawn, and verdicts on the same pictures are kept. A folder with no more than
    outputs/SYSTEM/CASE/0001.jpg needs --suite.
    """
    from chatdit import eval_judges, eval_runs, eval_tables

    eval_tables.known_aggregation(aggregation)
    asked = eval_judges.JudgeWish("person" if page else judge, votes, prices, max_cost, not no_probe, name)
    judged = eval_runs.judge(folder, asked, suite)
    raise typer.Exit(eval_tables.tell_judged(folder, judged, aggregation, json, fail_under))


@evaluate.command("report")
def report(
    folders: Folders,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with every case.")] = None,
    judge: KnownJudge = None,
    aggregation: Mean = "group",
    json: Json = False,
    record: Record = False,
) -> None:
    """Scores of judged runs, side by side."""
    from chatdit import eval_tables

    if html is not None:
        eval_tables.write_html(folders, judge, aggregation, html)
    if record:
        eval_tables.write_suite_record(folders, judge, aggregation)
    raise typer.Exit(eval_tables.tell_scores(folders, judge, aggregation, json))


@evaluate.command("compare")
def compare(
    first: Folder, second: Folder, judge: KnownJudge = None, aggregation: Mean = "group", json: Json = False
) -> None:
    """How much better FIRST is than SECOND."""
    from chatdit import eval_tables

    raise typer.Exit(eval_tables.tell_difference(first, second, judge, aggregation, json))


@evaluate.command("effects")
def effects(
    tool: Annotated[str | None, typer.Option(metavar="T", help="Only this tool's claims.")] = None,
    cases: Annotated[int, typer.Option(min=2, metavar="N", help="Frozen cases for each claim.")] = 64,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Which cases.")] = 0,
    model: Model = "pocket",
    json: Json = False,
    record: Record = False,
) -> None:
    """What each method is worth.

    Its effect with the interval of the paired difference, a control that should destroy it, identity and cost.
    """
    from chatdit.bench_options import told_in_a_line
    from chatdit.eval_runs import measure_effects
    from chatdit.eval_tables import tell_effects
    from chatdit.evals.records import write_record

    with told_in_a_line():
        measured = measure_effects(model, tool, cases, seed, notify_line)
    if json:
        print(json_module.dumps(measured, indent=2))
    else:
        tell_effects(measured)
    if record:
        typer.echo(f"written to {write_record(measured)}", err=True)
