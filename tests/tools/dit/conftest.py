"""Tiny real models, built from configs and saved to folders once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
from chatdit.tools.dit.loading import PocketDefaults, save_pocket_folder
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig

WORDS = ("[panel1]", "[panel2]", "cat", "dog", "fire truck", "beach", "moon", "on", "left", "large", "red", "fox")


def tiny_transformer(
    *, in_channels: int, text_width: int, guidance_embeds: bool = False, head_dim: int = 16
) -> FluxTransformer2DModel:
    torch.manual_seed(0)
    model: FluxTransformer2DModel = FluxTransformer2DModel(
        in_channels=in_channels,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=head_dim,
        num_attention_heads=2,
        joint_attention_dim=text_width,
        pooled_projection_dim=text_width,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(head_dim // 4, 3 * head_dim // 8, 3 * head_dim // 8),
    )
    model.eval()
    return model


@pytest.fixture(scope="session")
def pocket_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_pocket(tmp_path_factory.mktemp("models") / "tiny-pocket", head_dim=16)


@pytest.fixture(scope="session")
def wide_pocket(tmp_path_factory: pytest.TempPathFactory) -> DiT:
    """A pocket whose heads are wide enough for sparse attention."""
    return DiT.load(_save_pocket(tmp_path_factory.mktemp("models") / "wide-pocket", head_dim=32), device="cpu")


def _save_pocket(folder: Path, *, head_dim: int) -> Path:
    torch.manual_seed(1)
    narrow = AutoencoderConfig(
        encoder_widths=(8, 8), encoder_blocks=(1, 1), decoder_widths=(8, 8, 8), decoder_blocks=(1, 1, 1)
    )
    save_pocket_folder(
        folder,
        tiny_transformer(in_channels=256, text_width=32, head_dim=head_dim),
        PocketAutoencoder(narrow).eval(),
        PocketTextEncoder(TextEncoderConfig(WORDS, width=32, layers=1, heads=2, max_tokens=40)),
        PocketDefaults(steps=3, guidance=3.0, shift=2.0, width=64, height=64, max_panels=4),
        quantize=False,
    )
    return folder


@pytest.fixture(scope="session")
def pocket(pocket_folder: Path) -> DiT:
    return DiT.load(pocket_folder, device="cpu")


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """The folder of a tiny FLUX pipeline, guidance-distilled or not."""
    root, made = tmp_path_factory.mktemp("models"), dict[bool, Path]()

    def folder(distilled: bool) -> Path:
        if distilled not in made:
            made[distilled] = root / ("tiny-dev" if distilled else "tiny-schnell")
            _save_flux(made[distilled], distilled)
        return made[distilled]

    return folder


def _save_flux(folder: Path, distilled: bool) -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    clip_words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((c, -2.0) for c in letters)]
    clip = CLIPTextConfig(
        vocab_size=len(clip_words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
    )
    t5 = T5Config(vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    vae: Any = AutoencoderKL.from_config(
        {
            "block_out_channels": (8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "latent_channels": 4,
            "norm_num_groups": 4,
            "scaling_factor": 0.36,
            "shift_factor": 0.11,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        }
    )
    scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(
        {"use_dynamic_shifting": distilled, "shift": 3.0 if distilled else 1.0}
    )
    pipeline = FluxPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=CLIPTextModel(clip),
        tokenizer=CLIPTokenizer(vocab={w: i for i, w in enumerate(clip_words)}, merges=[], model_max_length=77),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=T5Tokenizer(vocab=pieces, extra_ids=0),
        transformer=tiny_transformer(in_channels=16, text_width=32, guidance_embeds=distilled),
    )
    pipeline.save_pretrained(str(folder))
