"""The model of a trial's arm, and what updates its weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn

from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.base import PocketModel, start_at_zero
from chatdit.tools.training.examples import GRID
from chatdit.tools.training.muon import Muon
from chatdit.tools.training.pooled import optimiser_of
from chatdit.tools.training.trials.arms import Arm


def build_trial_model(arm: Arm, words: Tensor) -> PocketModel:
    """A fresh pocket model of the arm's width and blocks whose words start as `words` (V + 1, D).

    Raises:
        ValueError: the width is no multiple of 64.
    """
    if arm.width < 64 or arm.width % 64:
        raise ValueError(f"width {arm.width}: expected a multiple of 64, the width of a head")
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=GRID.elements,
        num_layers=arm.blocks[0],
        num_single_layers=arm.blocks[1],
        attention_head_dim=64,
        num_attention_heads=arm.width // 64,
        joint_attention_dim=256,
        pooled_projection_dim=256,
        guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )
    start_at_zero(transformer)
    model = PocketModel(PocketTextEncoder(TextEncoderConfig(text_vocabulary())), transformer)
    with torch.no_grad():
        model.text_encoder.words.weight.copy_(words)
    return model


def update_of(arm: Arm, trained: nn.Module) -> Callable[[float], None]:
    """What updates the weights from their gradients, which are then cleared, with a factor on the arm's rates."""
    if arm.optimiser == "muon":
        muon = optimiser_of(trained)
        return lambda factor: muon.step(arm.matrix_rate * factor, arm.other_rate * factor)
    matrices, others = _parameters_of(trained)
    first, second = Muon((), matrices), Muon((), others)

    def update(factor: float) -> None:
        first.step(0.0, arm.matrix_rate * factor)
        second.step(0.0, arm.other_rate * factor)

    return update


def _parameters_of(trained: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Those that `optimiser_of` gives to Muon, and the rest."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, p in trained.named_parameters():
        if p.requires_grad:
            chosen = matrices if p.dim() == 2 and "blocks." in name and ".norm" not in name else others
            chosen.append(p)
    return matrices, others
