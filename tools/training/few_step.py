"""Distil the base into a model of few steps and one pass: imitation of its guided velocity (π-Flow, arXiv 2510.14974).

The student's output is a `FlowPolicy` for the quarter of the schedule ahead. From a noised picture it is followed,
without gradient, to some times of its segment; there its velocity is drawn to the teacher's, which is guided by the
caption. So the student learns on states that it comes to by itself, with one squared error and no other network.

Reflow (arXiv 2209.03003) is the baseline: noise and where the guided teacher takes it are joined by a straight line,
whose velocity a student of the teacher's own shape learns, to be followed by plain Euler steps.

Layout legend: B batch, N image tokens, E elements of a token, K times of a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.flow_policy import FlowPolicy, segment_end, shifted
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.training.base import TIME_SHIFT, PocketModel, build_model, training_times
from chatdit.tools.training.checkpoint import load_checkpoint
from chatdit.tools.training.examples import Batch
from chatdit.tools.training.pooled import PoolRecipe, train_on_pools
from chatdit.tools.training.team import Team, mixed_precision

Method = Literal["imitation", "reflow"]
METHODS: tuple[Method, ...] = get_args(Method)
LEAST_TIME = 0.02
"""Where velocities, which have the time below, are compared at the latest."""


@dataclass(frozen=True)
class FewStepRecipe(PoolRecipe):
    """How the base is distilled: beside what is drawn, how the student's policy is built and asked."""

    minutes: float = 8.0
    batches: Mapping[int, int] = field(default_factory=lambda: {1: 128, 2: 64, 4: 32})
    shares: Mapping[int, float] = field(default_factory=lambda: {1: 0.45, 2: 0.25, 4: 0.3})
    matrix_rate: float = 8e-4
    other_rate: float = 3e-4
    average: float = 0.998
    guidance: float = 2.5
    points: int = 8
    horizon: float = 0.25
    nodes: int = 8
    """A segment begins at one of so many even times, so that four and eight steps are both learned."""
    queries: int = 2
    """Times of each segment at which the teacher is asked."""
    method: Method = "imitation"
    teacher_steps: int = 8
    """Of reflow: Euler steps from noise to the picture that the teacher makes of it."""


SMALL_FEW_STEP_RECIPE = FewStepRecipe(
    batches={1: 16, 2: 8, 4: 4}, pool=4096, first=256, chunk=16, reuse=6, loaders=0, compile=False
)
"""For a machine without a GPU."""


def widened(base: PocketModel, points: int) -> PocketModel:
    """A student that computes what `base` does, the same velocity at all `points` of its policy."""
    config = base.transformer.config
    student = build_model((int(config["num_layers"]), int(config["num_single_layers"])), points)
    weights = dict(base.state_dict())
    for name in ("transformer.proj_out.weight", "transformer.proj_out.bias"):
        weights[name] = weights[name].repeat(points, *[1] * (weights[name].dim() - 1))
    student.load_state_dict(weights)
    return student


def train_few_step(
    out: Path, base: PocketModel, autoencoder: PocketAutoencoder, recipe: FewStepRecipe, *, team: Team, seed: int
) -> PocketModel:
    """Distil `base` for the recipe's minutes, or for what an interrupted run in `out` left of them.

    Log and checkpoints are `out/few-step.jsonl` and `out/few-step`; returns the averaged student. Its text encoder
    stays the base's.
    """
    torch.manual_seed(seed)
    student = widened(base, recipe.points if recipe.method == "imitation" else 1)
    progress = load_checkpoint(out / "few-step", student)
    teacher = base.to(team.device).eval().requires_grad_(False)
    student.to(team.device).text_encoder.requires_grad_(False)
    if recipe.compile:
        for model in (teacher, student):
            model.transformer.compile_repeated_blocks(dynamic=False)  # type: ignore[no-untyped-call]

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        of_method = imitation_loss if recipe.method == "imitation" else reflow_loss
        return of_method(model, teacher, batch, recipe)

    return train_on_pools(
        out, "few-step", student, loss_of, recipe, autoencoder, Renderer(team.device), progress, team=team, seed=seed
    )


