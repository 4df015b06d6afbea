"""What each tool costs over plain generation: seconds and peak memory of one fixed request, in one table.

Each tool runs as in a conversation: by its own `run`, over a store of pictures. Plain generation of one picture is
timed in turn with it, in the same process, so that a busy machine slows down both. A process of its own for each case
tells its memory; of FLUX's full size, with random weights that are good for time and memory alone, the device does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from chatdit.evals.bench_startup import summary
from chatdit.evals.fresh_process import fresh_processes, peak_mib
from chatdit.evals.intervals import paired_median_ratio
from chatdit.evals.records import commit, describe_device, versions
from chatdit.evals.tool_cases import ToolCase, tool_cases
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.tool import RunContext
from chatdit.tools.types import ToolError, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

Notify = Callable[[str, int, int], None]
Row = dict[str, object]
LORA = "sandstorm"
"""Of those that ship."""
FLUX_SIDE, TINY_SIDE = 1024, 64
ENOUGH = 6
"""Pairs from which the median's 95 % interval exists at all: the extremes of five hold it in 94 % of cases."""
_NOTE = (
    "seconds are medians after one run that is not timed; ratio is that of the medians, with plain generation of one "
    f"picture timed in turn; its interval, from {ENOUGH} pairs on, is a bootstrap's over pairs; tokens are of the "
    "largest row"
)
_NOTE_ALONE = "memory is the peak of a process that has done nothing else; on a GPU, of what it allocated there"
_NOTE_FLUX = (
    "weights are random, for time and memory only; there are no text encoders, whose time and memory come on top; "
    "memory is the peak of what was allocated on the GPU, with the painter"
)


@dataclass(frozen=True)
class Asked:
    """What is measured, and with which painter: a pocket model, or FLUX with random weights."""

    model: str
    device: str
    flux: bool
    side: int
    """Of FLUX's pictures, in pixels."""
    tools: tuple[str, ...]
    """All, if none are named."""
    repeats: int
    tiny: bool

    def chosen(self, cases: Sequence[ToolCase]) -> list[ToolCase]:
        """Plain generation, and the cases of the tools that were asked for."""
        return [case for i, case in enumerate(cases) if i == 0 or not self.tools or case.tool in self.tools]

    def command(self) -> str:
        """What measures it again."""
        painter = f" --flux --side {self.side}{' --tiny' * self.tiny}" if self.flux else f" --model {self.model}"
        named = "".join(f" --tool {name}" for name in self.tools)
        return f"chatdit bench tools{painter} --device {self.device} --repeats {self.repeats}{named} --json"


