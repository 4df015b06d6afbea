"""`chatdit bench`, what measures pocket, its world and start-up: options here, work in chatdit.evals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatdit.bench_options import (
    Device,
    Guidance,
    Json,
    Model,
    Record,
    Repeats,
    Steps,
    check_png,
    hand_over,
    notify_line,
    save_png,
    told_in_a_line,
)
from chatdit.devices import named_device

bench = typer.Typer(help="Measure, and write down what was measured.", rich_markup_mode=None, no_args_is_help=True)


@bench.command("pocket")
def bench_pocket(
    cases: Annotated[int, typer.Option(min=8, metavar="N", help="Pictures for each question.")] = 128,
    seed: Annotated[int, typer.Option(metavar="N", help="Which scenes are asked for.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    model: Model = "pocket",
    reader: Annotated[Path | None, typer.Option(metavar="FILE", help="Weights of the world's reader.")] = None,
    speed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take seconds and memory from a record of pocket-speed.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="Processes that compare what was drawn.")] = 0,
    json: Json = False,
    record: Record = False,
) -> None:
    """How well the embedded model draws, as the reader of its world sees it."""
    from chatdit.evals.bench_pocket import run

    measured = run(
        model=model,
        reader=reader,
        cases=cases,
        seed=seed,
        steps=steps,
        guidance=guidance,
        speed=speed,
        workers=workers,
        notify=notify_line,
    )
    hand_over(measured, json, record)


@bench.command("judge")
def bench_judge(
    seed: Annotated[int, typer.Option(metavar="N", help="Which mistakes are made.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Cases, spread over all; all by default.")
    ] = None,
    json: Json = False,
    record: Record = False,
) -> None:
    """How often the pocket judge is right on true renders of the pocket suite."""
    from chatdit.evals.bench_judge import run

    hand_over(run(seed=seed, limit=limit, notify=notify_line), json, record)


@bench.command("pocket-speed")
def bench_pocket_speed(
    device: Device = "cpu",
    repeats: Repeats = 5,
    steps: Steps = None,
    guidance: Guidance = None,
    model: Model = "pocket",
    json: Json = False,
    record: Record = False,
) -> None:
    """Seconds and memory of the embedded model on this machine."""
    from chatdit.evals.bench_pocket_speed import run

    named_device(device)
    measured = run(model=model, device=device, repeats=repeats, steps=steps, guidance=guidance)
    hand_over(measured, json, record)


@bench.command("sheet")
def bench_sheet(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="PNG to write.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of the first picture; the others count up.")] = 0,
    model: Model = "pocket",
    failures: Annotated[bool, typer.Option("--failures", help="Eight of what it does badly instead.")] = False,
) -> None:
    """A sheet of sixteen pictures with their captions, to look at."""
    from chatdit.evals.sample_sheet import failure_sheet, sample_sheet

    check_png(out)
    save_png((failure_sheet if failures else sample_sheet)(model, seed), out)


@bench.command("world")
def bench_world(
    device: Device = "cpu",
    repeats: Repeats = 5,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures rendered at once.")] = 64,
    json: Json = False,
    record: Record = False,
) -> None:
    """Pictures a second that the pocket world can be rendered at, and scenes that one process makes."""
    from chatdit.evals.bench_world import run

    named_device(device)
    hand_over(run(device=device, repeats=repeats, batch=batch), json, record)


@bench.command("training")
def bench_training(
    device: Device = "cpu",
    repeats: Repeats = 5,
    pixels: Annotated[int, typer.Option(min=16, max=256, metavar="N", help="Side of a picture.")] = 256,
    small: Annotated[bool, typer.Option("--small", help="Batches of one, to see that it runs.")] = False,
    json: Json = False,
    record: Record = False,
) -> None:
    """Where the time of a step of the base training goes."""
    from chatdit.evals.bench_training import run

    on = named_device(device)
    hand_over(run(device=on, pixels=pixels, repeats=repeats, small=small, notify=notify_line), json, record)


@bench.command("trials")
def bench_trials(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Keeps each training that is done.")] = Path("runs/trials"),
    arms: Annotated[str, typer.Option(metavar="A,A", help="Some of the arms; else all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings of each arm.")] = 3,
    steps: Annotated[int | None, typer.Option(min=5, metavar="N", help="Of the plain arm; else the recipe's.")] = None,
    device: Annotated[str, typer.Option(metavar="D", help="cuda, cuda:1, ..., or cpu for a small trial.")] = "cuda",
    json: Json = False,
    record: Record = False,
) -> None:
    """Train the pocket transformer in several ways, and compare: optimisers, shapes, alignments, sizes."""
    from chatdit.evals.bench_trials import run

    on, names = named_device(device), arms.split(",") if arms else None
    with told_in_a_line():
        measured = run(out, device=on, arms=names, seeds=range(seeds), steps=steps, notify=notify_line)
    hand_over(measured, json, record)


@bench.command("world-sheet")
def bench_world_sheet(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="PNG to write.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Which samples are drawn.")] = 0,
) -> None:
    """A sheet of training samples with their captions, to look at."""
    from chatdit.evals.world_sheet import world_sheet

    check_png(out)
    save_png(world_sheet(seed), out)


@bench.command("startup")
def bench_startup(
    repeats: Repeats = 5,
    json: Json = False,
    record: Record = False,
) -> None:
    """Seconds to the help, to the prompt, and to the first picture of a fresh process."""
    from chatdit.evals.bench_startup import run

    measured = run(repeats)
    hand_over(measured, json, record)


@bench.command("autoencoder")
def bench_autoencoder(
    model: Model = "pocket",
    cases: Annotated[int, typer.Option(min=2, metavar="N", help="Pictures of each style.")] = 96,
    seed: Annotated[int, typer.Option(metavar="N", help="Which pictures.")] = 0,
    repeats: Repeats = 9,
    json: Json = False,
    record: Record = False,
) -> None:
    """What the autoencoder keeps of pictures: by style, and of scikit-image's photographs where it is installed."""
    from chatdit.evals.bench_autoencoder import run

    measured = run(model=model, cases=cases, seed=seed, repeats=repeats, notify=notify_line)
    hand_over(measured, json, record)
