"""Pivotal attention sharing of FreeCus (arXiv 2507.15249): a picture sees the keys and values of given subjects.

Each reference is a row of its own beside the picture's, noised less than the model is told. At some layers its keys and
values, of the subject's tokens alone, are added to those that the picture sees (K' = [lambda K_ref; lambda K_text;
K_image]).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, Scope, Selection
from chatdit.tools.dit.rows import Row, SamplingOptions, Segment

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT

FLUX_LAYERS = 57
FLUX_VITAL = frozenset({0, 1, 2, 17, 18, 25, 28, 53, 54, 56})
"""Of FLUX.1's layers, those that FreeCus shares at; nine of them are StableFlow's (arXiv 2411.14430)."""
REFERENCE_SEED = 777
"""Of the one noise that references are noised with."""


@dataclass(frozen=True)
class Sharing:
    """How references are shared; None as layers means all.

    `k_scale` (lambda) scales the reference's keys, `text_k_scale` those of the picture's own caption; `log_bias` is
    added to the reference's logits. `noise_shift` is that of the reference's row. `apart` puts each reference on a
    panel of its own before the picture's, where otherwise they lie on one grid.
    """

    layers: frozenset[int] | None = None
    k_scale: float = 1.0
    text_k_scale: float = 1.0
    log_bias: float = 0.0
    noise_shift: float = -1.0
    apart: bool = False


FREECUS = Sharing(FLUX_VITAL, k_scale=1.1, text_k_scale=1.1)
"""As published, for FLUX.1-dev."""
POCKET_VITAL = frozenset({0, 2, 6, 7})
"""Half of pocket's layers: without one of them pictures change by 0.10 to 0.29 of a pixel's range, else by 0.04 to 0.08
(`vitality`, 12 captions). Sharing at these alone keeps no subject: what makes a picture is not what copies.
"""
POCKET = Sharing(noise_shift=-math.inf, apart=True)
"""As measured (LOG): pocket has learned from given panels that are clean and stand before the one that it draws."""


def sharing_for(dit: DiT) -> Sharing:
    """What suits a painter: that of the paper, at all layers of models that are not FLUX.1's size."""
    if not dit.defaults.open_vocabulary:
        return POCKET
    return FREECUS if dit.layers == FLUX_LAYERS else Sharing(None, FREECUS.k_scale, FREECUS.text_k_scale)


@dataclass(frozen=True, eq=False)
class SharedSubject:
    """A reference picture (3, H, W) in [-1, 1], its caption, and its image tokens that show the subject.

    `queries` are the picture's image tokens that see it, None for all.
    """

    pixels: Tensor
    caption: str
    tokens: tuple[int, ...]
    queries: tuple[int, ...] | None = None


def shared_rows(target: Row, subjects: Sequence[SharedSubject], how: Sharing) -> tuple[list[Row], AttentionPlan]:
    """The rows of a call, `target` first, and what they share; without subjects the plan is empty."""
    rows, ops = [target], []
    scope = Scope(how.layers)
    for i, subject in enumerate(subjects, start=1):
        height, width = subject.pixels.shape[-2:]
        panel = i - 1 - len(subjects) if how.apart else 0
        segment = Segment(width, height, panel=panel, known=subject.pixels)
        rows.append(Row(subject.caption, (segment,), REFERENCE_SEED, "noised", noise_shift=how.noise_shift))
        queries = None if subject.queries is None else Selection(image=subject.queries)
        chosen = Selection(image=subject.tokens)
        ops.append(KVOp("concat", i, 0, scope, chosen, how.k_scale, how.log_bias, queries))
    if ops and how.text_k_scale != 1.0:
        ops.append(KVOp("overwrite", 0, 0, scope, Selection(image=(), text=None), how.text_k_scale))
    return rows, AttentionPlan(tuple(ops))


def vitality(dit: DiT, rows: Sequence[Row], sampling: SamplingOptions = SamplingOptions()) -> list[float]:  # noqa: B008 - frozen
    """How much each layer matters: mean change of the rows' pixels, in [0, 1], when its block is passed over.

    StableFlow's test (arXiv 2411.14430), which compares embeddings; here pixels are compared.
    """
    whole = _pictures(dit, rows, sampling)
    blocks = [*dit.transformer.transformer_blocks, *dit.transformer.single_transformer_blocks]
    return [_without(dit, rows, sampling, block, whole) for block in blocks]


def _without(dit: DiT, rows: Sequence[Row], sampling: SamplingOptions, block: nn.Module, whole: Tensor) -> float:
    def passed_over(
        module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: object
    ) -> tuple[Tensor, Tensor]:
        return kwargs["encoder_hidden_states"], kwargs["hidden_states"]

    hook = block.register_forward_hook(passed_over, with_kwargs=True)
    try:
        return float((_pictures(dit, rows, sampling) - whole).abs().mean())
    finally:
        hook.remove()


def _pictures(dit: DiT, rows: Sequence[Row], sampling: SamplingOptions) -> Tensor:
    return torch.cat([image.flatten() for row in dit.sample(rows, sampling=sampling) for image in row.images])
