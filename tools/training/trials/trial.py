"""One trial of the training: an arm and a seed, from scratch on fixed pictures, measured on pictures left out.

All arms of a seed see the same pictures, captions, times and noise in the same order. Nothing of it is shipped.
Layout legend: B batch, N image tokens, E elements of a token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from chatdit.tools.training.base import PocketModel
from chatdit.tools.training.examples import Batch
from chatdit.tools.training.pooled import Average
from chatdit.tools.training.schedule import rate
from chatdit.tools.training.steps import RecordedStep, Step, eager_step
from chatdit.tools.training.team import mixed_precision, without_cudnn_attention
from chatdit.tools.training.trials.alignment import Agreement, Alignment, Draw, gradient_cosine, noised, training_losses
from chatdit.tools.training.trials.arms import Arm
from chatdit.tools.training.trials.block_hooks import Wanted, blocks_of
from chatdit.tools.training.trials.clock import TrialClock
from chatdit.tools.training.trials.model import build_trial_model, update_of
from chatdit.tools.training.trials.pictures import PictureOptions, TrialBatches, TrialPictures, batch_of

Notify = Callable[[str, int, int], None]
TIME_BINS = 5
_HELD_OUT_SEED = 20_000


@dataclass(frozen=True)
class TrialRecipe:
    """What all arms share; `steps` are those of the plain arm."""

    steps: int = 2000
    batch: int = 256
    warmup: int = 100
    average: float = 0.999
    compile: bool = True
    """Whether blocks are compiled, all but those that an alignment looks into."""
    points: int = 5
    """How often the loss on held-out pictures is measured, evenly over the steps."""
    pictures: PictureOptions = field(default_factory=PictureOptions)


SMALL_TRIAL_RECIPE = TrialRecipe(
    steps=10,
    batch=4,
    warmup=2,
    average=0.9,
    compile=False,
    pictures=PictureOptions(count=12, held_out=4, chunk=16, loaders=0),
)
"""For a machine without a GPU."""


@dataclass(frozen=True)
class CurvePoint:
    """The loss on held-out pictures after so many steps and seconds of training."""

    step: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended."""

    loss: float
    """Mean of the bins, of the averaged weights."""
    bins: tuple[float, ...]
    """Flow-matching loss on held-out pictures for times in fifths of [0, 1]."""
    curve: tuple[CurvePoint, ...]
    steps: int
    step_ms: float
    """Median of a steady step: forward, backward, update, averages."""
    phase_ms: tuple[float, ...]
    """The same for each stage, and with an alignment and without."""
    seconds: float
    """Of all steps at their steady pace, without recording and measuring."""
    parameters: int
    recorded: bool
    """Whether all steps were replayed from a recording."""
    aligned_steps: int
    cosines: tuple[float, ...]
    """Between the gradients of both losses, where they were measured."""


def train_trial(
    pictures: TrialPictures,
    arm: Arm,
    recipe: TrialRecipe,
    seed: int,
    *,
    notify: Notify = lambda what, done, total: None,
) -> TrialResult:
    """Train `arm` from `seed` on the device of the pictures; steps are recorded on a GPU.

    Raises:
        ValueError: the alignment does not fit the model, or there are too few pictures.
    """
    with without_cudnn_attention():
        return _Trial(pictures, arm, recipe, seed).run(notify)


@torch.no_grad()
def held_out_losses(model: PocketModel, pictures: TrialPictures, pixels: int, size: int) -> tuple[float, ...]:
    """Flow-matching loss on held-out pictures in each time bin, in batches of `size`, with fixed times and noise."""
    device, means = pictures.device, []
    generator = torch.Generator(device).manual_seed(_HELD_OUT_SEED)
    for i in range(TIME_BINS):
        total = torch.zeros((), device=device)
        for chosen in torch.split(torch.arange(pictures.held_out, device=device), size):
            batch = batch_of(pictures, chosen, pixels)
            times = (i + torch.rand(len(chosen), generator=generator, device=device)) / TIME_BINS
            noise = torch.randn(batch.tokens.shape, generator=generator, device=device)
            with mixed_precision(device):
                velocity = model(noised(batch.tokens, noise, times), times, batch)
            total += (velocity.float() - (noise - batch.tokens)).square().mean() * len(chosen)
        means.append(float(total / pictures.held_out))
    return tuple(means)


def compile_blocks(model: PocketModel, alignment: Alignment | None) -> None:
    """Compile the blocks of `model`, and of a teacher, that nobody looks into: hooks come and go with each forward."""
    wanted = Wanted() if alignment is None else alignment.wanted
    watched = [(model, (*wanted.hidden, *wanted.attention))]
    if alignment is not None and alignment.teacher is not None:
        watched.append((alignment.teacher, (alignment.recipe.teacher_block,)))
    for whole, numbers in watched:
        for number, block in enumerate(blocks_of(whole.transformer), start=1):
            if number not in numbers:
                block.compile(dynamic=False)


