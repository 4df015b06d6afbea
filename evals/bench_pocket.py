"""How well the embedded model draws what it is asked, read back by the reader of its world.

Every number comes with its cases and a 95 % interval. The reader's own accuracy on fresh renders of the same
captions is part of the record: no share can be trusted beyond it. A model of few steps is asked at its own steps, and
for single subjects also in quality mode, with twice the passes.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from chatdit.evals import pocket_context, pocket_questions
from chatdit.evals.bench_pocket_speed import sampling_modes
from chatdit.evals.intervals import Estimate, bootstrap_mean, bootstrap_median
from chatdit.evals.pocket_asking import ModelArtist, Notify, Reader
from chatdit.evals.pocket_cases import mixed_scenes
from chatdit.evals.pocket_questions import Scores, Sitting, reader_accuracy
from chatdit.evals.pocket_scores import SAME_BOX
from chatdit.evals.records import commit, describe_device, versions
from chatdit.evals.sprite_fidelity import comparer
from chatdit.tools import pocket
from chatdit.tools.dit.model import DiT, SamplingOptions
from chatdit.tools.pocket.closer_look import CloserLook
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.vocabulary import STYLES
from chatdit.tools.types import ToolError

Question = Callable[[Sitting, int, int], Scores]
"""Is asked with a number of cases and a seed."""
_MIB = 2**20
_SETS: tuple[Question, ...] = (
    pocket_context.looks,
    pocket_context.panel_identity,
    pocket_context.references,
    pocket_context.context,
    pocket_context.edits,
)
_NOTE = (
    "count_accuracy is of three kinds; panel_identity of four panels, a quarter each bare, tinted, wearing something "
    "and mirrored; an identity is subject, tint, what is worn and its colour; reference_identity of a given panel or "
    f"reference whose subject no word names; layout_copy of squares that overlap by {SAME_BOX}; what ends in alone is "
    "the same captions in rows of one; seconds are medians, memory the whole process's"
)


def run(
    *,
    model: str = "pocket",
    reader: Path | None = None,
    cases: int = 128,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    speed: Path | None = None,
    workers: int = 0,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Measure `model` on `cases` pictures (sets: half as many) for each question; a JSON record.

    Args:
        model: "pocket" or a pocket folder.
        reader: weights of the detector; None means those of the package.
        workers: processes that lay sprites beside the drawn ones while others are drawn; 0 does it in turn.
        speed: a record of `bench pocket-speed` to take seconds and memory from, for whoever asks a GPU the rest.

    Raises:
        ToolError: a model or weights that are not there, or a record of other weights.
    """
    dit = DiT.load(model)
    reads = _load_reader(reader, dit.device)

    sets = max(2, cases // 2)
    modes = sampling_modes(dit.defaults) if steps is None else None
    asked = _measured_alone(model, steps) if speed is None else _recorded(speed, dit.weights_hash, steps)
    asked["autoencoder_psnr_db"] = _psnr(dit, seed, cases)
    accuracy = reader_accuracy(reads, 4 * cases, seed)
    asked["recogniser_top1"] = accuracy["subjects"]
    accuracy |= pocket_context.reader_limits(reads, 2 * cases, seed)
    more: dict[str, Estimate] = {}
    with comparer(Renderer(dit.device), workers) as compares:

        def sit(sampling: SamplingOptions) -> Sitting:
            artist = ModelArtist(dit, reads, sampling, notify)
            return Sitting(artist, Renderer(dit.device), lambda p: dit.images.decode(dit.images.encode(p)), compares)

        sitting = sit(SamplingOptions(steps=steps, guidance=guidance))
        restored = pocket_questions.restored_singles(sitting, cases, seed)
        if modes is None:
            single, more = pocket_questions.singles(sitting, cases, seed, restored)
            asked |= single
        else:
            few, more = pocket_questions.singles(sit(modes.few_step), cases, seed, restored)
            best, most = pocket_questions.singles(sit(modes.quality), cases, seed, restored)
            asked |= best | {f"{name}_few_step": estimate for name, estimate in few.items()}
            more |= {f"{name}_quality": estimate for name, estimate in most.items()}
        questions = [partial(q, sitting, cases, seed) for q in (pocket_questions.pairs, pocket_questions.attributes)]
        for question in [*questions, *(partial(q, sitting, sets, seed) for q in _SETS)]:
            part, others = question()
            asked |= part
            more |= others
    defaults = dit.defaults
    given = {"steps": steps, "guidance": guidance}
    options = "" if model == "pocket" else " --model FOLDER"
    options += "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
    options += "" if speed is None else f" --speed {speed}"
    return {
        "benchmark": "pocket",
        "command": f"chatdit bench pocket{options} --cases {cases} --seed {seed} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": dit.name, "weights": dit.weights_hash},
        "reader": "of the package" if reader is None else hashlib.sha256(reader.read_bytes()).hexdigest(),
        "sampling": {
            "steps": steps or defaults.steps,
            "guidance": defaults.guidance if guidance is None else guidance,
            **({} if modes is None else {name: _mode(mode) for name, mode in modes._asdict().items()}),
        },
        "device": describe_device(dit.device),
        "versions": versions("diffusers"),
        "note": _NOTE,
        **_told(asked),
        "weights_mib": Estimate(size := _weights_mib(), size, size, 1).rounded(2),
        "more": _told(more),
        "recogniser_on_renders": _told(accuracy),
    }