def run(
    *,
    model: str = "pocket",
    device: str = "cpu",
    flux: bool = False,
    side: int | None = None,
    tools: Sequence[str] | None = None,
    repeats: int = 3,
    tiny: bool = False,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """A row for each case of `tools` (all by default), plain generation first; a JSON record.

    With `flux` the painter is FLUX.1-dev's architecture with random weights, at `side` pixels; `tiny` makes it small.

    Raises:
        ValueError: an unknown tool, no repeats, or no device for the full size.
        ToolError: a model that is not there.
    """
    _check(tools or (), repeats, needs_device=flux and not tiny and torch.device(device).type != "cuda")
    side = side or (TINY_SIDE if tiny else FLUX_SIDE)
    asked = Asked(model, device, flux, side, tuple(tools or ()), repeats, tiny)
    with TemporaryDirectory(prefix="chatdit-bench-") as name, _own_home(Path(name) / "home"):
        rows = (_of_flux if flux else _of_model)(asked, Path(name) / "store", notify)
    if "cannot" in rows[0]:
        raise ToolError(str(rows[0]["cannot"]))
    told = describe_device(torch.device(device))
    where = str(told["name"]) if "name" in told else f"{told['kind']}, {told['threads']} threads"
    return {
        "benchmark": "tools",
        "command": asked.command(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": rows[0]["painter"], "weights": rows[0]["weights"]} | ({"side": side} if flux else {}),
        "device": told,
        "versions": versions("diffusers"),
        "note": f"{_NOTE}; {_NOTE_FLUX if flux else _NOTE_ALONE}",
        "rows": [{"painter": rows[0]["painter"], "device": where} | row for row in _compared(rows)],
    }


def in_one_table(record: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    """A record with the rows of another one, of another painter or device, behind its own.

    Raises ValueError unless both are records of this benchmark.
    """
    mine, others = record["rows"], other.get("rows")
    if other.get("benchmark") != record["benchmark"] or not isinstance(mine, list) or not isinstance(others, list):
        raise ValueError("that is no record of `chatdit bench tools --json`: expected one to put beside this one")
    beside = {name: value for name, value in other.items() if name not in ("rows", "benchmark")}
    return dict(record) | {"rows": [*mine, *others], "beside": beside}


def measured(
    case: ToolCase, plain: ToolCase, painter: Callable[[], DiT], inputs: Path, device: torch.device, repeats: int
) -> Row:
    """A case's row: memory of its first run, then its time and that of `plain` in turn.

    A case that the painter cannot draw has a row that says why.
    """
    row: Row = {"tool": case.tool, "case": case.name}
    try:
        output = _ran(case, painter, inputs)[1]
    except ToolError as error:
        return row | {"cannot": str(error).splitlines()[0]}
    memory = peak_mib(str(device))
    dit = painter()
    cost = TOOLS[case.tool].estimate(case.request, dit.defaults)
    _ran(plain, painter, inputs)
    pairs = [(_ran(case, painter, inputs)[0], _ran(plain, painter, inputs)[0]) for _ in range(repeats)]
    mine, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return row | {
        "painter": dit.name,
        "weights": dit.weights_hash,
        "steps": cost.steps,
        "rows": cost.rows,
        "tokens": cost.tokens,
        "pictures": len(output.images),
        "seconds": summary(mine),
        "seconds_plain": summary(others),
        "ratio": _ratio(mine, others),
        "peak_memory_mib": memory,
    }


def _of_model(asked: Asked, folder: Path, notify: Notify) -> list[Row]:
    """Of a pocket model: each case in a fresh process."""
    everything = tool_cases(ArtifactStore(folder), looks=True, side=PICTURE_PIXELS, lora=LORA)
    plain, cases = everything[0], asked.chosen(everything)
    rows = []
    with fresh_processes() as alone:
        for i, case in enumerate(cases):
            notify(f"{case.tool}, {case.name}", i, len(cases))
            rows.append(alone.submit(_measured_alone, asked, case, plain, folder).result())
    notify("tools", len(cases), len(cases))
    return rows


def _measured_alone(asked: Asked, case: ToolCase, plain: ToolCase, inputs: Path) -> Row:
    """The painter is loaded when the tool first asks for it: one that asks for none has a small process."""
    from chatdit.tools.dit.model import DiT

    painter = cache(lambda: DiT.load(asked.model, device=asked.device))
    return measured(case, plain, painter, inputs, torch.device(asked.device), asked.repeats)


def _of_flux(asked: Asked, folder: Path, notify: Notify) -> list[Row]:
    """Of FLUX with random weights: all cases in this process, since the painter is large."""
    from chatdit.evals.random_flux import put_random_lora, random_flux
    from chatdit.tools.lora.shelf import own_folder

    device = torch.device(asked.device)
    dit = random_flux(device, side=asked.side, tiny=asked.tiny)
    put_random_lora(dit, own_folder(), "random")
    everything = tool_cases(ArtifactStore(folder), looks=False, side=asked.side, lora="random")
    plain, cases = everything[0], asked.chosen(everything)
    rows = []
    for i, case in enumerate(cases):
        notify(f"{case.tool}, {case.name}", i, len(cases))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        rows.append(measured(case, plain, lambda: dit, folder, device, asked.repeats))
        if device.type != "cuda":
            rows[-1].pop("peak_memory_mib", None)  # it is that of all cases before, too
    notify("tools", len(cases), len(cases))
    return rows


def _ran(case: ToolCase, painter: Callable[[], DiT], inputs: Path) -> tuple[float, ToolOutput]:
    """Seconds and output of one run, over a fresh copy of the store, since what is there is not written again."""
    with TemporaryDirectory(prefix="chatdit-bench-") as name:
        store = ArtifactStore(Path(shutil.copytree(inputs, Path(name) / "store")))
        context = RunContext(painter, store, lambda progress: None)
        started = time.perf_counter()
        output = TOOLS[case.tool].run(case.request, context)
        return time.perf_counter() - started, output


def _ratio(mine: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    if len(mine) >= ENOUGH:
        return paired_median_ratio(mine, others).rounded()
    return {"value": round(statistics.median(mine) / statistics.median(others), 4), "n": len(mine)}


def _compared(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with what memory they take beyond plain generation, the first."""
    plain = rows[0].get("peak_memory_mib")
    for row in rows:
        mine = row.get("peak_memory_mib")
        told = {name: value for name, value in row.items() if name != "weights"}  # they are of the whole record
        yield told | (
            {"memory_over_plain_mib": mine - plain} if isinstance(plain, int) and isinstance(mine, int) else {}
        )


def _check(tools: Sequence[str], repeats: int, *, needs_device: bool) -> None:
    unknown = [name for name in tools if name not in TOOLS]
    if unknown:
        raise ValueError(f"no tool called {unknown[0][:40]!r}: expected some of {', '.join(TOOLS)}")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: expected at least 1")
    if needs_device:
        raise ValueError("the full-size FLUX needs a CUDA device: run it on one, or add --tiny")


@contextmanager
def _own_home(home: Path) -> Iterator[None]:
    """A data folder of its own, so that no LoRA of the person's takes the place of a shipped one."""
    before = os.environ.get("CHATDIT_HOME")
    os.environ["CHATDIT_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CHATDIT_HOME"]
        else:
            os.environ["CHATDIT_HOME"] = before
