"""`chatdit train`: options here, work in chatdit.tools.training."""

from __future__ import annotations

import sys
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
    rate: Annotated[
        float,
        typer.Option(min=0.01, max=10, metavar="X", help="Factor on the learning rates; below 1 for good weights."),
    ] = 1.0,
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
            rate=rate,
        )
        print(path)


@train.command("ic-lora")
def train_ic_lora(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Samples and card.json, or pocket:colouring, :sandstorm, :growth.")
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What it is called; else the card's name.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes; else to your own LoRAs, under its name.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="M", help="pocket, a diffusers folder or a hub id.")] = "pocket",
    rank: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Of the matrices that are added.")] = 16,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Of training.")] = 400,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Sets in a step.")] = 4,
    rate: Annotated[
        float, typer.Option(min=1e-6, max=0.1, metavar="X", help="The learning rate at its height.")
    ] = 1e-3,
    samples: Annotated[int, typer.Option(min=4, metavar="N", help="How many sets pocket:... renders.")] = 60,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with an interrupted run, or forget it.")
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Of samples, weights, batches and noise.")] = 0,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the samples, and train nothing.")] = False,
) -> None:
    """Train an In-Context LoRA on sets of pictures of one kind; 20 to 100 of them are usual."""
    from chatdit.eval_progress import progress
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.lora.samples import read_samples
    from chatdit.tools.lora.shelf import own_folder
    from chatdit.tools.lora.training import LoraRecipe, train_lora
    from chatdit.tools.lora.world_sets import SETS, render_samples

    family, _, known = folder.partition(":")
    if family == "pocket" and known:
        if known not in SETS:
            raise UsageError(f"{folder[:60]!r} is not known: expected pocket:{' or pocket:'.join(SETS)}")
        card, sets = render_samples(known, samples, seed)
    else:
        card, sets = read_samples(Path(folder))
    card = card.model_copy(update={"name": _lora_name(name or card.name)})
    print(f"{card.name}: {len(sets)} sets of {card.panels} panels", file=sys.stderr)
    if dry_run:
        return
    recipe = LoraRecipe(rank=rank, steps=steps, batch=batch, rate=rate)
    place = out or own_folder() / card.name
    named_device(device)
    with progress() as notify:
        print(
            train_lora(
                DiT.load(model, device=device),
                card,
                sets,
                place,
                recipe,
                seed=seed,
                fresh=not resume,
                report=lambda done, total, loss: notify("steps", done, total),
            )
        )


def _lora_name(name: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from chatdit.tools.lora.card import LoraName

    try:
        return TypeAdapter(LoraName).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"--name {name[:60]!r} is no name: expected small letters, digits and dashes, 48 at most"
        ) from None


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
