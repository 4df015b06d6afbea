"""`chatdit train`: options here, work in chatdit.tools.training."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from chatdit.devices import named_device
from chatdit.exit_codes import UsageError

if TYPE_CHECKING:
    import torch


train = typer.Typer(help="Train a model of our own.", rich_markup_mode=None, no_args_is_help=True)


@train.command("pocket")
def train_pocket(
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            metavar="STAGE",
            help="autoencoder, base, few-step, detector, export, or all in turn.",
        ),
    ] = "all",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where stages leave their files.")] = Path("runs/pocket"),
    minutes: Annotated[float, typer.Option(min=0.01, metavar="M", help="How long each stage may train.")] = 10.0,
    sitting: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="M", help="Leave the base after M minutes; the same command goes on."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A pocket folder to begin with; no model of few steps.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with an interrupted run of the stage, or forget it.")
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights, batches and noise.")] = 0,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    pixels: Annotated[
        int,
        typer.Option(metavar="N", help="Side of the pictures that the base learns: 128 first, for a start, or 256."),
    ] = 256,
    method: Annotated[
        str, typer.Option(metavar="M", help="How few steps are learned: imitation, or reflow to compare with.")
    ] = "imitation",
    check: Annotated[
        bool, typer.Option("--check", help="Ten small steps of every stage in a folder of their own, then forget them.")
    ] = False,
) -> None:
    """Train pocket; each stage leaves a file for the next."""
    from chatdit.tools.training.examples import SIDES
    from chatdit.tools.training.few_step import METHODS, Method
    from chatdit.tools.training.pocket import STAGES, Stage
    from chatdit.tools.training.pocket import train_pocket as run_stage

    if check:
        _check(named_device(device), seed)
        return
    chosen: list[Stage] = [known for known in STAGES if stage in (known, "all")]
    if not chosen:
        raise UsageError(f"--stage {stage[:40]!r} is not known: expected all, or one of {', '.join(STAGES)}")
    if pixels not in SIDES:
        raise UsageError(f"--pixels {pixels} cannot be trained: expected one of {', '.join(map(str, SIDES))}")
    methods: list[Method] = [known for known in METHODS if known == method]
    if not methods:
        raise UsageError(f"--method {method[:40]!r} is not known: expected one of {', '.join(METHODS)}")
    on = named_device(device)
    for name in chosen:
        path = run_stage(
            name,
            out,
            minutes=minutes,
            sitting=sitting,
            device=on,
            seed=seed,
            fresh=not resume,
            start=start,
            pixels=pixels,
            method=methods[0],
        )
        print(path)


def _check(device: torch.device, seed: int) -> None:
    """Run every stage for a few steps, and load what the last one wrote."""
    from chatdit.tools.dit.loading import load_pocket_modules
    from chatdit.tools.training.pocket import CHECK_STEPS, STAGES, train_pocket

    with TemporaryDirectory(prefix="chatdit-check-") as folder:
        paths = []
        for stage in STAGES:
            paths.append(
                train_pocket(stage, Path(folder), minutes=60, device=device, seed=seed, fresh=True, check=True)
            )
            print(f"{stage}: ok" if stage == "export" else f"{stage}: ok, {CHECK_STEPS} steps", flush=True)
        load_pocket_modules(paths[-1])
