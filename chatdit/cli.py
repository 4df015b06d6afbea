"""The command line. Options and dispatch only: what a command needs is imported when it runs.

`chatdit --help` and `chatdit --version` load neither torch nor langgraph.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from chatdit import __version__
from chatdit.bench_attention_commands import attention_bench
from chatdit.bench_commands import bench
from chatdit.bench_tools_command import tools_bench
from chatdit.eval_commands import evaluate
from chatdit.exit_codes import FAILURE, INTERRUPTED, UsageError, exit_code, one_line
from chatdit.training_commands import train

HELP = "Say what you want to see, and get finished pictures. Without a command: a conversation."
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
PATIENT = {"GOMP_SPINCOUNT": "2000"}
"""Threads that wait for each other soon sleep: by default they spin, and starve those they wait for on a busy core."""

Text = Annotated[list[str] | None, typer.Argument(metavar="[TEXT]", help="What to draw; - or nothing reads stdin.")]
Images = Annotated[list[Path] | None, typer.Option("--image", "-i", metavar="FILE", help="A picture; repeat for more.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the finished pictures.")]
Json = Annotated[bool, typer.Option("--json", help="Print data alone on stdout; the rest goes to stderr.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="The same seed draws the same picture.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="pocket, a diffusers folder, or a hub id.")]
Planner = Annotated[str | None, typer.Option(metavar="P", help="offline, openai, table or rephrase.")]
Size = Annotated[str | None, typer.Option(metavar="WxH", help="Size of each picture in pixels.")]
Attention = Annotated[str | None, typer.Option(metavar="A", help="dense, llsa, clear, draft, ... (where it pays).")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Run plans of several steps without asking.")]

app = typer.Typer(
    name="chatdit", help=HELP, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(train, name="train")
for part in (attention_bench, tools_bench):
    bench.add_typer(part)  # without a name of its own its commands are among the others
app.add_typer(bench, name="bench")
app.add_typer(evaluate, name="eval")


def main() -> NoReturn:
    """Run the command line; every error meant for people is one line, and gives its exit code."""
    for name, value in (QUIET | PATIENT).items():
        os.environ.setdefault(name, value)
    _collect_seldom()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        app(prog_name="chatdit")
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILURE)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(code)


def _collect_seldom() -> None:
    # imports make a million objects and no garbage: searching them costs a second on the way to the first
    # picture, and at the end of the process another one and a half, which freezing spares
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"chatdit {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def conversation(
    context: typer.Context,
    go_on: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the session used last.")] = False,
    model: Model = None,
    planner: Planner = None,
    out: Out = None,
    yes: Yes = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Talk: one conversation in, finished pictures out."""
    flags = {"model": model, "planner": planner, "out": out}
    if context.invoked_subcommand is not None:
        if go_on or yes or any(flags.values()):
            raise UsageError(f"options of the conversation stand before {context.invoked_subcommand!r}: put them after")
        return
    from chatdit.drawing_commands import talk

    raise typer.Exit(talk(flags, latest=go_on, approve_always=yes))


@app.command()
def run(
    text: Text = None, image: Images = None, out: Out = None, json: Json = False, seed: Seed = None,
    model: Model = None, planner: Planner = None, size: Size = None, attention: Attention = None, yes: Yes = False,
) -> None:  # fmt: skip
    """Draw what TEXT asks for.

    A plan of one step runs at once; one of several needs --yes, or your y on a terminal (exit code 3).
    """
    from chatdit.drawing_commands import draw

    flags = {"out": out, "seed": seed, "model": model, "planner": planner, "size": size, "attention": attention}
    raise typer.Exit(draw(text, image or (), flags, as_json=json, yes=yes))


@app.command()
def plan(
    text: Text = None, image: Images = None, json: Json = False, seed: Seed = None, model: Model = None,
    planner: Planner = None, size: Size = None,
) -> None:  # fmt: skip
    """Show what would be drawn, and how."""
    from chatdit.drawing_commands import show_plan

    flags = {"seed": seed, "model": model, "planner": planner, "size": size}
    raise typer.Exit(show_plan(text, image or (), flags, as_json=json))


@app.command()
def sessions(json: Json = False) -> None:
    """List all sessions, the one used last first."""
    from chatdit.record_commands import list_sessions

    list_sessions(as_json=json)


@app.command()
def resume(
    session: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The beginning of an id; else the latest.")
    ] = None,
    out: Out = None,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Finish an interrupted session.

    Only what is missing is drawn; on a terminal, the conversation then goes on.
    """
    from chatdit.drawing_commands import go_on_with

    raise typer.Exit(go_on_with(session, {"out": out}, as_json=json, yes=yes))


@app.command()
def inspect(picture: Annotated[Path, typer.Argument(metavar="PNG")], json: Json = False) -> None:
    """Tell how a picture was made."""
    from chatdit.record_commands import inspect_picture

    inspect_picture(picture, as_json=json)


@app.command()
def replay(
    picture: Annotated[Path, typer.Argument(metavar="PNG")], out: Out = None, json: Json = False, model: Model = None
) -> None:
    """Draw a picture again and compare.

    It says whether the pixels are equal; if not, the exit code is 1.
    """
    from chatdit.record_commands import replay_picture

    raise typer.Exit(replay_picture(picture, out, {"model": model}, as_json=json))


@app.command()
def export(
    session: Annotated[str, typer.Argument(metavar="ID")],
    form: Annotated[
        str, typer.Option("--format", metavar="md|html", help="Markdown with pictures, or one page.")
    ] = "md",
    out: Out = None,
    json: Json = False,
) -> None:
    """Write a session down as a document."""
    from chatdit.record_commands import export_document

    export_document(session, form, out, as_json=json)


@app.command()
def tools(json: Json = False) -> None:
    """List the tools; --json prints their schemas."""
    from chatdit.setup_commands import list_tools

    list_tools(as_json=json)


@app.command()
def doctor(model: Model = None, planner: Planner = None, json: Json = False) -> None:
    """Look whether everything is in place.

    The exit code is 1 if something is not.
    """
    from chatdit.setup_commands import run_doctor

    raise typer.Exit(run_doctor({"model": model, "planner": planner}, as_json=json))
