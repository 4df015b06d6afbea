"""A tiny real painter on disk, and sessions that draw with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

from chatdit.agents.brain import Brain
from chatdit.config import Settings
from chatdit.painter import LazyPainter
from chatdit.session import Session
from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
from chatdit.tools.dit.loading import PocketDefaults, save_pocket_folder
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.workshop import Workshop

WORDS = ("cat", "dog", "fox", "rocket", "beach", "moon", "on", "the", "a", "left", "of", "large", "medium")


@pytest.fixture(scope="session")
def painter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket folder with random weights: two steps, 64 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformer = FluxTransformer2DModel(
            in_channels=256,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=False,
            axes_dims_rope=(4, 6, 6),
        )
        narrow = AutoencoderConfig(
            encoder_widths=(8, 8), encoder_blocks=(1, 1), decoder_widths=(8, 8, 8), decoder_blocks=(1, 1, 1)
        )
        folder = tmp_path_factory.mktemp("painter") / "tiny"
        save_pocket_folder(
            folder,
            transformer,
            PocketAutoencoder(narrow),
            PocketTextEncoder(TextEncoderConfig(WORDS, width=32, layers=1, heads=2, max_tokens=64)),
            PocketDefaults(steps=2, guidance=2.0, shift=2.0, width=64, height=64, max_panels=4),
            quantize=False,
        )
    return folder


@pytest.fixture(scope="session")
def painter(painter_folder: Path) -> LazyPainter:
    """The tiny model, loaded once for all tests."""
    painter = LazyPainter(str(painter_folder), device="cpu")
    painter.dit()
    return painter


MakeSession = Callable[..., Session]


@pytest.fixture
def new_session(painter: LazyPainter, painter_folder: Path, tmp_path: Path) -> Iterator[MakeSession]:
    """Makes sessions, under one home unless told; other keywords are settings."""
    opened: list[Session] = []

    def make(
        *, resume: str | None = None, home: Path = tmp_path / "home", brain: Brain | None = None, **values: object
    ) -> Session:
        settings = Settings.model_validate({"model": str(painter_folder), "device": "cpu", **values})
        workshop = Workshop(settings, painter=painter, brain=brain)
        if resume is None:
            opened.append(Session(settings, home=home, workshop=workshop))
        else:
            opened.append(Session.resume(resume, settings, home=home, workshop=workshop))
        return opened[-1]

    yield make
    for session in opened:
        session.close()