def _mode(sampling: SamplingOptions) -> dict[str, object]:
    return {"steps": sampling.steps, "guidance": sampling.guidance}


def _load_reader(weights: Path | None, device: torch.device) -> Reader:
    return CloserLook(load_detector(weights, device), Renderer(device))


def _told(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: estimate.rounded() for name, estimate in sorted(estimates.items())}


_ALONE = """
import json, sys
from chatdit.evals.bench_pocket_speed import run
print(json.dumps(run(model=sys.argv[1], steps=int(sys.argv[2]) or None)))
"""


def _measured_alone(model: str, steps: int | None, *, processes: int = 3) -> dict[str, Estimate]:
    """Seconds and memory on the CPU, of processes that do nothing else."""
    records = []
    for _ in range(processes):
        command = [sys.executable, "-P", "-c", _ALONE, model, str(steps or 0)]
        records.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return _speeds(records, steps)


def _recorded(speed: Path, weights: str, steps: int | None) -> dict[str, Estimate]:
    """Seconds and memory that a record of `bench pocket-speed` tells of the same weights."""
    try:
        told = json.loads(speed.read_text(encoding="utf-8"))
        found, measured = _speeds([told], steps), str(told["model"]["weights"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{speed} is no record of `chatdit bench pocket-speed --json`: {error}") from error
    if measured != weights:
        raise ToolError(
            f"{speed} is of the weights {measured[:12]}, expected {weights[:12]}, which are asked "
            "here: measure those, or leave --speed out"
        )
    return found


def _speeds(records: Sequence[dict[str, Any]], steps: int | None) -> dict[str, Estimate]:
    def seconds(field: str) -> Estimate:
        return bootstrap_median([t for record in records for t in record[field]["each"]])

    fields = {"seconds_four_panel": "seconds_four_panels"}
    if steps is None:
        fields |= {"seconds_few_step": "seconds_few_step", "seconds_quality": "seconds_quality"}
    else:
        fields["seconds_quality"] = "seconds_per_picture"
    memory = bootstrap_median([record["peak_memory_mib"] * _MIB / 1e6 for record in records])
    return {name: seconds(field) for name, field in fields.items()} | {"peak_memory_mb": memory}


def _weights_mib() -> float:
    """Of what drawing and reading need, in MiB: the package's weights without its LoRAs."""
    folder = Path(str(pocket.__file__)).parent
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors") if "loras" not in path.parts) / _MIB


def _psnr(dit: DiT, seed: int, cases: int) -> Estimate:
    rng = random.Random(f"psnr-{seed}")
    scenes = [replace(s, style=rng.choice(list(STYLES))) for s in mixed_scenes(cases, rng)]
    truth = Renderer().pictures(scenes, rng)
    with torch.no_grad():
        restored = torch.cat([dit.images.decode(dit.images.encode(part)).cpu() for part in torch.split(truth, 8)])
    errors = (restored.clamp(-1, 1) - truth).div(2).square().mean(dim=(1, 2, 3))
    return bootstrap_mean([float(-10 * torch.log10(e)) for e in errors])
