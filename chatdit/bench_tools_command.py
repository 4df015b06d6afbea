"""`chatdit bench tools`: what each tool costs over plain generation, and the table of it."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from chatdit.bench_options import Json, Model, Record, Repeats, Tiny, hand_over, notify_line, told_in_a_line
from chatdit.devices import named_device
from chatdit.exit_codes import UsageError

tools_bench = typer.Typer(rich_markup_mode=None)


@tools_bench.command("tools")
def bench_tools(
    tool: Annotated[list[str] | None, typer.Option(metavar="T", help="One tool; repeat for more, else all.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="D", help="Else cpu; of --flux at full size, else cuda.")
    ] = None,
    repeats: Repeats = 3,
    model: Model = "pocket",
    flux: Annotated[bool, typer.Option("--flux", help="FLUX.1-dev's architecture with random weights.")] = False,
    side: Annotated[
        int | None, typer.Option(min=64, max=2048, metavar="PX", help="Of --flux: of its pictures; else 1024.")
    ] = None,
    tiny: Tiny = False,
    beside: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier --json, whose rows join the table.")
    ] = None,
    json: Json = False,
    record: Record = False,
) -> None:
    """Time and memory of each tool, over those of one picture that is plainly generated."""
    from chatdit.evals.bench_tools import in_one_table, run

    if not flux and (tiny or side is not None):
        raise UsageError("--tiny and --side are of --flux: add it, or leave them out")
    if flux and model != "pocket":
        raise UsageError(f"--flux and --model {model[:40]!r} are two painters: leave one out")
    if side is not None and side % 16:
        raise UsageError(f"--side is {side}: expected a multiple of 16")
    on = named_device(device or ("cuda" if flux and not tiny else "cpu"))
    other = None if beside is None else _earlier(beside)
    with told_in_a_line():
        measured = run(
            model=model, device=str(on), flux=flux, side=side, tools=tool, repeats=repeats, tiny=tiny,
            notify=notify_line,
        )  # fmt: skip
        measured = measured if other is None else in_one_table(measured, other)
    hand_over(measured, json, record, tell_tools)


def tell_tools(record: Mapping[str, object]) -> None:
    """The rows as a table, a part for each painter, and below it why a tool could not run."""
    from rich.console import Console
    from rich.table import Table

    rows = cast("list[dict[str, Any]]", record["rows"])
    table = Table(title="What tools cost over plain generation", box=None, pad_edge=False, collapse_padding=True)
    for heading in ("", "steps x rows\nx tokens", "seconds", "x plain", "MiB\n(over plain)"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for painter in dict.fromkeys((row["painter"], row["device"]) for row in rows):
        table.add_row()
        table.add_row("\n".join(painter))
        for row in rows:
            if (row["painter"], row["device"]) == painter:
                table.add_row(*_cells(row))
    Console().print(table)
    for row in rows:
        if "cannot" in row:
            typer.echo(f"{row['painter']}, {row['tool']}: {row['cannot']}")


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    named = f" {row['tool']}: {row['case']}"
    if "cannot" in row:
        return (named, *("-",) * 4)
    ratio, over = row["ratio"], row.get("memory_over_plain_mib")
    interval = f" [{ratio['ci_low']:.2f}, {ratio['ci_high']:.2f}]" if "ci_low" in ratio else ""
    work = " x ".join(str(row[name]) for name in ("steps", "rows", "tokens"))
    memory = "-" if over is None else f"{row['peak_memory_mib']} ({over:+d})"
    return named, work, f"{row['seconds']['median']:.3f}", f"{ratio['value']:.2f}{interval}", memory


def _earlier(path: Path) -> dict[str, object]:
    """The record in a file. Raises UsageError for what is none of this benchmark."""
    try:
        found = json_module.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("benchmark") != "tools":
        raise UsageError(f"--beside {path} is no record of `chatdit bench tools --json`")
    return found
