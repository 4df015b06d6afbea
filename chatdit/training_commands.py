"""`chatdit train` and `chatdit bench`: options here, work in chatdit.tools.training and chatdit.evals."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from typing import Annotated

import typer

train = typer.Typer(help="Train a model of our own.", rich_markup_mode=None, no_args_is_help=True)
bench = typer.Typer(help="Measure, and write down what was measured.", rich_markup_mode=None, no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print data alone on stdout; the rest goes to stderr.")]
Record = Annotated[bool, typer.Option("--record", help="Also write the record under evals/records/.")]


@bench.command("startup")
def bench_startup(
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Measurements of each number.")] = 5,
    json: Json = False,
    record: Record = False,
) -> None:
    """Seconds to the help, to the prompt, and to the first picture of a fresh process."""
    from chatdit.evals.bench_startup import run, write_record

    measured = run(repeats)
    _print(measured, json)
    if record:
        typer.echo(f"written to {write_record(measured)}", err=True)


def _print(record: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(record, indent=2))
        return
    for name, value in record.items():
        shown = " · ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        print(f"{name}: {shown}")
