"""Train the pocket autoencoder on renders of its world, every style alike, and on made-up textures.

Loss: L1 + L1 of the pixel gradients + 4 x MSE, with a little noise on the latent so that the
decoder forgives a generator's errors. Layout legend: B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder, ResidualBlock
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import Wishes, random_sample
from chatdit.tools.training.checkpoint import load_checkpoint, save_checkpoint
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import Team, mixed_precision
from chatdit.tools.training.textures import textures

WINDOW_PIXELS = 128
LATENT_NOISE = 0.1
TEXTURE_SHARE = 1 / 8
"""Of the windows: how many are textures, so that the autoencoder can do more than its own world."""
_LOG_EVERY = 50


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoder is trained; `batch` windows a step in each process, two of every picture."""

    minutes: float = 2.0
    steps: int | None = None
    batch: int = 128
    loaders: int = 4
    """Processes that make scenes."""
    rate: float = 2e-3
    checked: int = 64
    """Pictures that the trained autoencoder is measured on at the end."""
    compile: bool = True


SMALL_RECIPE = AutoencoderRecipe(minutes=10.0, batch=32, loaders=0, compile=False)
"""For a machine without a GPU."""


class _Restoration(nn.Module):
    """What the decoder makes of a noisy latent."""

    def __init__(self, autoencoder: PocketAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pictures: Tensor) -> Tensor:
        latents = self.autoencoder.encode(pictures)
        strength = torch.rand(len(latents), 1, 1, 1, device=latents.device) * LATENT_NOISE
        return self.autoencoder.decode(latents + torch.randn(latents.shape, device=latents.device) * strength)


def train_autoencoder(out: Path, recipe: AutoencoderRecipe, *, team: Team, seed: int) -> PocketAutoencoder:
    """Train for `recipe.minutes`, or for what an earlier run in `out` left of them.

    Progress goes to `out/autoencoder.jsonl`, the trained weights to `out/autoencoder` and back.
    """
    torch.manual_seed(seed)
    model = PocketAutoencoder()
    progress = load_checkpoint(out / "autoencoder", model)
    # convolutions of 16-bit numbers run on tensor cores channels last, and are rearranged for it otherwise
    model.to(team.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(model)
    if recipe.compile:
        for block in model.modules():
            if isinstance(block, ResidualBlock):
                block.compile(dynamic=False)
    restoration = _Restoration(model)
    team.share(model)
    name = f"{seed}-{progress.step}-{team.rank}"
    torch.manual_seed(hash((seed, progress.step, team.rank)))
    renderer, log = Renderer(team.device), RunLog(out / "autoencoder.jsonl", quiet=not team.leads)
    options = StreamOptions(1, recipe.batch // 2, Wishes(even_styles=True))
    chunks = stream(options, f"autoencoder-{name}", recipe.loaders)
    clock, taken = Clock(recipe.minutes, progress.seconds, steps=recipe.steps, agree=team.agree), progress.step
    for step, share in clock.ticks(progress.step):
        pictures = _windows(renderer.draw(next(chunks).drawing), recipe.batch)
        with mixed_precision(team.device):
            restored = restoration(pictures).float()
        loss = reconstruction_loss(restored, pictures)
        loss.backward()  # type: ignore[no-untyped-call]
        team.average_gradients(model.parameters())
        factor = rate(share, step - progress.step, warmup=50, flat=0.3)
        optimiser.step(recipe.rate * factor, recipe.rate * factor)
        taken = step + 1
        if step % _LOG_EVERY == 0:
            log.write(step=step, seconds=clock.seconds, loss=loss.item(), psnr=psnr(restored, pictures))
    # a fresh copy, because what was compiled was compiled for training
    trained = PocketAutoencoder().to(team.device).eval()
    trained.load_state_dict(model.state_dict())
    if team.leads:
        save_checkpoint(out / "autoencoder", trained, taken, clock.seconds, torch.float16)
    windows, found = (
        taken * recipe.batch * team.size,
        evaluate(trained, team.device, seed + 1, recipe.checked),
    )
    log.write(step=taken, seconds=clock.seconds, windows=windows, psnr_256=found)
    return trained


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
def evaluate(model: PocketAutoencoder, device: torch.device, seed: int, pictures: int) -> float:
    """PSNR in dB on `pictures` fresh renders of 256 x 256, every style in its usual share."""
    rng = random.Random(seed)
    samples = [random_sample(rng, 1) for _ in range(pictures)]
    scenes, placements = [s.scenes[0] for s in samples], [s.placements[0] for s in samples]
    truth = Renderer(device).pictures_of(scenes, placements, rng)
    return psnr(torch.cat([model.decode(model.encode(chunk)) for chunk in torch.split(truth, 8)]), truth)


def _windows(pictures: Tensor, count: int) -> Tensor:
    """`count` windows at random places of pictures (B, 3, H, W); a quarter with exchanged colours, mirrored.

    The odd ones keep the autoencoder from knowing nothing but its own world's palette; so do textures.
    """
    free = pictures.shape[-1] - WINDOW_PIXELS
    corners = torch.randint(0, free + 1, (2, count, 1), device=pictures.device)
    span = torch.arange(WINDOW_PIXELS, device=pictures.device)
    down, across = corners[0] + span, corners[1] + span
    which = torch.arange(count, device=pictures.device) % len(pictures)
    windows = pictures.permute(0, 2, 3, 1)[which[:, None, None], down[:, :, None], across[:, None, :]]
    odd = windows[: count // 4]
    windows = torch.cat([odd.flip(2)[..., torch.randperm(3, device=pictures.device)], windows[count // 4 :]])
    windows = windows.permute(0, 3, 1, 2)
    made_up = max(1, round(count * TEXTURE_SHARE))
    windows[count - made_up :] = textures(made_up, WINDOW_PIXELS, pictures.device)
    return windows


def _optimiser(model: PocketAutoencoder) -> Muon:
    first, last = model.encoder[1], model.decoder[-2]
    ends = {id(p) for layer in (first, last) for p in layer.parameters()}
    matrices = [p for p in model.parameters() if p.dim() == 4 and id(p) not in ends]
    chosen = {id(p) for p in matrices}
    return Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
