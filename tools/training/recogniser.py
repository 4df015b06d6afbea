"""Train the recogniser's network for place and style, on renders and on what the autoencoder makes of them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS, Drawing
from chatdit.tools.pocket.recogniser import PlaceNetwork
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import Wishes, World
from chatdit.tools.pocket.vocabulary import SUBJECTS
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import mixed_precision

JITTER_PIXELS = 8
RESTORED_PART = 8


def train_recogniser(
    out: Path,
    autoencoder: PocketAutoencoder,
    *,
    minutes: float,
    steps: int | None = None,
    device: torch.device,
    seed: int,
    world: World = "free",
    loaders: int = 0,
    batch: int = 32,
    peak: float = 2e-3,
) -> PlaceNetwork:
    """A trained network; a part of each batch went through the autoencoder, all of it is shifted a little.

    Styles are drawn evenly, so that rare ones are learnt as well as plain.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = PlaceNetwork().to(device)
    ends = {id(p) for layer in (model.whole, model.trunk[1]) for p in layer.parameters()}
    matrices = [p for p in model.parameters() if p.dim() == 4 and id(p) not in ends]
    chosen = {id(p) for p in matrices}
    optimiser = Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
    renderer, clock, log = Renderer(device), Clock(minutes, steps=steps), RunLog(out / "recogniser.jsonl")
    options = StreamOptions(1, batch, world, Wishes(tuple(SUBJECTS), even_styles=True))
    chunks = stream(options, f"recogniser-{seed}", loaders)
    taken = 0
    for step, share in clock.ticks():
        pictures, places, styles = _examples(renderer, autoencoder, next(chunks).drawing, rng)
        with mixed_precision(device):
            logits = model(pictures)
        loss = F.cross_entropy(logits.background.float(), places) + F.cross_entropy(logits.style.float(), styles)
        loss.backward()  # type: ignore[no-untyped-call]
        factor = rate(share, step, warmup=30, flat=0.4)
        optimiser.step(peak * factor, peak * factor)
        if step % 50 == 0:
            right = (logits.background.argmax(dim=1) == places) & (logits.style.argmax(dim=1) == styles)
            log.write(step=step, seconds=clock.seconds, loss=loss.item(), accuracy=right.float().mean().item())
        taken = step + 1
    log.write(step=taken, seconds=clock.seconds, pictures=taken * batch)
    return model.eval()


def _examples(
    renderer: Renderer, autoencoder: PocketAutoencoder, numbers: Drawing, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor]:
    pictures = renderer.draw(numbers)
    restored = max(1, len(pictures) // RESTORED_PART)
    with torch.no_grad(), mixed_precision(pictures.device):
        pictures[:restored] = autoencoder.decode(autoencoder.encode(pictures[:restored])).float().clamp(-1, 1)
    shift = (rng.randint(-JITTER_PIXELS, JITTER_PIXELS), rng.randint(-JITTER_PIXELS, JITTER_PIXELS))
    places = numbers.grounds // BACKGROUND_VARIANTS
    return torch.roll(pictures, shift, dims=(2, 3)), places.to(pictures.device), numbers.styles.to(pictures.device)
