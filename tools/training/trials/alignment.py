"""Auxiliary losses that align what a diffusion transformer computes with a teacher while it trains.

REPA (arXiv 2410.06940) aligns a block's hidden state with features of the clean picture, here with the renderer's
class occupancy. HASTE (arXiv 2505.16792) aligns attention too, and stops early. SRA (arXiv 2505.02831) aligns a block
with a later block of the model's own moving average at less noise. Heads are dropped after training.
Layout legend: B batch, N image tokens, E elements of a token, C features, H heads, D head dim, K sprites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.training.base import PocketModel
from chatdit.tools.training.examples import Batch
from chatdit.tools.training.pooled import Average
from chatdit.tools.training.team import mixed_precision
from chatdit.tools.training.trials.block_hooks import Seen, Wanted, blocks_of, captured
from chatdit.tools.training.trials.class_teacher import (
    CLASSES,
    class_attention,
    class_occupancy,
    pooled_shares,
    spatially_normalised,
)

Axis = Literal["feature", "token"]


@dataclass(frozen=True)
class AlignmentRecipe:
    """What is aligned with what, and for how long; blocks are counted from 1, double ones first."""

    kind: Literal["repa", "haste", "sra"]
    block: int = 3
    weight: float = 0.5
    attention_blocks: tuple[int, ...] = (2, 3)
    attention_weight: float = 0.5
    teacher_block: int = 6
    """Of SRA, in the moving average."""
    gap: float = 0.2
    """Of SRA: by how much at most the teacher's time is earlier."""
    average: float = 0.999
    axis: Axis = "feature"
    stop: Literal["never", "share", "cosine"] = "never"
    """Whether it ends after `stop_share` of the steps, or once the gradients of both losses no longer agree."""
    stop_share: float = 0.35
    measure_every: int = 50
    shuffled: bool = False
    """Whether the teacher shows another picture of the batch: the negative control."""


class Draw(NamedTuple):
    """What a step needs beside its batch; with it the losses draw nothing, so that all arms see the same."""

    noise: Tensor
    """float (B, N, E)"""
    times: Tensor
    """float (B,) in [0, 1]"""
    gaps: Tensor
    """float (B,) in [0, 1]: part of the gap between student and teacher of SRA."""
    others: Tensor
    """int64 (B,): another picture of the batch for each."""
    classes: Tensor
    """int64 (B, K)"""
    shares: Tensor
    """uint8 (B, tokens of the class map, K), 255 for a whole token."""


