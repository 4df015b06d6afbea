"""Train a small diffusion transformer on pixels, every pixel a token, with dense attention or through a policy.

The trial behind LLSA's claim that it trains as well as dense attention (arXiv 2512.16615): the same pictures,
captions, noise and steps for both. Nothing of it is shipped.
Layout legend: B batch, N pixels of a picture, E = 3 p p numbers of a token, L text tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor
from torch.nn import functional as F

from chatdit.kernels.policies.geometry import Policy
from chatdit.tools.dit.packing import Grid, position_ids
from chatdit.tools.dit.rows import Segment
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.runtime.attach import attach
from chatdit.tools.runtime.report import AttentionCall
from chatdit.tools.training.base import PocketModel, flow_loss, start_at_zero
from chatdit.tools.training.examples import Batch, untold
from chatdit.tools.training.pooled import optimiser_of
from chatdit.tools.training.schedule import rate
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import without_cudnn_attention

Notify = Callable[[str, int, int], None]
_CHUNK = 64


@dataclass(frozen=True)
class PixelRecipe:
    """Pictures of `side` pixels, tokens of `patch` pixels; width is 64 times `heads`."""

    side: int = 128
    patch: int = 1
    heads: int = 4
    blocks: tuple[int, int] = (1, 5)
    steps: int = 600
    batch: int = 8
    peak: float = 1e-3
    warmup: int = 50
    pictures: int = 4096
    checked: int = 64
    """Pictures left out of training, on which the loss is measured at the end."""

    @property
    def tokens(self) -> int:
        """Tokens of a picture, N."""
        return (self.side // self.patch) ** 2


SMALL_PIXEL_RECIPE = PixelRecipe(
    side=32, patch=1, heads=1, blocks=(1, 1), steps=20, batch=2, pictures=32, checked=8, warmup=5
)
"""For a machine without a GPU: 1,024 tokens."""


class Pictures(NamedTuple):
    """Pictures as tokens, with their captions, on the training device."""

    tokens: Tensor
    """uint8 (n, N, E)"""
    text_ids: Tensor
    """int64 (n, L)"""


@dataclass(frozen=True)
class PixelResult:
    """How a training ended."""

    loss: float
    """Flow-matching loss on pictures that were left out, with the same times and noise for every model."""
    train_loss: float
    """Mean of the last quarter of the steps."""
    step_ms: float
    """Median of a step, forward, backward and update."""
    density: float | None
    """Mean part of the pairs that attention computed; None for dense attention."""


def draw_pictures(recipe: PixelRecipe, device: torch.device, seed: int, loaders: int = 0) -> Pictures:
    """Pictures for every training of a trial, the first `recipe.checked` of them for its end."""
    renderer = Renderer(device)
    chunks = stream(StreamOptions(1, min(_CHUNK, recipe.pictures)), f"pixel-{seed}", loaders)
    tokens, ids, count = [], [], 0
    while count < recipe.pictures + recipe.checked:
        chunk = next(chunks)
        tokens.append(pixel_tokens(renderer.draw(chunk.drawing), recipe))
        ids.append(chunk.text_ids)
        count += len(chunk.text_ids)
    return Pictures(torch.cat(tokens), torch.cat(ids).to(device))


def pixel_tokens(pictures: Tensor, recipe: PixelRecipe) -> Tensor:
    """Tokens uint8 (B, N, E) in raster order of pictures float (B, 3, H, W) in [-1, 1], averaged to the side."""
    small = F.interpolate(pictures, size=(recipe.side, recipe.side), mode="area")
    levels = small.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return F.pixel_unshuffle(levels, recipe.patch).flatten(2).mT.contiguous()


def train_pixel(
    pictures: Pictures,
    recipe: PixelRecipe,
    policy: Policy | None,
    seed: int,
    *,
    notify: Notify = lambda what, done, total: None,
) -> PixelResult:
    """Train from `seed`, with `policy` on every attention layer of the transformer; without one, dense.

    Weights, order, times and noise follow from the seed alone, and are the same whatever the policy.
    """
    device = pictures.tokens.device
    torch.manual_seed(seed)
    model = build_pixel_model(recipe).to(device)
    optimiser = optimiser_of(model)
    attachment = None if policy is None else attach(model.transformer, policy, dense_below=0)
    losses: list[Tensor] = []
    times: list[float] = []
    with without_cudnn_attention(), nullcontext() if attachment is None else attachment:
        for step, batch in enumerate(_batches(pictures, recipe, seed)):
            started = _now(device)
            loss = flow_loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            factor = rate(step / recipe.steps, step, recipe.warmup, flat=0.5)
            optimiser.step(recipe.peak * factor, recipe.peak * factor)
            times.append(_now(device) - started)
            losses.append(loss.detach())
            notify("steps", step + 1, recipe.steps)
        density = None if attachment is None else _density(attachment.report().calls)
        checked = _checked_loss(model, pictures, recipe)
    last = torch.stack(losses[-max(1, recipe.steps // 4) :]).mean().item()
    return PixelResult(checked, last, 1000 * sorted(times)[len(times) // 2], density)


def build_pixel_model(recipe: PixelRecipe) -> PocketModel:
    """A fresh FLUX transformer over pixels and its text encoder; output and adaLN layers start at zero."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=3 * recipe.patch**2,
        num_layers=recipe.blocks[0],
        num_single_layers=recipe.blocks[1],
        attention_head_dim=64,
        num_attention_heads=recipe.heads,
        joint_attention_dim=256,
        pooled_projection_dim=256,
        guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )
    start_at_zero(transformer)
    return PocketModel(PocketTextEncoder(TextEncoderConfig(text_vocabulary())), transformer)


def _batches(pictures: Pictures, recipe: PixelRecipe, seed: int) -> Iterator[Batch]:
    device = pictures.tokens.device
    order = torch.Generator().manual_seed(seed)
    for _ in range(recipe.steps):
        chosen = torch.randint(recipe.checked, len(pictures.tokens), (recipe.batch,), generator=order)
        yield _batch(pictures, chosen.to(device), recipe)


def _batch(pictures: Pictures, chosen: Tensor, recipe: PixelRecipe) -> Batch:
    device = pictures.tokens.device
    grid = Grid(downscale=1, pack=recipe.patch, channels=3)
    return Batch(
        pictures.tokens[chosen].float() / 127.5 - 1,
        pictures.text_ids[chosen],
        position_ids([Segment(recipe.side, recipe.side)], grid).to(device),
        torch.zeros(len(chosen), recipe.tokens, dtype=torch.bool, device=device),
        untold(len(chosen), 1, device),
    )


@torch.no_grad()
def _checked_loss(model: PocketModel, pictures: Pictures, recipe: PixelRecipe) -> float:
    device, losses = pictures.tokens.device, []
    for i in range(0, recipe.checked, recipe.batch):
        chosen = torch.arange(i, min(i + recipe.batch, recipe.checked), device=device)
        torch.manual_seed(10_000 + i)
        losses.append(flow_loss(model, _batch(pictures, chosen, recipe)) * len(chosen))
    return float(torch.stack(losses).sum() / recipe.checked)


def _density(calls: Sequence[AttentionCall]) -> float:
    routed = [(call.density, call.count) for call in calls if call.density is not None]
    return sum(density * count for density, count in routed) / sum(count for _, count in routed)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
