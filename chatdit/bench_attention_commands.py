"""`chatdit bench`, what measures attention: options here, work in chatdit.evals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatdit.bench_options import (
    Device,
    Json,
    Record,
    Repeats,
    Sides,
    Threads,
    Tiny,
    chosen_policies,
    chosen_sides,
    hand_over,
    notify_line,
    thread_counts,
    told_in_a_line,
)
from chatdit.devices import named_device
from chatdit.exit_codes import UsageError

attention_bench = typer.Typer(rich_markup_mode=None)


@attention_bench.command("attention")
def bench_attention(
    device: Annotated[str, typer.Option(metavar="D", help="cuda, cuda:1, ...")] = "cuda",
    peer_llsa: Annotated[
        Path | None,
        typer.Option("--peer-llsa", metavar="PATH", help="A checkout of the LLSA reference to time beside."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PART", help="llsa, blocks or policies; may be repeated.")
    ] = None,
    json: Json = False,
    record: Record = False,
) -> None:
    """Sparse attention beside dense attention, after a check against fp64."""
    from chatdit.evals.bench_attention import run

    named_device(device)
    with told_in_a_line():
        measured = run(device=device, peer=peer_llsa, only=only or (), notify=lambda line: typer.echo(line, err=True))
    hand_over(measured, json, record)


@attention_bench.command("crossover")
def bench_crossover(
    repeats: Repeats = 3,
    threads: Threads = "1,2",
    largest: Annotated[
        int | None, typer.Option(min=256, metavar="PX", help="Side of the largest picture; else 1536, on a GPU 3072.")
    ] = None,
    device: Device = "cpu",
    json: Json = False,
    record: Record = False,
) -> None:
    """From how many tokens sparse attention is faster than dense."""
    from chatdit.evals.bench_crossover import GPU_SIDES, SIDES, run

    on = named_device(device)
    sides = [side for side in (GPU_SIDES if on.type == "cuda" else SIDES) if side <= (largest or side)]
    measured = run(device=device, sides=sides, threads=thread_counts(threads), repeats=repeats, notify=notify_line)
    hand_over(measured, json, record)


@attention_bench.command("gather")
def bench_gather(
    repeats: Repeats = 15,
    threads: Threads = "1,2",
    json: Json = False,
    record: Record = False,
) -> None:
    """Sparse attention beside dense attention on this CPU, at 4,096 tokens and density 0.1, the plan given."""
    from chatdit.evals.bench_gather import run

    with told_in_a_line():
        measured = run(threads=thread_counts(threads), repeats=repeats, notify=notify_line)
    hand_over(measured, json, record)


@attention_bench.command("attention-steps")
def bench_attention_steps(
    sides: Sides = "",
    policies: Annotated[str, typer.Option(metavar="P,P", help="Some of the image policies; else all.")] = "",
    tiny: Tiny = False,
    json: Json = False,
    record: Record = False,
) -> None:
    """Time of a full-size FLUX step, dense and with sparse attention; needs a CUDA device."""
    import torch

    from chatdit.evals.bench_attention_steps import POLICIES, run

    names, wanted = chosen_policies(policies, POLICIES), chosen_sides(sides)
    if not (tiny or torch.cuda.is_available()):
        raise UsageError("a step of the full-size FLUX needs a CUDA device: run it on one, or add --tiny")
    measured = run(sides=wanted, policies=names, tiny=tiny, notify=notify_line)
    hand_over(measured, json, record)


@attention_bench.command("shared-steps")
def bench_shared_steps(
    sides: Sides = "",
    policies: Annotated[str, typer.Option(metavar="P,P", help="Some of the image policies.")] = "llsa,draft",
    tiny: Tiny = False,
    json: Json = False,
    record: Record = False,
) -> None:
    """Time of a FLUX step that several GPUs share, beside one; started by torchrun."""
    from chatdit.evals.bench_attention_steps import POLICIES
    from chatdit.evals.bench_shared_steps import run

    names, wanted = chosen_policies(policies, POLICIES), chosen_sides(sides)
    with told_in_a_line():
        measured = run(sides=wanted, policies=names, tiny=tiny, notify=notify_line)
    if measured is not None:
        hand_over(measured, json, record)


@attention_bench.command("llsa-training")
def bench_llsa_training(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Keeps each training that is done.")] = Path(
        "runs/llsa-training"
    ),
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings with each attention.")] = 3,
    steps: Annotated[int | None, typer.Option(min=4, metavar="N", help="Of a training; else the recipe's.")] = None,
    side: Annotated[int | None, typer.Option(min=16, metavar="PX", help="Of a picture; a pixel is a token.")] = None,
    device: Annotated[str, typer.Option(metavar="D", help="cuda, cuda:1, ..., or cpu for a small trial.")] = "cuda",
    json: Json = False,
    record: Record = False,
) -> None:
    """Train a small transformer on pixels with LLSA and with dense attention, and compare."""
    from chatdit.evals.bench_llsa_training import run

    on = named_device(device)
    measured = run(out, device=on, seeds=range(seeds), steps=steps, side=side, notify=notify_line)
    hand_over(measured, json, record)


@attention_bench.command("fidelity")
def bench_fidelity(
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Canvases and pictures to measure on.")] = 4,
    steps: Annotated[int, typer.Option(min=2, metavar="N", help="Of each picture; three of them are kept.")] = 8,
    side: Annotated[int, typer.Option(min=64, metavar="PX", help="Side of a panel; multiples of 64.")] = 256,
    flux: Annotated[bool, typer.Option("--flux", help="On blocks of FLUX.1's shapes with random weights.")] = False,
    json: Json = False,
    record: Record = False,
) -> None:
    """How far each sparse policy is from dense attention, at several densities, while pocket draws."""
    from chatdit.evals.bench_fidelity import run, run_random_flux

    if side % 64:
        raise UsageError(f"--side is {side}: expected a multiple of 64, so that tiles fit")
    if flux:
        hand_over(run_random_flux(side=side, notify=notify_line), json, record)
        return
    measured = run(seeds=seeds, steps=steps, side=side, notify=notify_line)
    hand_over(measured, json, record)
