"""Train the pocket diffusion transformer and its text encoder together, by flow matching.

x_t = (1 - t) x + t e, the target is e - x (arXiv 2210.02747; diffusers' convention for FLUX).
Layout legend: B batch, N image tokens, E elements of a token, L text tokens.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.precision import keep_exact_time, with_exact_time
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.vocabulary import caption_vocabulary
from chatdit.tools.training.checkpoint import load_checkpoint, save_checkpoint
from chatdit.tools.training.examples import GRID, Batch, ExamplePool
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import Team, mixed_precision
from chatdit.tools.training.words import seed_words

TIME_SHIFT = 2.0
_LOG_EVERY = 50
_SAVE_SECONDS = 60


@dataclass(frozen=True)
class BaseRecipe:
    """How the base model is trained; batch sizes, for each process, are for 1, 2 and 4 panels."""

    minutes: float = 18.0
    sitting: float | None = None
    steps: int | None = None
    blocks: tuple[int, int] = (1, 7)
    batches: Mapping[int, int] = field(default_factory=lambda: {1: 256, 2: 128, 4: 64})
    shares: Mapping[int, float] = field(default_factory=lambda: {1: 0.6, 2: 0.2, 4: 0.2})
    pool: int = 49152
    """Pictures that each pool holds."""
    first: int = 8192
    """Pictures in each before the first step."""
    chunk: int = 256
    """Pictures rendered at once."""
    reuse: int = 4
    loaders: int = 4
    """Processes that make scenes, for each pool."""
    matrix_rate: float = 1.5e-3
    other_rate: float = 1e-3
    warmup: int = 100
    flat: float = 0.6
    average: float = 0.999
    compile: bool = True


SMALL_RECIPE = BaseRecipe(
    batches={1: 64, 2: 32, 4: 16}, pool=4096, first=256, chunk=16, reuse=6, loaders=0, compile=False
)
"""For a machine without a GPU."""


class PocketModel(nn.Module):
    """The trainable whole: text encoder and transformer; `forward` predicts the velocity."""

    def __init__(self, text_encoder: PocketTextEncoder, transformer: FluxTransformer2DModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer
        keep_exact_time(transformer, torch.float32)

    def forward(self, noisy: Tensor, times: Tensor, batch: Batch) -> Tensor:
        """Velocity (B, N, E) at times (B,) in [0, 1]."""
        text, pooled = self.text_encoder(batch.text_ids)
        velocity: Tensor = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=text,
            pooled_projections=with_exact_time(pooled.float(), times, torch.bfloat16),
            timestep=times,
            img_ids=batch.positions,
            txt_ids=torch.zeros(text.shape[1], 3, device=noisy.device),
            return_dict=False,
        )[0]
        return velocity


def build_model(blocks: tuple[int, int] = BaseRecipe.blocks) -> PocketModel:
    """A fresh pocket model of width 384 with `blocks` double and single FLUX blocks, tokens of 16 pixels.

    adaLN and output layers start at zero (diffusers leaves them random), so that the first
    prediction is zero.
    """
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=GRID.elements,
        num_layers=blocks[0],
        num_single_layers=blocks[1],
        attention_head_dim=64,
        num_attention_heads=6,
        joint_attention_dim=256,
        pooled_projection_dim=256,
        guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and ((".norm" in name and name.endswith("linear")) or name in _OUTPUT_LAYERS):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return PocketModel(PocketTextEncoder(TextEncoderConfig(caption_vocabulary())), transformer)


_OUTPUT_LAYERS = ("norm_out.linear", "proj_out")


def train_base(out: Path, autoencoder: PocketAutoencoder, recipe: BaseRecipe, *, team: Team, seed: int) -> PocketModel:
    """Train for `recipe.minutes`, or for what an interrupted run in `out` left of them.

    Writes a line to `out/base.jsonl` every 50 steps and a checkpoint every minute; returns
    the averaged weights.
    """
    torch.manual_seed(seed)
    renderer = Renderer(team.device)
    model = build_model(recipe.blocks)
    seed_words(model.text_encoder, autoencoder, renderer, seed)
    progress = load_checkpoint(out / "base", model)
    model.to(team.device)
    average = Average(model, recipe.average)
    optimiser = _optimiser(model)
    log = RunLog(out / "base.jsonl", quiet=not team.leads)
    # rendering starts from a seed of its own after every restart, and in every process
    pools = _pools(recipe, renderer, autoencoder, f"{seed}-{progress.step}-{team.rank}")
    torch.manual_seed(hash((seed, progress.step, team.rank)))
    if recipe.compile:
        model.transformer.compile_repeated_blocks(dynamic=False)  # type: ignore[no-untyped-call]
    joined = team.joined(model)
    order = random.Random(f"{seed}-{progress.step}")
    clock = Clock(recipe.minutes, progress.seconds, steps=recipe.steps, sitting=recipe.sitting, agree=team.agree)
    saved, losses, step = clock.seconds, _Losses(team.device), progress.step
    for step, share in clock.ticks(progress.step):
        panels = order.choices(list(recipe.shares), list(recipe.shares.values()))[0]
        loss = flow_loss(joined, pools[panels].draw(recipe.batches[panels]))
        loss.backward()  # type: ignore[no-untyped-call]
        factor = rate(share, step - progress.step, recipe.warmup, recipe.flat)
        optimiser.step(recipe.matrix_rate * factor, recipe.other_rate * factor)
        average.update(model, step)
        losses.add(panels, loss)
        step += 1
        if step % _LOG_EVERY == 0:
            log.write(step=step, seconds=clock.seconds, factor=factor, **losses.means())
        if team.leads and clock.seconds - saved > _SAVE_SECONDS:
            save_checkpoint(out / "base", average.model, step, clock.seconds)
            saved = clock.seconds
    if team.leads:
        save_checkpoint(out / "base", average.model, step, clock.seconds)
    counts = {f"sets_{p}": pool.seen * team.size for p, pool in pools.items()}
    log.write(step=step, seconds=clock.seconds, processes=team.size, **losses.means(), **counts)
    return average.model


def _pools(recipe: BaseRecipe, renderer: Renderer, autoencoder: PocketAutoencoder, seed: str) -> dict[int, ExamplePool]:
    pools = {}
    for panels in recipe.batches:
        chunks = stream(StreamOptions(panels, max(1, recipe.chunk // panels)), seed, recipe.loaders)
        pools[panels] = ExamplePool(panels, recipe.pool // panels, chunks, renderer, autoencoder, recipe.reuse)
        pools[panels].fill(min(recipe.pool, recipe.first) // panels)
    return pools


class _Losses:
    """Mean loss for each number of panels since the last time they were asked for; no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[int, tuple[Tensor, int]] = {}

    def add(self, panels: int, loss: Tensor) -> None:
        total, count = self._sums.get(panels, (torch.zeros((), device=self._device), 0))
        self._sums[panels] = (total + loss.detach(), count + 1)

    def means(self) -> dict[str, float]:
        means = {f"loss_{p}": (total / count).item() for p, (total, count) in sorted(self._sums.items())}
        self._sums = {}
        return means


