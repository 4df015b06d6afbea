"""FLUX.1-dev's architecture with random weights as a painter: for time and memory, never for pictures.

What stands in for its text encoders gives random vectors of their shapes, at no cost in memory; `tiny` is the same with
small networks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from chatdit.evals.bench_attention_steps import model_of
from chatdit.tools.dit.codecs import EncodedText, KLImageCodec, TextReport
from chatdit.tools.dit.loading import FLUX_MAX_PANELS, LoadedModel
from chatdit.tools.dit.model import DiT, SamplingDefaults
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.shelf import CARD, WEIGHTS
from chatdit.tools.lora.training import TARGETS

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

NAME = "random FLUX.1-dev"
STEPS = 7
"""A quarter of FLUX.1-dev's, of which edits by words then take six."""
RANK = 16
_SCHEDULER = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5,
              "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}  # fmt: skip


def random_flux(device: torch.device, *, side: int, tiny: bool) -> DiT:
    """A painter of square pictures of `side` pixels; in bfloat16 on a GPU."""
    transformer = model_of(tiny, device)
    config = transformer.config
    text = RandomText(int(config["joint_attention_dim"]), int(config["pooled_projection_dim"]), 16 if tiny else 512)
    defaults = SamplingDefaults(STEPS, 3.5, None, side, side, FLUX_MAX_PANELS, open_vocabulary=True, token_size=16)
    images = KLImageCodec(_autoencoder(tiny, device))
    loaded = LoadedModel(NAME, "0" * 64, transformer, images, text, _SCHEDULER, defaults)
    return DiT(loaded, device, torch.float32 if device.type == "cpu" else torch.bfloat16)


class RandomText:
    """Vectors of a caption's own, as many for each as FLUX's text encoders give."""

    def __init__(self, width: int, pooled: int, tokens: int) -> None:
        self._width, self._pooled, self._tokens = width, pooled, tokens
        self._device = torch.device("cpu")

    def encode(self, captions: Sequence[str], panels: Sequence[int]) -> list[EncodedText]:
        return [self._encode_one(caption) for caption in captions]

    def squares(self, caption: str, panels: int) -> Tensor | None:
        return None

    def report(self, caption: str) -> TextReport:
        """A token a word, and one that ends the caption."""
        count = len(caption.split()) + 1
        return TextReport(count, max(0, count - self._tokens))

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device

    def _encode_one(self, caption: str) -> EncodedText:
        seed = int.from_bytes(hashlib.sha256(caption.encode()).digest()[:4], "big")
        drawn = torch.Generator(self._device).manual_seed(seed)
        sequence = torch.randn(self._tokens, self._width, generator=drawn, device=self._device)
        return EncodedText(sequence, torch.randn(self._pooled, generator=drawn, device=self._device))


def put_random_lora(dit: DiT, loras: Path, name: str) -> None:
    """A LoRA of two panels, of all matrices that training adapts, in a folder of LoRAs; it is of no use."""
    (loras / name).mkdir(parents=True)
    card = LoraCard(name=name, family="flux", summary="two panels", columns=2, rank=RANK)
    (loras / name / CARD).write_text(card.model_dump_json(exclude_defaults=True), encoding="utf-8")
    drawn = torch.Generator().manual_seed(0)
    weights = {}
    for layer, module in dit.transformer.named_modules():
        if isinstance(module, nn.Linear) and re.fullmatch(TARGETS, layer):
            for part, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
                matrix = 0.01 * torch.randn(shape, generator=drawn)
                weights[f"transformer.{layer}.lora_{part}.weight"] = matrix.to(torch.float16)
    save_file(weights, loras / name / WEIGHTS, metadata={"format": "pt"})


def _autoencoder(tiny: bool, device: torch.device) -> AutoencoderKL:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    widths = (8, 8, 8, 8) if tiny else (128, 256, 512, 512)
    config = {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "layers_per_block": 1 if tiny else 2,
        "latent_channels": 16,
        "norm_num_groups": 4 if tiny else 32,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    with device:
        return cast("AutoencoderKL", AutoencoderKL.from_config(config))
