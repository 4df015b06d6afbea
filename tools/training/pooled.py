"""Training on rolling pools of examples: what the base and its distillation have in common.

Layout legend: B batch.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS
from chatdit.tools.training.checkpoint import TrainingProgress, save_checkpoint
from chatdit.tools.training.examples import Batch, ExamplePool
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.training.steps import LossOf, RecordedStep, Step, eager_step
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import Team

ModelT = TypeVar("ModelT", bound=nn.Module)
_LOG_EVERY = 50
_SAVE_SECONDS = 60


@dataclass(frozen=True)
class PoolRecipe:
    """What is drawn, how often and with which rates; batch sizes, for each process, are for 1 to 4 panels."""

    pixels: int = PICTURE_PIXELS
    """Of a picture's side; a batch of smaller ones has more in inverse proportion."""
    minutes: float = 18.0
    sitting: float | None = None
    steps: int | None = None
    batches: Mapping[int, int] = field(default_factory=lambda: {1: 256, 2: 128, 3: 80, 4: 64})
    shares: Mapping[int, float] = field(default_factory=lambda: {1: 0.45, 2: 0.25, 3: 0.08, 4: 0.22})
    pool: int = 49152
    """Pictures that each pool holds."""
    first: int = 8192
    """Pictures in each before the first step."""
    chunk: int = 8192
    """Pictures rendered at once: a rendering costs a device much the same whether it is of few or of many."""
    reuse: int = 8
    """Steps that a picture serves, at full size; smaller ones serve more in inverse proportion."""
    loaders: int = 2
    """Processes that make scenes, for each pool."""
    matrix_rate: float = 1.5e-3
    other_rate: float = 1e-3
    warmup: int = 100
    flat: float = 0.6
    average: float = 0.999
    compile: bool = True
    record: bool = True
    """Whether steps on a GPU are recorded and replayed; `chatdit bench training` says what that saves."""

    @property
    def smaller(self) -> int:
        """How many times smaller than full size a picture's side is."""
        return PICTURE_PIXELS // self.pixels

    def rows(self, panels: int) -> int:
        """Sets in a step's batch."""
        return self.batches[panels] * self.smaller


def train_on_pools(
    out: Path,
    stage: str,
    model: ModelT,
    loss_of: Callable[[nn.Module, Batch], Tensor],
    recipe: PoolRecipe,
    autoencoder: PocketAutoencoder,
    renderer: Renderer,
    progress: TrainingProgress,
    *,
    team: Team,
    seed: int,
) -> ModelT:
    """Train `model`, which stands on the team's device, for the recipe's minutes less those of `progress`.

    Writes a line to `out/<stage>.jsonl` every 50 steps and a checkpoint to `out/<stage>` every minute; returns the
    averaged weights. Gradients are averaged over the team.
    """
    team.share(model)
    average, optimiser = Average(model, recipe.average), optimiser_of(model)
    log = RunLog(out / f"{stage}.jsonl", quiet=not team.leads)
    # rendering starts from a seed of its own after every restart, and in every process
    pools = _pools(recipe, renderer, autoencoder, f"{stage}-{seed}-{progress.step}-{team.rank}")
    torch.manual_seed(hash((seed, progress.step, team.rank)))
    trained = [p for p in model.parameters() if p.requires_grad]
    taken = step_of(lambda batch: loss_of(model, batch), model, recipe, team.device)
    order = random.Random(f"{seed}-{progress.step}")
    clock = Clock(recipe.minutes, progress.seconds, steps=recipe.steps, sitting=recipe.sitting, agree=team.agree)
    saved, losses, step = clock.seconds, _Losses(team.device), progress.step
    for step, share in clock.ticks(progress.step):
        panels = order.choices(list(recipe.shares), list(recipe.shares.values()))[0]
        loss = taken(pools[panels].draw(recipe.rows(panels)))
        team.average_gradients(trained)
        factor = rate(share, step - progress.step, recipe.warmup, recipe.flat)
        optimiser.step(recipe.matrix_rate * factor, recipe.other_rate * factor)
        average.update(model, step)
        losses.add(panels, loss)
        step += 1
        if step % _LOG_EVERY == 0:
            log.write(step=step, seconds=clock.seconds, factor=factor, **losses.means())
        if team.leads and clock.seconds - saved > _SAVE_SECONDS:
            save_checkpoint(out / stage, average.model, step, clock.seconds)
            saved = clock.seconds
    if team.leads:
        save_checkpoint(out / stage, average.model, step, clock.seconds)
    counts = {f"sets_{p}": pool.seen * team.size for p, pool in pools.items()}
    log.write(step=step, seconds=clock.seconds, processes=team.size, **losses.means(), **counts)
    return average.model


def step_of(loss_of: LossOf, model: nn.Module, recipe: PoolRecipe, device: torch.device) -> Step:
    """Forward and backward of `loss_of`, as the recipe wants them."""
    return RecordedStep(loss_of, model) if recipe.record and device.type == "cuda" else eager_step(loss_of)


class Average(Generic[ModelT]):
    """Exponential moving average of a model's weights, quick at first."""

    def __init__(self, model: ModelT, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: ModelT, step: int) -> None:
        """Move towards `model`."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), [p.detach() for p in model.parameters()], weight)  # pyright: ignore[reportPrivateImportUsage]


def optimiser_of(model: nn.Module) -> Muon:
    """Muon on the matrices of the blocks, AdamW on the rest; what is frozen is left out."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in trained if p.dim() == 2 and "blocks." in name and ".norm" not in name]
    chosen = {id(p) for p in matrices}
    return Muon(matrices, [p for _, p in trained if id(p) not in chosen])


def _pools(recipe: PoolRecipe, renderer: Renderer, autoencoder: PocketAutoencoder, seed: str) -> dict[int, ExamplePool]:
    pools = {}
    for panels in recipe.batches:
        chunks = stream(StreamOptions(panels, max(1, recipe.chunk // panels)), seed, recipe.loaders)
        reuse = recipe.reuse * recipe.smaller
        pools[panels] = ExamplePool(panels, recipe.pool // panels, chunks, renderer, autoencoder, reuse, recipe.pixels)
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
