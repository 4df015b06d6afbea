"""What pocket's autoencoder keeps of a picture: by style, on the world it was trained for, and on photographs.

Layout legend: B batch, H and W pixels; pictures are float (B, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chatdit.evals.intervals import bootstrap_mean
from chatdit.evals.records import commit, describe_device, versions
from chatdit.tools.dit.model import DiT
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import Sample, Wishes, random_sample
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.vocabulary import STYLES, SUBJECTS

Notify = Callable[[str, int, int], None]
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg")
"""Colour photographs that come with scikit-image, cut to their middle square and scaled to 256 pixels."""
_CHUNK = 16


def run(
    *,
    model: str = "pocket",
    cases: int = 96,
    seed: int = 0,
    repeats: int = 9,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Measure on `cases` pictures of each style; a JSON record."""
    dit = DiT.load(model)
    scores: dict[str, object] = {}
    every: list[float] = []
    for i, style in enumerate(STYLES):
        found = psnrs(dit, _pictures(style, cases, seed, dit.device))
        every += found
        scores[f"psnr_db_{style}"] = bootstrap_mean(found).rounded()
        notify("styles", i + 1, len(STYLES))
    scores = {"psnr_db": bootstrap_mean(every).rounded(), **scores}
    photographs = {name: round(psnrs(dit, picture)[0], 2) for name, picture in load_photographs().items()}
    return {
        "benchmark": "autoencoder",
        "command": f"chatdit bench autoencoder --cases {cases} --seed {seed} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "model": {"name": dit.name, "weights": dit.weights_hash},
        "device": describe_device(dit.device),
        "versions": versions("diffusers"),
        "scores": scores,
        "photographs_psnr_db": photographs or "scikit-image is not installed",
        "decode_ms": _decode_ms(dit, repeats),
    }


@torch.no_grad()
def psnrs(dit: DiT, pictures: Tensor) -> list[float]:
    """PSNR in dB of each of pictures (B, 3, H, W) after the autoencoder, in 8 bits a channel."""
    found: list[float] = []
    for part in torch.split(pictures, _CHUNK):
        restored = dit.images.decode(dit.images.encode(part.to(dit.device))).float().cpu()
        levels = restored.clamp(-1, 1).add(1).mul(127.5).round()
        error = (levels - part.cpu().add(1).mul(127.5)).div(255).square().mean(dim=(1, 2, 3))
        found += (-10 * torch.log10(error.clamp(min=1e-10))).tolist()
    return found


def load_photographs() -> Mapping[str, Tensor]:
    """scikit-image's photographs as pictures (1, 3, 256, 256); none where it is not installed.

    They are read from its package, so that nothing is downloaded.
    """
    package = find_spec("skimage")
    if package is None or package.origin is None:
        return {}
    paths = [Path(package.origin).parent / "data" / name for name in PHOTOGRAPHS]
    return {path.stem: _square(path) for path in paths if path.is_file()}


def _square(path: Path) -> Tensor:
    with Image.open(path) as photograph:
        width, height = photograph.size
        left, top = (max(0, (a - b) // 2) for a, b in ((width, height), (height, width)))
        middle = photograph.convert("RGB").crop((left, top, width - left, height - top))
        scaled = np.asarray(middle.resize((PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.LANCZOS))
    return torch.from_numpy(scaled.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def _pictures(style: str, cases: int, seed: int, device: torch.device) -> Tensor:
    rng = random.Random(f"autoencoder-{style}-{seed}")
    wishes = Wishes(tuple(SUBJECTS), even_styles=True)
    samples: list[Sample] = []
    while len(samples) < cases:
        sample = random_sample(rng, 1, wishes)
        samples += [sample] if sample.scenes[0].style == style else []
    renderer = Renderer(device)
    parts = [samples[i : i + _CHUNK] for i in range(0, cases, _CHUNK)]
    drawn = [renderer.pictures_of([s.scenes[0] for s in p], [s.placements[0] for s in p], rng) for p in parts]
    return torch.cat(drawn)


@torch.no_grad()
def _decode_ms(dit: DiT, repeats: int) -> dict[str, float]:
    """Milliseconds of decoding one picture of 256 pixels: median and range."""
    latents = dit.images.encode(torch.zeros(1, 3, PICTURE_PIXELS, PICTURE_PIXELS, device=dit.device))
    times = []
    for _ in range(repeats + 2):
        if dit.device.type == "cuda":
            torch.cuda.synchronize(dit.device)
        started = time.perf_counter()
        dit.images.decode(latents).cpu()
        times.append(1000 * (time.perf_counter() - started))
    times = times[2:]
    return {"median": round(statistics.median(times), 1), "min": round(min(times), 1), "max": round(max(times), 1)}
