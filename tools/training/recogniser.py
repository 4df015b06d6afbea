"""Train the recogniser on renders and on what the autoencoder makes of them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.pocket.recogniser import Recogniser, corner_targets
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import Scene, crowd, place, random_scene
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog

JITTER_PIXELS = 8
RESTORED_PART = 8
CROWDED_SHARE = 0.7


def train_recogniser(
    out: Path,
    autoencoder: PocketAutoencoder,
    *,
    minutes: float,
    device: torch.device,
    seed: int,
    batch: int = 64,
    rate: float = 2e-3,
) -> Recogniser:
    """A trained recogniser; a part of each batch went through the autoencoder, all of it is shifted a little."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = Recogniser().to(device)
    heads = {id(p) for layer in (model.cells, model.whole, model.trunk[1]) for p in layer.parameters()}
    matrices = [p for p in model.parameters() if p.dim() == 4 and id(p) not in heads]
    chosen = {id(p) for p in matrices}
    optimiser = Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
    renderer, clock, log = Renderer(device), Clock(minutes), RunLog(out / "recogniser.jsonl")
    subjects = tuple(SUBJECTS)
    step = 0
    while clock.share < 1:
        scenes = [random_scene(rng, subjects) for _ in range(batch)]
        pictures, targets = _examples(renderer, autoencoder, scenes, rng)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(pictures)
        losses = [F.cross_entropy(part.float(), target) for part, target in zip(logits, targets, strict=True)]
        loss = torch.stack(losses).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        factor = clock.rate(step, warmup=50, flat=0.4)
        optimiser.step(rate * factor, rate * factor)
        if step % 50 == 0:
            hits = (logits[1].argmax(dim=1) == targets[1])[targets[1] < len(SUBJECTS)].float().mean()
            log.write(step=step, seconds=clock.seconds, loss=loss.item(), cell_accuracy=hits.item())
        step += 1
    log.write(step=step, seconds=clock.seconds, pictures=step * batch)
    return model.eval()


def _examples(
    renderer: Renderer, autoencoder: PocketAutoencoder, scenes: list[Scene], rng: random.Random
) -> tuple[Tensor, tuple[Tensor, ...]]:
    # most pictures are crowded, so that each shows several subjects; the rest are as they will be read
    placements = [
        crowd(rng, tuple(SUBJECTS)) if rng.random() < CROWDED_SHARE else place(scene, rng) for scene in scenes
    ]
    pictures = renderer.pictures_of(scenes, placements, rng)
    restored = max(1, len(scenes) // RESTORED_PART)
    with torch.no_grad(), torch.autocast(pictures.device.type, torch.bfloat16):
        pictures[:restored] = autoencoder.decode(autoencoder.encode(pictures[:restored])).float().clamp(-1, 1)
    shift = (rng.randint(-JITTER_PIXELS, JITTER_PIXELS), rng.randint(-JITTER_PIXELS, JITTER_PIXELS))
    pictures = torch.roll(pictures, shift, dims=(2, 3))
    corner, subject, tint = corner_targets(placements)
    names = (list(BACKGROUNDS), list(STYLES))
    places = torch.tensor([names[0].index(s.background) for s in scenes])
    styles = torch.tensor([names[1].index(s.style) for s in scenes])
    targets = (corner, subject, tint, places, styles)
    return pictures, tuple(t.to(pictures.device) for t in targets)
