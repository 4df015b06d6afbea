"""Train the pocket diffusion transformer and its text encoder together, by flow matching.

x_t = (1 - t) x + t e, the target is e - x (arXiv 2210.02747; diffusers' convention for FLUX).
Layout legend: B batch, N image tokens, E elements of a token, L text tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.flow_policy import shifted
from chatdit.tools.dit.layout import layout_channels, layout_width
from chatdit.tools.dit.precision import keep_exact_time, with_exact_time
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.checkpoint import load_checkpoint
from chatdit.tools.training.examples import GRID, Batch
from chatdit.tools.training.pooled import PoolRecipe, train_on_pools
from chatdit.tools.training.team import Team, mixed_precision
from chatdit.tools.training.words import seed_words

TIME_SHIFT = 2.0
TEXT_WIDTH = TextEncoderConfig.width


@dataclass(frozen=True)
class BaseRecipe(PoolRecipe):
    """How the base model is trained: beside what is drawn, its double and single blocks."""

    blocks: tuple[int, int] = (1, 7)
    batches: Mapping[int, int] = field(default_factory=lambda: {1: 192, 2: 96, 4: 48})
    shares: Mapping[int, float] = field(default_factory=lambda: {1: 0.4, 2: 0.28, 4: 0.32})
    matrix_rate: float = 3e-3


SMALL_RECIPE = BaseRecipe(
    batches={1: 64, 2: 32, 4: 16}, pool=4096, first=256, chunk=16, reuse=6, loaders=0, compile=False
)
"""For a machine without a GPU."""


class PocketModel(nn.Module):
    """The trainable whole: text encoder and transformer; `forward` predicts the velocity.

    With `layout` image tokens bring layout channels beside their latent.
    """

    def __init__(
        self, text_encoder: PocketTextEncoder, transformer: FluxTransformer2DModel, *, layout: bool = False
    ) -> None:
        super().__init__()
        self.layout = layout
        self.text_encoder = text_encoder
        self.transformer = transformer
        keep_exact_time(transformer, torch.float32)

    def forward(self, noisy: Tensor, times: Tensor, batch: Batch) -> Tensor:
        """Velocity (B, N, E) at times (B,) in [0, 1]."""
        text, pooled = self.text_encoder(batch.text_ids)
        if self.layout:
            noisy = torch.cat([noisy, told_panels(batch.squares, noisy.shape[1], text)], dim=2)
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


def told_panels(squares: Tensor, tokens: int, text: Tensor) -> Tensor:
    """Layout channels (B, N, GEOMETRY + D) of rows of square panels with N tokens in all; see `layout_channels`."""
    batch, panels = squares.shape[:2]
    side = math.isqrt(tokens // panels)
    along = (torch.arange(side, device=squares.device) + 0.5) * (PICTURE_PIXELS / side)
    centres = torch.stack([along.repeat(side), along.repeat_interleave(side)], dim=1)
    each = layout_channels(squares.flatten(0, 1), centres, text.repeat_interleave(panels, dim=0))
    return each.view(batch, tokens, -1)


def build_model(blocks: tuple[int, int] = BaseRecipe.blocks, points: int = 1) -> PocketModel:
    """A fresh pocket model of width 384 with `blocks` double and single FLUX blocks, tokens of 16 pixels.

    Image tokens bring layout channels. With `points` above 1 its output is a `FlowPolicy` of so many times.

    adaLN and output layers start at zero (diffusers leaves them random), so that the first
    prediction is zero.
    """
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=GRID.elements + layout_width(TEXT_WIDTH),
        out_channels=GRID.elements * points,
        num_layers=blocks[0],
        num_single_layers=blocks[1],
        attention_head_dim=64,
        num_attention_heads=6,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )
    start_at_zero(transformer)
    return PocketModel(PocketTextEncoder(TextEncoderConfig(text_vocabulary())), transformer, layout=True)


def start_at_zero(transformer: FluxTransformer2DModel) -> None:
    """Set adaLN and output layers to zero."""
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and ((".norm" in name and name.endswith("linear")) or name in _OUTPUT_LAYERS):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


_OUTPUT_LAYERS = ("norm_out.linear", "proj_out")


def train_base(out: Path, autoencoder: PocketAutoencoder, recipe: BaseRecipe, *, team: Team, seed: int) -> PocketModel:
    """Train for `recipe.minutes`, or for what an interrupted run in `out` left of them; the averaged weights.

    Log and checkpoints are `out/base.jsonl` and `out/base`.
    """
    torch.manual_seed(seed)
    renderer = Renderer(team.device)
    model = build_model(recipe.blocks)
    seed_words(model.text_encoder, autoencoder, renderer, seed)
    progress = load_checkpoint(out / "base", model)
    model.to(team.device)
    if recipe.compile:
        model.transformer.compile_repeated_blocks(dynamic=False)  # type: ignore[no-untyped-call]
    # noise hides as much of fewer tokens at earlier times
    loss_of = partial(flow_loss, shift=TIME_SHIFT / recipe.smaller)
    return train_on_pools(out, "base", model, loss_of, recipe, autoencoder, renderer, progress, team=team, seed=seed)


def flow_loss(model: nn.Module, batch: Batch, shift: float = TIME_SHIFT) -> Tensor:
    """Mean squared error of the velocity over the tokens that are not given."""
    size, device = batch.tokens.shape[0], batch.tokens.device
    times = training_times(size, device, shift)
    noise = torch.randn_like(batch.tokens)
    level = torch.where(batch.given, 0.0, times[:, None])[..., None]
    noisy = (1 - level) * batch.tokens + level * noise
    with mixed_precision(device):
        velocity = model(noisy, times, batch)
    error = (velocity.float() - (noise - batch.tokens)).square().mean(dim=2)
    kept = (~batch.given).float()
    loss: Tensor = (error * kept).sum() / kept.sum()
    return loss


def training_times(size: int, device: torch.device, shift: float = TIME_SHIFT) -> Tensor:
    """Times (B,): nine in ten logit-normal(0, 1), the rest uniform, then shifted towards noise by `shift`."""
    normal = torch.randn(size, device=device).sigmoid()
    times = torch.where(torch.rand(size, device=device) < 0.9, normal, torch.rand(size, device=device))
    return shifted(times, shift)
