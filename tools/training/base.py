"""Train the pocket diffusion transformer and its text encoder together, by flow matching.

x_t = (1 - t) x + t e, the target is e - x (arXiv 2210.02747; diffusers' convention for FLUX).
Layout legend: B batch, N image tokens, E elements of a token, L text tokens.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.vocabulary import caption_vocabulary
from chatdit.tools.training.checkpoint import load_checkpoint, save_checkpoint
from chatdit.tools.training.examples import Batch, ExamplePool, moved
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog
from chatdit.tools.training.words import seed_words

TIME_SHIFT = 2.0


@dataclass(frozen=True)
class BaseRecipe:
    """How the base model is trained; batch sizes are for 1, 2 and 4 panels."""

    minutes: float = 9.0
    steps: int | None = None
    batches: Mapping[int, int] = field(default_factory=lambda: {1: 256, 2: 128, 4: 64})
    shares: Mapping[int, float] = field(default_factory=lambda: {1: 0.7, 2: 0.2, 4: 0.1})
    pool: int = 4096
    reuse: int = 6
    matrix_rate: float = 2e-3
    other_rate: float = 1e-3
    warmup: int = 100
    flat: float = 0.55
    compile: bool = False


class PocketModel(nn.Module):
    """The trainable whole: text encoder and transformer; `forward` predicts the velocity."""

    def __init__(self, text_encoder: PocketTextEncoder, transformer: FluxTransformer2DModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer

    def forward(self, noisy: Tensor, times: Tensor, batch: Batch) -> Tensor:
        """Velocity (B, N, E) at times (B,) in [0, 1]."""
        text, pooled = self.text_encoder(batch.text_ids)
        velocity: Tensor = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=times,
            img_ids=batch.positions,
            txt_ids=torch.zeros(text.shape[1], 3, device=noisy.device),
            return_dict=False,
        )[0]
        return velocity


def build_model() -> PocketModel:
    """A fresh pocket model: 2 double and 4 single FLUX blocks of width 384, tokens of 32 pixels.

    adaLN and output layers start at zero (diffusers leaves them random), so that the first
    prediction is zero.
    """
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=256,
        num_layers=2,
        num_single_layers=4,
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


def train_base(
    out: Path, autoencoder: PocketAutoencoder, recipe: BaseRecipe, *, device: torch.device, seed: int
) -> PocketModel:
    """Train for `recipe.minutes`, or for what an interrupted run in `out` left of them.

    Writes a line to `out/base.jsonl` every 50 steps and a checkpoint every three minutes; returns
    the averaged weights.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    renderer = Renderer(device)
    model = build_model()
    seed_words(model.text_encoder, autoencoder, renderer, seed)
    progress = load_checkpoint(out / "base", model)
    model.to(device)
    average = Average(model)
    optimiser = _optimiser(model)
    log, clock = RunLog(out / "base.jsonl"), Clock(recipe.minutes, progress.seconds, recipe.steps)
    tokenizer = PhraseTokenizer(model.text_encoder.config.vocabulary, model.text_encoder.config.max_tokens)
    rng.seed(f"{seed}-{progress.step}")
    pools = {p: ExamplePool(p, recipe.pool // p, renderer, autoencoder, tokenizer, rng) for p in recipe.batches}
    for panels, pool in pools.items():
        pool.refresh(recipe.batches[panels] * 4)
    if recipe.compile:
        model.transformer.compile_repeated_blocks(dynamic=True)  # type: ignore[no-untyped-call]
    step, saved, running, started = progress.step, clock.seconds, 0.0, progress.step
    while clock.share(step) < 1:
        panels = rng.choices(list(recipe.shares), list(recipe.shares.values()))[0]
        size = recipe.batches[panels]
        pools[panels].refresh(max(1, size // recipe.reuse))
        loss = flow_loss(model, moved(pools[panels].draw(size), device))
        loss.backward()  # type: ignore[no-untyped-call]
        factor = clock.rate(step, recipe.warmup, recipe.flat, started)
        optimiser.step(recipe.matrix_rate * factor, recipe.other_rate * factor)
        average.update(model, step)
        running = loss.item() if step == started else 0.98 * running + 0.02 * loss.item()
        step += 1
        if step % 50 == 0:
            log.write(step=step, seconds=clock.seconds, loss=running, factor=factor)
        if clock.seconds - saved > 180:
            save_checkpoint(out / "base", average.model, step, clock.seconds)
            saved = clock.seconds
    save_checkpoint(out / "base", average.model, step, clock.seconds)
    log.write(step=step, seconds=clock.seconds, loss=running, **{f"sets_{p}": pool.seen for p, pool in pools.items()})
    return average.model


def flow_loss(model: PocketModel, batch: Batch) -> Tensor:
    """Mean squared error of the velocity over the tokens that are not given."""
    size, device = batch.tokens.shape[0], batch.tokens.device
    times = training_times(size, device)
    noise = torch.randn_like(batch.tokens)
    level = torch.where(batch.given, 0.0, times[:, None])[..., None]
    noisy = (1 - level) * batch.tokens + level * noise
    with torch.autocast(device.type, torch.bfloat16):
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

    def __init__(self, model: PocketModel, decay: float = 0.999) -> None:
        self.model = build_model().to(next(model.parameters()).device).requires_grad_(False)
        self.model.load_state_dict(model.state_dict())
        self._decay = decay

    @torch.no_grad()
    def update(self, model: PocketModel, step: int) -> None:
        """Move towards `model`."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for mean, parameter in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(parameter.detach(), weight)


def _optimiser(model: PocketModel) -> Muon:
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "blocks." in name and ".norm" not in name]
    chosen = {id(p) for p in matrices}
    return Muon(matrices, [p for p in model.parameters() if id(p) not in chosen])
