"""Train the pocket autoencoder on renders of its world.

Loss: L1 + L1 of the pixel gradients + 4 x MSE, with a little noise on the latent so that the
decoder forgives a generator's errors. Layout legend: B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
from torch import Tensor

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import random_scene
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog

WINDOW_PIXELS = 128
LATENT_NOISE = 0.1


def train_autoencoder(
    out: Path,
    *,
    minutes: float,
    steps: int | None = None,
    device: torch.device,
    seed: int,
    batch: int = 32,
    rate: float = 2e-3,
) -> PocketAutoencoder:
    """A trained autoencoder; progress goes to `out/autoencoder.jsonl`."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    model = PocketAutoencoder().to(device)
    optimiser = _optimiser(model)
    renderer, clock, log = Renderer(device), Clock(minutes, steps=steps), RunLog(out / "autoencoder.jsonl")
    step = 0
    while clock.share(step) < 1:
        pictures = _windows(renderer, rng, generator, batch)
        with torch.autocast(device.type, torch.bfloat16):
            latents = model.encode(pictures)
            noise = torch.randn(latents.shape, device=device) * torch.rand(batch, 1, 1, 1, device=device)
            restored = model.decode(latents + noise * LATENT_NOISE).float()
        loss = reconstruction_loss(restored, pictures)
        loss.backward()  # type: ignore[no-untyped-call]
        factor = clock.rate(step, warmup=50, flat=0.3)
        optimiser.step(rate * factor, rate * factor)
        if step % 50 == 0:
            log.write(step=step, seconds=clock.seconds, loss=loss.item(), psnr=psnr(restored, pictures))
        step += 1
    model.eval()
    log.write(step=step, seconds=clock.seconds, pictures=step * batch, psnr_256=evaluate(model, device, seed + 1))
    return model


def reconstruction_loss(restored: Tensor, pictures: Tensor) -> Tensor:
    """L1 + L1 of horizontal and vertical differences + 4 x MSE of (B, 3, H, W)."""
    error = restored - pictures
    across, down = error[..., :, 1:] - error[..., :, :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.abs().mean() + across.abs().mean() + down.abs().mean() + 4 * error.square().mean()


def psnr(restored: Tensor, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], the mean error taken over the batch."""
    error = (restored.detach().float().clamp(-1, 1) - pictures).div(2).square().mean().item()
    return -10 * math.log10(max(error, 1e-12))


@torch.no_grad()
def evaluate(model: PocketAutoencoder, device: torch.device, seed: int, pictures: int = 64) -> float:
    """PSNR in dB on `pictures` fresh renders of 256 x 256, every style in its usual share."""
    rng = random.Random(seed)
    truth = Renderer(device).pictures([random_scene(rng) for _ in range(pictures)], rng)
    return psnr(torch.cat([model.decode(model.encode(chunk)) for chunk in torch.split(truth, 8)]), truth)


def _windows(renderer: Renderer, rng: random.Random, generator: torch.Generator, batch: int) -> Tensor:
    pictures = renderer.pictures([random_scene(rng) for _ in range(batch // 2)], rng)
    free = pictures.shape[-1] - WINDOW_PIXELS
    offsets = torch.randint(0, free + 1, (batch, 2), generator=generator).tolist()
    windows = [
        pictures[i % len(pictures), :, top : top + WINDOW_PIXELS, left : left + WINDOW_PIXELS]
        for i, (top, left) in enumerate(offsets)
    ]
    return torch.stack(windows).contiguous(memory_format=torch.channels_last)


def _optimiser(model: PocketAutoencoder) -> Muon:
    first, last = model.encoder[1], model.decoder[-2]
    ends = {id(p) for layer in (first, last) for p in layer.parameters()}
    matrices = [p for p in model.parameters() if p.dim() == 4 and id(p) not in ends]
    chosen = {id(p) for p in matrices}
    return Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