class _Trial:
    """The state of one training."""

    def __init__(self, pictures: TrialPictures, arm: Arm, recipe: TrialRecipe, seed: int) -> None:
        self._pictures, self._arm, self._recipe = pictures, arm, recipe
        self._steps = arm.steps(recipe.steps)
        torch.manual_seed(seed)
        self._model = build_trial_model(arm, pictures.words).to(pictures.device)
        # after the model, whose weights are those of the plain arm then
        self._alignment = Alignment(arm.alignment, self._model).to(pictures.device) if arm.alignment else None
        self._trained = nn.ModuleList([self._model, *([self._alignment] if self._alignment else [])])
        self._update = update_of(arm, self._trained)
        self._average = Average(self._model, recipe.average)
        self._batches = TrialBatches(pictures, recipe.batch, seed)
        self._agreement = Agreement()
        self._aligned_steps, self._recorded = 0, True
        self._clock = TrialClock(pictures.device)

    def run(self, notify: Notify) -> TrialResult:
        marks = {round(self._steps * (i + 1) / self._recipe.points) for i in range(self._recipe.points)}
        measured: list[tuple[int, tuple[float, ...]]] = []
        phase: _Phase | None = None
        for step in range(self._steps):
            pixels = self._arm.pixels_at(step / self._steps)
            if phase is None or (phase.pixels, phase.alignment) != (pixels, self._alignment):
                phase = None  # its recording goes before the next one is made
                if self._recipe.compile:
                    compile_blocks(self._model, self._alignment)
                phase = _Phase(self._model, self._alignment, self._trained, pixels)
                self._clock.new_phase()
            self._step(phase, step)
            self._recorded &= phase.records
            self._clock.tick()
            notify("steps", step + 1, self._steps)
            if step + 1 in marks:
                with self._clock.stopped():
                    measured.append((step + 1, self._measure()))
        return self._result(measured)

    def _step(self, phase: _Phase, step: int) -> None:
        batch, draw = self._batches(phase.pixels)
        phase(batch, draw)
        self._update(rate(step / self._steps, step, self._recipe.warmup, self._arm.flat))
        self._average.update(self._model, step)
        if self._alignment is not None:
            self._aligned_steps += 1
            self._alignment.follow(self._model, step)
            if self._alignment_ends(self._alignment, step + 1, batch, draw):
                self._alignment = None

    def _alignment_ends(self, alignment: Alignment, taken: int, batch: Batch, draw: Draw) -> bool:
        how = alignment.recipe
        if how.stop == "share":
            return taken >= how.stop_share * self._steps
        if how.stop == "cosine" and taken % how.measure_every == 0:
            return self._agreement.ends(gradient_cosine(self._model, alignment, batch, draw))
        return False

    def _measure(self) -> tuple[float, ...]:
        return held_out_losses(self._average.model, self._pictures, self._arm.pixels, self._recipe.batch)

    def _result(self, measured: list[tuple[int, tuple[float, ...]]]) -> TrialResult:
        bins, clock = measured[-1][1], self._clock
        return TrialResult(
            loss=sum(bins) / TIME_BINS,
            bins=bins,
            curve=tuple(CurvePoint(at, clock.seconds_at(at), sum(found) / TIME_BINS) for at, found in measured),
            steps=self._steps,
            step_ms=clock.median_ms(),
            phase_ms=clock.phase_ms(),
            seconds=clock.seconds_at(self._steps),
            parameters=sum(p.numel() for p in self._model.transformer.parameters()),
            recorded=self._recorded and self._pictures.device.type == "cuda",
            aligned_steps=self._aligned_steps,
            cosines=tuple(self._agreement.measured),
        )


class _Phase:
    """Steps of one size of picture with one alignment; what they draw is copied to where a recording reads it."""

    def __init__(self, model: PocketModel, alignment: Alignment | None, trained: nn.Module, pixels: int) -> None:
        self.pixels, self.alignment = pixels, alignment
        kept: list[Draw] = []

        # no method, or the phase and its recording would hold one another, and the memory of the device
        def loss_of(batch: Batch) -> Tensor:
            flow, aligned = training_losses(model, alignment, batch, kept[0])
            return flow if aligned is None else flow + aligned

        on_gpu = next(model.parameters()).is_cuda
        self._step: Step = RecordedStep(loss_of, trained) if on_gpu else eager_step(loss_of)
        self._kept = kept

    @property
    def records(self) -> bool:
        """Whether no recording has failed."""
        return not isinstance(self._step, RecordedStep) or self._step.records

    def __call__(self, batch: Batch, draw: Draw) -> Tensor:
        """Leave gradients and return the loss."""
        if not self._kept:
            self._kept.append(Draw(*(x.clone() for x in draw)))
        for kept, new in zip(self._kept[0], draw, strict=True):
            kept.copy_(new, non_blocking=True)
        return self._step(batch)
