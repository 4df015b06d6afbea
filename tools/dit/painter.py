"""What sampling works with: the parts of a loaded model, and the options with every choice made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from chatdit.tools.dit.codecs import ImageCodec, TextCodec
from chatdit.tools.dit.packing import Grid
from chatdit.tools.dit.rows import Given
from chatdit.tools.types import Progress

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    from chatdit.tools.dit.sparse_route import SparseAttention

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Painter:
    """The parts of a loaded model that sampling needs."""

    transformer: FluxTransformer2DModel
    images: ImageCodec
    text: TextCodec
    scheduler: Mapping[str, object]
    grid: Grid
    layers: int
    device: torch.device
    dtype: torch.dtype
    horizon: float | None = None
    """Of a few-step model, whose output is a `FlowPolicy`."""
    layout: bool = False
    """Whether image tokens bring layout channels beside their latent."""

    @property
    def distilled(self) -> bool:
        """Whether guidance is an input of the model instead of a second pass."""
        return bool(self.transformer.config["guidance_embeds"])


@dataclass(frozen=True)
class Settings:
    """SamplingOptions with every choice made; `shift` None stays with the scheduler."""

    steps: int
    guidance: float
    shift: float | None
    given: Given
    preview: bool
    attention: SparseAttention | None = None


@dataclass(frozen=True)
class Reporter:
    """Counts the steps of all groups as one: `before` were done by earlier groups, of `total`."""

    report: Report | None
    before: int
    total: int

    def __call__(self, stage: str, step: int, picture: object | None = None) -> None:
        if self.report is not None:
            self.report(Progress(stage, self.before + step, self.total, picture))