def noised(tokens: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """x_t = (1 - t) x + t e for tokens and noise (B, N, E) at times (B,)."""
    level = times[:, None, None]
    return (1 - level) * tokens + level * noise


def training_losses(
    model: PocketModel, alignment: Alignment | None, batch: Batch, draw: Draw
) -> tuple[Tensor, Tensor | None]:
    """The flow-matching loss, and the weighted loss of `alignment`, which is None without one."""
    wanted = Wanted() if alignment is None else alignment.wanted
    with mixed_precision(batch.tokens.device), captured(model.transformer, wanted) as seen:
        velocity = model(noised(batch.tokens, draw.noise, draw.times), draw.times, batch)
    flow = (velocity.float() - (draw.noise - batch.tokens)).square().mean()
    return flow, None if alignment is None else alignment(seen, batch, draw)


class Alignment(nn.Module):
    """The loss of a recipe with its head, and SRA's teacher, which `follow` moves.

    Raises:
        ValueError: the model has too few blocks, or the teacher's block is not after the student's.
    """

    def __init__(self, recipe: AlignmentRecipe, model: PocketModel) -> None:
        super().__init__()
        self.recipe = recipe
        width, count = model.transformer.inner_dim, len(blocks_of(model.transformer))
        if recipe.kind == "sra" and not recipe.block < recipe.teacher_block <= count:
            raise ValueError(
                f"SRA aligns block {recipe.block} with block {recipe.teacher_block} of {count}: expected a later one"
            )
        if recipe.block > count:
            raise ValueError(f"block {recipe.block} of {count} cannot be aligned: expected at most {count}")
        self.head = _head(width, 2 * width, width) if recipe.kind == "sra" else _projection(width, 2 * width, CLASSES)
        self._teacher = Average(model, recipe.average) if recipe.kind == "sra" else None

    @property
    def wanted(self) -> Wanted:
        """What the student's forward is asked for."""
        blocks = self.recipe.attention_blocks if self.recipe.kind == "haste" else ()
        return Wanted((self.recipe.block,), blocks)

    @property
    def teacher(self) -> PocketModel | None:
        """SRA's moving average."""
        return None if self._teacher is None else self._teacher.model

    def forward(self, seen: Seen, batch: Batch, draw: Draw) -> Tensor:
        """Weighted loss of what the student computed."""
        recipe = self.recipe
        with mixed_precision(batch.tokens.device):
            student = self.head(seen.hidden[recipe.block])
        if recipe.kind == "sra":
            return recipe.weight * cosine_loss(student, self._later_features(batch, draw), recipe.axis)
        tokens = batch.tokens.shape[1]
        occupancy = class_occupancy(draw.classes, pooled_shares(draw.shares.float() / 255, tokens))
        if recipe.shuffled:
            occupancy = occupancy[draw.others]
        loss = recipe.weight * cosine_loss(student, spatially_normalised(occupancy), "feature")
        if recipe.kind == "haste":
            teacher = class_attention(occupancy)
            pairs = [seen.queries_and_keys(block, tokens) for block in recipe.attention_blocks]
            entropies = [attention_cross_entropy(*_first_half(q, k), teacher) for q, k in pairs]
            loss = loss + recipe.attention_weight * torch.stack(entropies).mean()
        return loss

    @torch.no_grad()
    def _later_features(self, batch: Batch, draw: Draw) -> Tensor:
        assert self._teacher is not None
        recipe, teacher = self.recipe, self._teacher.model
        times = (draw.times - recipe.gap * draw.gaps).clamp(min=0)
        wanted = Wanted((recipe.teacher_block,))
        with mixed_precision(batch.tokens.device), captured(teacher.transformer, wanted) as seen:
            teacher(noised(batch.tokens, draw.noise, times), times, batch)
        features = seen.hidden[recipe.teacher_block]
        return features[draw.others] if recipe.shuffled else features

    def follow(self, model: PocketModel, step: int) -> None:
        """Move SRA's teacher towards `model`; the others have none."""
        if self._teacher is not None:
            self._teacher.update(model, step)

    def shared(self, model: PocketModel) -> list[nn.Parameter]:
        """Weights of the last block that both losses reach: its queries, keys and values."""
        attention = blocks_of(model.transformer)[self.recipe.block - 1].get_submodule("attn")
        return [attention.get_parameter(f"{name}.weight") for name in ("to_q", "to_k", "to_v")]


def cosine_loss(student: Tensor, teacher: Tensor, axis: Axis) -> Tensor:
    """One less the mean cosine between (B, N, C) and (B, N, C), in float32.

    Along "feature" each token is one vector, as REPA and SRA write it; along "token" each feature's pattern over the
    picture is, as SRA's released code computes.
    """
    cosine = F.cosine_similarity(student.float(), teacher.float(), dim=2 if axis == "feature" else 1)
    loss: Tensor = 1 - cosine.mean()
    return loss


def attention_cross_entropy(queries: Tensor, keys: Tensor, teacher: Tensor) -> Tensor:
    """Mean over rows and heads of -sum_j A_ij log softmax_j(q_i k_j / sqrt(D)) (HASTE, arXiv 2505.16792).

    Queries and keys are (B, N, H, D) of the image alone, the teacher's rows (B, N, N) sum to 1.
    """
    logits = torch.einsum("bihd,bjhd->bhij", queries.float(), keys.float()) / queries.shape[3] ** 0.5
    entropies: Tensor = -(teacher[:, None] * logits.log_softmax(dim=3)).sum(dim=3)
    return entropies.mean()


def gradient_cosine(model: PocketModel, alignment: Alignment, batch: Batch, draw: Draw) -> float:
    """Cosine between the gradients of both losses on the last block they share; leaves no gradients behind."""
    weights, gradients = alignment.shared(model), []
    for which in (0, 1):
        # a forward for each: the backward of compiled blocks frees what the other would need
        loss = training_losses(model, alignment, batch, draw)[which]
        assert loss is not None
        gradients.append(torch.autograd.grad(loss, weights))
    a, b = (torch.cat([g.float().flatten() for g in each]) for each in gradients)
    return F.cosine_similarity(a, b, dim=0).item()


class Agreement:
    """A smoothed cosine between gradients; it ends once, after some measurements, it is not above 0."""

    def __init__(self, smoothing: float = 0.7, least: int = 4) -> None:
        self.measured: list[float] = []
        self.smoothed = 0.0
        self._smoothing, self._least = smoothing, least

    def ends(self, cosine: float) -> bool:
        """Whether it has ended with this measurement."""
        old = self.smoothed if self.measured else cosine
        self.smoothed = self._smoothing * old + (1 - self._smoothing) * cosine
        self.measured.append(cosine)
        return len(self.measured) >= self._least and self.smoothed <= 0


def _first_half(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    # the other heads stay free, as the release leaves those of a student with more heads than its teacher
    heads = max(1, queries.shape[2] // 2)
    return queries[:, :, :heads], keys[:, :, :heads]


def _projection(width: int, inner: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, inner), nn.SiLU(), nn.Linear(inner, out))


def _head(width: int, inner: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, out))
