"""What the commands of `chatdit bench` share: options, and how a measurement is told and written down."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatdit.exit_codes import FAILURE, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Json = Annotated[bool, typer.Option("--json", help="Print data alone on stdout; the rest goes to stderr.")]
Record = Annotated[bool, typer.Option("--record", help="Also write the record under evals/records/.")]
Repeats = Annotated[int, typer.Option(min=1, metavar="N", help="Measurements of each number.")]
Device = Annotated[str, typer.Option(metavar="D", help="cpu, cuda, cuda:1, ...")]
Steps = Annotated[int | None, typer.Option(min=1, metavar="N", help="Else the model's own.")]
Guidance = Annotated[float | None, typer.Option(min=0, metavar="X", help="Else the model's own.")]
Model = Annotated[str, typer.Option(metavar="M", help="pocket, or a pocket folder.")]
Sides = Annotated[str, typer.Option(metavar="PX,PX", help="Sides of the pictures; else 2048,4096.")]
Tiny = Annotated[bool, typer.Option("--tiny", help="A small model on the CPU, to see that it works.")]
Threads = Annotated[str, typer.Option(metavar="N,N", help="Numbers of CPU threads to measure with.")]


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """A ValueError is the caller's mistake; a RuntimeError, such as a kernel that is not right, is a failure."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        typer.echo(f"error: {str(error).splitlines()[0]}", err=True)
        raise typer.Exit(FAILURE) from error


def chosen_policies(names: str, known: Collection[str]) -> tuple[str, ...]:
    """The policies of a list with commas, all of them for an empty one. Raises UsageError for an unknown name."""
    chosen = tuple(names.split(",")) if names else tuple(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UsageError(f"--policies {unknown[0][:40]!r} is not known: expected some of {', '.join(known)}")
    return chosen


def chosen_sides(sides: str) -> list[int] | None:
    """Pixels from a list with commas. Raises UsageError for what is no multiple of 16."""
    if not all(side.isdecimal() and int(side) % 16 == 0 and int(side) for side in sides.split(",") if sides):
        raise UsageError(f"--sides {sides[:40]!r} is no list of multiples of 16: expected 2048,4096 or the like")
    return [int(side) for side in sides.split(",")] if sides else None


def thread_counts(threads: str) -> list[int]:
    """Numbers from a list with commas. Raises UsageError for anything else."""
    counts = threads.split(",")
    if not all(count.isdecimal() and 0 < int(count) < 1000 for count in counts):
        raise UsageError(f"--threads {threads[:40]!r} is no list of numbers: expected 1,2 or the like")
    return [int(count) for count in counts]


def check_png(out: Path) -> None:
    """Raise UsageError unless the name is a PNG's."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out} is not a PNG file name: expected a name that ends in .png")


def save_png(picture: Image, out: Path) -> None:
    """Write a picture, and its path on stdout."""
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, optimize=True)
    typer.echo(str(out))


def notify_line(what: str, done: int, total: int) -> None:
    """One line on a terminal's stderr, written over and over."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{what} {done}/{total}", err=True, nl=done == total)


def hand_over(
    measured: Mapping[str, object],
    as_json: bool,
    record: bool,
    tell: Callable[[Mapping[str, object]], None] | None = None,
) -> None:
    """Print what was measured, for people by `tell` if there is a way of its own, and write it down if asked to."""
    from chatdit.evals.records import write_record

    if tell is None or as_json:
        _print(measured, as_json)
    else:
        tell(measured)
    if record:
        typer.echo(f"written to {write_record(measured)}", err=True)


def _print(record: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(record, indent=2))
        return
    for name, value in record.items():
        shown = " · ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        print(f"{name}: {shown}")
