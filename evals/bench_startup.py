"""How long a person waits: for the prompt, for help, and for the first picture of a fresh process.

Every number is wall time of a new process with an empty data folder; the operating system's file
cache is as it is, so the first run on a machine that has just been started takes longer.
"""

from __future__ import annotations

import fcntl
import os
import platform
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from chatdit.evals.records import commit

COMMAND = (sys.executable, "-P", "-c", "from chatdit.cli import main; main()")
PROMPT = "›".encode()
REQUEST = "a cat on the beach"
LIMIT_SECONDS = 180.0
PACKAGES = ("chatdit", "torch", "diffusers", "transformers", "langgraph", "prompt_toolkit", "typer")

Number = dict[str, float | int]


def run(repeats: int = 5, request: str = REQUEST) -> dict[str, object]:
    """Measure help, prompt and first picture `repeats` times each; seconds, as a JSON record.

    Raises RuntimeError when a process fails or stays silent for LIMIT_SECONDS.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: expected at least 1")
    return {
        "benchmark": "startup",
        "command": f"chatdit bench startup --repeats {repeats} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": {"kind": "cpu", "cores": len(os.sched_getaffinity(0)), "machine": platform.machine()},
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        "request": request,
        "help_seconds": summary([seconds_to_help() for _ in range(repeats)]),
        "prompt_seconds": summary([seconds_to_prompt() for _ in range(repeats)]),
        "first_picture_seconds": summary([seconds_to_picture(request) for _ in range(repeats)]),
    }


def summary(seconds: list[float]) -> Number:
    """Median, extremes and number of measurements."""
    return {
        "median": round(statistics.median(seconds), 3),
        "min": round(min(seconds), 3),
        "max": round(max(seconds), 3),
        "n": len(seconds),
    }


def seconds_to_help() -> float:
    """Seconds of a whole `chatdit --help`."""
    return _in_fresh_home(lambda environ, home: _run_to_end(("--help",), environ, home))


def seconds_to_prompt() -> float:
    """Seconds from starting `chatdit` on a terminal until its prompt stands there."""
    return _in_fresh_home(_wait_for_prompt)


def seconds_to_picture(request: str) -> float:
    """Seconds of a whole `chatdit run`, from nothing loaded to the finished PNG."""
    return _in_fresh_home(lambda environ, home: _run_to_end(("run", request, "--json"), environ, home))


def _in_fresh_home(measure: Callable[[dict[str, str], Path], float]) -> float:
    with tempfile.TemporaryDirectory(prefix="chatdit-bench-") as folder:
        home = Path(folder)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHATDIT_", "XDG_", "PYTHONPATH"))}
        own = {"HOME": folder, "CHATDIT_HOME": str(home / "data")}
        terminal = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
        return measure(kept | own | terminal, home)


def _run_to_end(arguments: tuple[str, ...], environ: dict[str, str], home: Path) -> float:
    start = time.perf_counter()
    done = subprocess.run((*COMMAND, *arguments), env=environ, cwd=home, capture_output=True, timeout=LIMIT_SECONDS)
    seconds = time.perf_counter() - start
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"chatdit {' '.join(arguments)} ended with {done.returncode}: {' '.join(last)}")
    return seconds


def _wait_for_prompt(environ: dict[str, str], home: Path) -> float:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    start = time.perf_counter()
    process = subprocess.Popen(
        COMMAND, stdin=child, stdout=child, stderr=child, env=environ, cwd=home, start_new_session=True
    )
    os.close(child)
    try:
        _read_until(parent, PROMPT, start + LIMIT_SECONDS)
        return time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(parent)


def _read_until(descriptor: int, wanted: bytes, deadline: float) -> None:
    seen = b""
    while wanted not in seen:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.perf_counter()))[0]:
            raise RuntimeError(f"no prompt within {LIMIT_SECONDS:.0f} s; the terminal shows {seen[-200:]!r}")
        try:
            seen += os.read(descriptor, 4096)
        except OSError as error:  # the child has closed its side
            raise RuntimeError(f"chatdit ended before its prompt; the terminal shows {seen[-200:]!r}") from error
