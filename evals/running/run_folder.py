"""A run on disk: what was run, a line for each finished case, its pictures, the judges' verdicts.

manifest.json                          suite, system, seed, versions, and a hash of all that changes results
results.jsonl                          appended to, a line a case
originals/<case>/0001.png              pictures as they were made
outputs/<system>/<case>/0001.jpg       the same in IDEA-Bench's layout, which other people's scripts read
verdicts/<judge>.jsonl                 appended to, a line a case
logs/worker-1.log                      what each worker said
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from PIL import Image
from pydantic import BaseModel, JsonValue, ValidationError

from chatdit.evals.judges.judge import Verdict
from chatdit.evals.suites.case import Case, Split
from chatdit.tools.types import Data, Sha256

Status = Literal["done", "asked", "failed"]
SUITE = "suite"
JPEG = {"quality": 95, "subsampling": 0}
_M = TypeVar("_M", bound=BaseModel)


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
        except (OSError, ValidationError) as error:
            raise RunFolderError(
                f"{path} cannot be read ({type(error).__name__}): run again into another --out"
            ) from None

    def check(self, *, resume: bool) -> None:
        """Before anything is written. Raises RunFolderError when something else is there, or a run and no `resume`."""
        if (self.path / "manifest.json").exists():
            if not resume:
                raise RunFolderError(f"{self.path} holds a run already: go on with --resume, or name another --out")
        elif self.path.exists() and (not self.path.is_dir() or set(self._names()) - {SUITE}):
            raise RunFolderError(f"{self.path} is not empty and holds no run: name another --out")

    def begin(self, manifest: Manifest) -> None:
        """Write the manifest, or go on with the run that is there.

        Raises:
            RunFolderError: that is one of another configuration.
        """
        if not (self.path / "manifest.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            _write(self.path / "manifest.json", manifest.model_dump_json(indent=1))
            return
        before, now = self.manifest.model_dump(include=_CONFIG), manifest.model_dump(include=_CONFIG)
        differ = ", ".join(f"{name} {old!r} (now {now[name]!r})" for name, old in before.items() if old != now[name])
        if differ:
            raise RunFolderError(f"{self.path} holds a run of another configuration: {differ}; name another --out")

    @property
    def suite(self) -> Path:
        """Where a suite that is written for this run lies."""
        return self.path / SUITE

    def results(self) -> dict[str, Result]:
        """The last line of each case."""
        return {r.case: r for r in _lines(self.path / "results.jsonl", Result)}

    def add(self, result: Result) -> None:
        """Append a finished case."""
        _append(self.path / "results.jsonl", result)

    def keep(self, system: str, case: str, pictures: Sequence[Path]) -> tuple[str, ...]:
        """Take finished pictures over into both layouts; returns their names in `originals`."""
        names = []
        for i, source in enumerate(pictures, start=1):
            with Image.open(source) as opened:
                picture = opened.convert("RGB")
            original = self.path / "originals" / case / f"{i:04d}.png"
            official = self.path / "outputs" / system / case / f"{i:04d}.jpg"
            for path in (original, official):
                path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(original)
            picture.save(official, "JPEG", quality=JPEG["quality"], subsampling=JPEG["subsampling"])
            names.append(original.name)
        return tuple(names)

    def pictures(self, case: str) -> tuple[Path, ...]:
        """A case's outputs in order: the originals, else those that another system left in `outputs/<model>/<case>`."""
        originals = self.path / "originals" / case
        if originals.is_dir():
            return tuple(sorted(originals.glob("*.png")))
        folders = sorted((self.path / "outputs").glob(f"*/{case}")) or [self.path / case]
        return tuple(sorted(p for p in folders[0].glob("*") if p.stem.isdigit())) if folders[0].is_dir() else ()

    def verdicts(self, judge: str) -> dict[str, Verdict]:
        """The last verdict on each case by the judge of this name."""
        return {v.case: v for v in _lines(self._verdicts(judge), Verdict)}

    def add_verdict(self, verdict: Verdict) -> None:
        """Append a judged case."""
        _append(self._verdicts(verdict.judge), verdict)

    def judges(self) -> tuple[str, ...]:
        """Names of those whose verdicts are here."""
        found = (_lines(path, Verdict) for path in sorted((self.path / "verdicts").glob("*.jsonl")))
        return tuple(dict.fromkeys(v.judge for verdicts in found for v in verdicts))

    def log(self, worker: int) -> Path:
        """Where a worker's own words go."""
        path = self.path / "logs" / f"worker-{worker}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _names(self) -> list[str]:
        return [p.name for p in self.path.iterdir()]

    def _verdicts(self, judge: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in judge)
        return self.path / "verdicts" / f"{safe}.jsonl"


def config_sha256(values: Mapping[str, JsonValue]) -> str:
    """Hash of what changes a run's results: the fields of `Manifest` named here, and nothing else."""
    told = {name: values[name] for name in sorted(_CONFIG)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def unfinished(cases: Sequence[Case], results: Mapping[str, Result]) -> list[Case]:
    """Cases without a line, with one of another content, or that failed."""
    return [c for c in cases if not _settled(c, results.get(c.id))]


def _settled(case: Case, result: Result | None) -> bool:
    return result is not None and result.case_sha256 == case.sha256 and result.status != "failed"


def _lines(path: Path, model: type[_M]) -> Iterator[_M]:
    """Every whole line; a last one that a killed process left half-written is cut off."""
    if not path.is_file():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                return
            first = error.errors()[0]
            told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise RunFolderError(f"{path}, line {number} cannot be read ({told}): take the line out") from None


def _append(path: Path, record: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        _cut_half_line(file.fileno(), path)
        file.write(record.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _cut_half_line(descriptor: int, path: Path) -> None:
    size = os.fstat(descriptor).st_size
    if size and not path.read_bytes().endswith(b"\n"):
        os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


_CONFIG = {"suite", "suite_sha256", "system", "command", "seed", "weights"}
Notify = Callable[[str, int, int], None]