def flow_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error of the velocity over the tokens that are not given."""
    size, device = batch.tokens.shape[0], batch.tokens.device
    times = training_times(size, device)
    noise = torch.randn_like(batch.tokens)
    level = torch.where(batch.given, 0.0, times[:, None])[..., None]
    noisy = (1 - level) * batch.tokens + level * noise
    with mixed_precision(device):
        velocity = model(noisy, times, batch)
    error = (velocity.float() - (noise - batch.tokens)).square().mean(dim=2)
    kept = (~batch.given).float()
    loss: Tensor = (error * kept).sum() / kept.sum()
    return loss


def training_times(size: int, device: torch.device) -> Tensor:
    """Times (B,): nine in ten logit-normal(0, 1), the rest uniform, then shifted towards noise."""
    normal = torch.randn(size, device=device).sigmoid()
    times = torch.where(torch.rand(size, device=device) < 0.9, normal, torch.rand(size, device=device))
    return TIME_SHIFT * times / (1 + (TIME_SHIFT - 1) * times)


class Average:
    """Exponential moving average of a model's weights, quick at first."""

    def __init__(self, model: PocketModel, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: PocketModel, step: int) -> None:
        """Move towards `model`."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), [p.detach() for p in model.parameters()], weight)  # pyright: ignore[reportPrivateImportUsage]


def _optimiser(model: PocketModel) -> Muon:
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "blocks." in name and ".norm" not in name]
    chosen = {id(p) for p in matrices}
    return Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
