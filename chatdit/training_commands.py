"""`chatdit train` and `chatdit bench`: options here, work in chatdit.tools.training and chatdit.evals."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatdit.exit_codes import UsageError

if TYPE_CHECKING:
    import torch

train = typer.Typer(help="Train a model of our own.", rich_markup_mode=None, no_args_is_help=True)
bench = typer.Typer(help="Measure, and write down what was measured.", rich_markup_mode=None, no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print data alone on stdout; the rest goes to stderr.")]
Record = Annotated[bool, typer.Option("--record", help="Also write the record under evals/records/.")]


@train.command("pocket")
def train_pocket(
    stage: Annotated[
        str,
        typer.Option("--stage", metavar="STAGE", help="autoencoder, base, recogniser, export, or all in this order."),
    ] = "all",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where stages leave their files.")] = Path("runs/pocket"),
    minutes: Annotated[float, typer.Option(min=0.01, metavar="M", help="How long each stage may train.")] = 10.0,
    sitting: Annotated[
        float | None, typer.Option(min=0.01, metavar="M", help="Stop the base after M minutes of them, to go on later.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with an interrupted run of the stage, or forget it.")
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights, batches and noise.")] = 0,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Train pocket; each stage leaves a file for the next."""
    from chatdit.tools.training.pocket import STAGES, Stage
    from chatdit.tools.training.pocket import train_pocket as run_stage

    chosen: list[Stage] = [known for known in STAGES if stage in (known, "all")]
    if not chosen:
        raise UsageError(f"--stage {stage[:40]!r} is not known: expected all, or one of {', '.join(STAGES)}")
    on = _device(device)
    for name in chosen:
        print(run_stage(name, out, minutes=minutes, sitting=sitting, device=on, seed=seed, fresh=not resume))


@bench.command("pocket")
def bench_pocket(
    cases: Annotated[int, typer.Option(min=8, metavar="N", help="Pictures for each question.")] = 128,
    seed: Annotated[int, typer.Option(metavar="N", help="Which scenes are asked for.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Else the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, metavar="X", help="Else the model's own.")] = None,
    model: Annotated[str, typer.Option(metavar="M", help="pocket, or a pocket folder.")] = "pocket",
    json: Json = False,
    record: Record = False,
) -> None:
    """How well the embedded model draws, as its recogniser reads it."""
    from chatdit.evals.bench_pocket import run
    from chatdit.evals.records import write_record

    measured = run(model=model, cases=cases, seed=seed, steps=steps, guidance=guidance, notify=_notify)
    _print(measured, json)
    if record:
        typer.echo(f"written to {write_record(measured)}", err=True)


@bench.command("sheet")
def bench_sheet(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="PNG to write.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of the first picture; the others count up.")] = 0,
    model: Annotated[str, typer.Option(metavar="M", help="pocket, or a pocket folder.")] = "pocket",
) -> None:
    """A sheet of sixteen pictures with their captions, to look at."""
    from chatdit.evals.sample_sheet import sample_sheet

    if out.suffix.lower() != ".png":
        raise UsageError(f"{out} is not a PNG file name: expected a name that ends in .png")
    out.parent.mkdir(parents=True, exist_ok=True)
    sample_sheet(model, seed).save(out, optimize=True)
    typer.echo(str(out))


@bench.command("startup")
def bench_startup(
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Measurements of each number.")] = 5,
    json: Json = False,
    record: Record = False,
) -> None:
    """Seconds to the help, to the prompt, and to the first picture of a fresh process."""
    from chatdit.evals.bench_startup import run
    from chatdit.evals.records import write_record

    measured = run(repeats)
    _print(measured, json)
    if record:
        typer.echo(f"written to {write_record(measured)}", err=True)


def _device(name: str) -> torch.device:
    import torch

    try:
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise UsageError(f"--device {name[:40]!r} is not known: expected auto, cpu, cuda or cuda:N") from None


def _notify(what: str, done: int, total: int) -> None:
    """One line on a terminal's stderr, written over and over."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{what} {done}/{total}", err=True, nl=done == total)


def _print(record: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(record, indent=2))
        return
    for name, value in record.items():
        shown = " · ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        print(f"{name}: {shown}")