def imitation_loss(student: nn.Module, teacher: PocketModel, batch: Batch, recipe: FewStepRecipe) -> Tensor:
    """Mean squared difference of the policy's velocity and the teacher's, over tokens that are not given.

    Late in a segment it counts less, in proportion to the time.
    """
    size, device = batch.tokens.shape[0], batch.tokens.device
    node = torch.randint(1, recipe.nodes + 1, (size,), device=device) / recipe.nodes
    start = shifted(node, TIME_SHIFT)
    end = segment_end(start, recipe.horizon, TIME_SHIFT)
    noise = torch.randn_like(batch.tokens)
    level = torch.where(batch.given, 0.0, start[:, None])[..., None]
    x = (1 - level) * batch.tokens + level * noise
    with mixed_precision(device):
        output = student(x, start, batch)
    policy = FlowPolicy.of(x, output.float(), start, end)
    kept = (~batch.given).float()
    total = torch.zeros((), device=device)
    for i in range(recipe.queries):
        share = (i + torch.rand(size, device=device)) / recipe.queries
        t = (start - share * (start - end)).clamp(min=LEAST_TIME)
        with torch.no_grad():
            there = policy.detach().travel(x, start, t)
            there = torch.where(batch.given[..., None], batch.tokens, there)
            wanted = guided_velocity(teacher, there, t, batch, recipe.guidance)
        # what the network says is magnified by start / t in the velocity: without a weight the last times rule alone
        weight = (t / start)[:, None]
        error = weight * (policy.velocity(there, t) - wanted).square().mean(dim=2)
        total = total + (error * kept).sum() / kept.sum()
    return total / recipe.queries


def reflow_loss(student: nn.Module, teacher: PocketModel, batch: Batch, recipe: FewStepRecipe) -> Tensor:
    """Mean squared error of the velocity from noise straight to the teacher's picture (arXiv 2209.03003, eq. 1)."""
    size, device = batch.tokens.shape[0], batch.tokens.device
    noise = torch.randn_like(batch.tokens)
    end = teachers_picture(teacher, noise, batch, recipe)
    times = training_times(size, device)
    level = torch.where(batch.given, 0.0, times[:, None])[..., None]
    with mixed_precision(device):
        velocity = student((1 - level) * end + level * noise, times, batch)
    error = (velocity.float() - (noise - end)).square().mean(dim=2)
    kept = (~batch.given).float()
    loss: Tensor = (error * kept).sum() / kept.sum()
    return loss


@torch.no_grad()
def teachers_picture(teacher: PocketModel, noise: Tensor, batch: Batch, recipe: FewStepRecipe) -> Tensor:
    """Where the guided teacher takes noise (B, N, E) in the recipe's Euler steps; given tokens stay as they are."""
    given = batch.given[..., None]
    x = torch.where(given, batch.tokens, noise)
    for step in range(recipe.teacher_steps):
        now, later = (
            shifted(torch.full((len(x),), 1 - i / recipe.teacher_steps, device=x.device), TIME_SHIFT)
            for i in (step, step + 1)
        )
        velocity = guided_velocity(teacher, x, now, batch, recipe.guidance)
        x = torch.where(given, x, x + (later - now)[:, None, None] * velocity)
    return x


@torch.no_grad()
def guided_velocity(teacher: PocketModel, x: Tensor, t: Tensor, batch: Batch, guidance: float) -> Tensor:
    """The teacher's velocity (B, N, E) at x and times t (B,), away from the empty caption by `guidance`."""
    nothing = {"text_ids": batch.text_ids, "squares": batch.squares}
    both = batch._replace(**{name: torch.cat([told, torch.zeros_like(told)]) for name, told in nothing.items()})
    with mixed_precision(x.device):
        output = teacher(x.repeat(2, 1, 1), t.repeat(2), both)
    wanted, unwanted = output.float().chunk(2)
    guided: Tensor = unwanted + guidance * (wanted - unwanted)
    return guided
