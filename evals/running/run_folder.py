"""A run on disk: what was run, a line for each finished case, its pictures, the judges' verdicts.

manifest.json                          suite, system, seed, versions, and a hash of all that changes results
results.jsonl                          appended to, a line a case
originals/<case>/0001.png              pictures as they were made
outputs/<system>/<case>/0001.jpg       the same in IDEA-Bench's layout, which other people's scripts read
verdicts/<judge>.jsonl                 appended to, a line a case
scores/<judge>.json                    what they add up to
logs/worker-1.log                      what each worker said
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from chatdit.evals.judges.judge import Verdict
from chatdit.evals.running.json_lines import append_line, cut_half_line, read_lines
from chatdit.evals.running.kept_pictures import keep_pictures, pictures_of
from chatdit.evals.suites.case import Case, Split
from chatdit.tools.types import Data, Sha256

Status = Literal["done", "asked", "failed"]
SUITE, LOCK, DRAWING = "suite", "lock", "drawing"
HASH = 64
"""Digits of a SHA-256."""


class RunFolderError(ValueError):
    """A folder that holds another run, or none; the message says what to do."""


class Manifest(Data):
    """What a run is; `config_sha256` is of all fields above it that change results."""

    suite: str
    suite_root: str | None
    """Where a suite of one's own lies; None for the pocket suite, which is written anew."""
    suite_sha256: Sha256
    """Of the whole suite."""
    split: Split | None
    limit: int | None
    system: str
    command: tuple[str, ...]
    """The worker's, which names all settings that change its results."""
    model: str | None = None
    planner: str | None = None
    """Both of a system of this project, for people to read."""
    seed: int
    weights: str
    config_sha256: Sha256
    versions: dict[str, str]
    commit: str
    started: str


class Result(Data):
    """One case's end."""

    case: str
    case_sha256: Sha256
    status: Status
    """`asked`: the system had a question instead of pictures."""
    pictures: tuple[str, ...] = ()
    """File names in `originals/<case>/`."""
    reply: str = ""
    plan: JsonValue = None
    seconds: float = 0.0
    error: str = ""
    seed: int
    retries: int = 0


class RunFolder:
    """Reads and writes one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest(self) -> Manifest:
        """Raises RunFolderError when there is none, or none that can be read."""
        path = self.path / "manifest.json"
        try:
            return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunFolderError(f"no run at {self.path}: expected a folder with a manifest.json") from None
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"{path} cannot be read ({type(error).__name__}): run again into another --out"
            ) from None

    def check(self, *, resume: bool) -> None:
        """Before anything is written. Raises RunFolderError when something else is there, or a run and no `resume`."""
        if (self.path / "manifest.json").exists():
            if not resume:
                raise RunFolderError(f"{self.path} holds a run already: go on with --resume, or name another --out")
        elif self.path.exists() and (not self.path.is_dir() or set(self._names()) - {SUITE, LOCK}):
            raise RunFolderError(f"{self.path} is not empty and holds no run: name another --out")

    def begin(self, manifest: Manifest) -> None:
        """Write the manifest, or go on with the run that is there, perhaps with more or fewer cases.

        Raises:
            RunFolderError: that is one of another configuration.
        """
        if not (self.path / "manifest.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self.rewrite(manifest)
            return
        there = self.manifest
        before, now = there.model_dump(include=_CONFIG), manifest.model_dump(include=_CONFIG)
        differ = ", ".join(f"{n} {_shown(old)} (now {_shown(now[n])})" for n, old in before.items() if old != now[n])
        if differ:
            raise RunFolderError(f"{self.path} holds a run of another configuration: {differ}; name another --out")
        self.rewrite(there.model_copy(update=manifest.model_dump(include={"split", "limit", "suite_root"})))

    def rewrite(self, manifest: Manifest) -> None:
        """Put another manifest in the place of the one that is there."""
        _write(self.path / "manifest.json", manifest.model_dump_json(indent=1))

    def mend(self) -> tuple[str, ...]:
        """Cut off the lines that a killed process left half-written; a note for each."""
        files = [self.path / "results.jsonl", *sorted((self.path / "verdicts").glob("*.jsonl"))]
        cut = [path for path in files if cut_half_line(path)]
        return tuple(f"{path}: a half-written last line was cut off; its case is done again" for path in cut)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from drawing into the folder; ends with the process, however that ends.

        Raises:
            RunFolderError: one does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFolderError(f"another process draws into {self.path}: wait for it, or end it") from None
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is being drawn, on the same disk; what a killed process left there is taken away."""
        place = self.path / DRAWING
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @property
    def suite(self) -> Path:
        """Where a suite that is written for this run lies."""
        return self.path / SUITE

    def results(self) -> dict[str, Result]:
        """The last line of each case."""
        return {r.case: r for r in read_lines(self.path / "results.jsonl", Result)}

    def add(self, result: Result) -> None:
        """Append a finished case."""
        append_line(self.path / "results.jsonl", result)

    def keep(self, system: str, case: str, pictures: Sequence[Path]) -> tuple[str, ...]:
        """As `keep_pictures`. Raises ToolError for a file that is no picture."""
        return keep_pictures(self.path, system, case, pictures)

    def pictures(self, case: str) -> tuple[Path, ...]:
        """As `pictures_of`."""
        return pictures_of(self.path, case)

    def verdicts(self, judge: str) -> dict[str, Verdict]:
        """The last verdict on each case by the judge of this name."""
        return {v.case: v for v in read_lines(self._verdicts(judge), Verdict) if v.judge == judge}

    def add_verdict(self, verdict: Verdict) -> None:
        """Append a judged case."""
        append_line(self._verdicts(verdict.judge), verdict)

    def judges(self) -> tuple[str, ...]:
        """Names of those whose verdicts are here."""
        found = (read_lines(path, Verdict) for path in sorted((self.path / "verdicts").glob("*.jsonl")))
        return tuple(dict.fromkeys(v.judge for verdicts in found for v in verdicts))

    def write_scores(self, judge: str, scores: Mapping[str, object]) -> None:
        """Write down what the verdicts of a judge add up to."""
        path = self.path / "scores" / f"{_file_name(judge)}.json"
        path.parent.mkdir(exist_ok=True)
        _write(path, json.dumps(scores, indent=1))

    def log(self, worker: int) -> Path:
        """Where a worker's own words go."""
        path = self.path / "logs" / f"worker-{worker}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _names(self) -> list[str]:
        return [p.name for p in self.path.iterdir()]

    def _verdicts(self, judge: str) -> Path:
        return self.path / "verdicts" / f"{_file_name(judge)}.jsonl"


def config_sha256(values: Mapping[str, JsonValue]) -> str:
    """Hash of what changes a run's results: the fields of `Manifest` named here, and nothing else."""
    told = {name: values[name] for name in sorted(_CONFIG)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def unfinished(cases: Sequence[Case], results: Mapping[str, Result]) -> list[Case]:
    """Cases without a line, with one of another content, or that failed."""
    return [c for c in cases if not _settled(c, results.get(c.id))]


def _settled(case: Case, result: Result | None) -> bool:
    return result is not None and result.case_sha256 == case.sha256 and result.status != "failed"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return repr(" ".join(map(str, value)))
    return value[:12] if isinstance(value, str) and len(value) == HASH else repr(value)


def _file_name(judge: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in judge)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


_CONFIG = {"suite", "suite_sha256", "system", "command", "seed", "weights"}
Notify = Callable[[str, int, int], None]
