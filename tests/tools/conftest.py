"""A tiny real painter, a recording painter with the same methods, and a store."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Row, SampledRow, SamplingDefaults, SamplingOptions
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Progress, ProgressCallback

POCKET_LIKE = SamplingDefaults(
    steps=8, guidance=3.0, shift=2.0, width=256, height=256, max_panels=4, open_vocabulary=False, token_size=32
)
FLUX_LIKE = SamplingDefaults(
    steps=28, guidance=3.5, shift=None, width=1024, height=1024, max_panels=12, open_vocabulary=True, token_size=16
)


@dataclass
class RecordingDiT:
    """Keeps what it was asked and paints each unknown segment in one colour of its row's seed."""

    defaults: SamplingDefaults = POCKET_LIKE
    name: str = "recorder"
    weights_hash: str = "f" * 64
    device: str = "cpu"
    longest: int = 40
    rows: list[Row] = field(default_factory=list)
    options: list[SamplingOptions] = field(default_factory=list)
    takes_plans: bool = False
    plans: list[AttentionPlan | None] = field(default_factory=list)
    paint: Callable[[Row, int], torch.Tensor] | None = None

    def unknown_words(self, caption: str) -> tuple[str, ...]:
        squares = re.findall(r"\[\d+[xr]\d+\]", caption)
        return (*(word for word in caption.split() if word.startswith("xy")), *squares)

    def token_report(self, caption: str) -> tuple[int, int]:
        tokens = len(caption.split())
        return tokens, max(0, tokens - self.longest)

    def sample(
        self,
        rows: Sequence[Row],
        plan: AttentionPlan | None,
        sampling: SamplingOptions,
        progress: ProgressCallback,
    ) -> list[SampledRow]:
        assert plan is None or self.takes_plans
        self.plans.append(plan)
        self.rows += rows
        self.options.append(sampling)
        steps = sampling.steps or self.defaults.steps
        for step in range(1, steps + 1):
            progress(Progress("sample", step, steps))
        return [SampledRow(tuple(self._picture(row, i) for i in range(len(row.segments)))) for row in rows]

    def _picture(self, row: Row, index: int) -> torch.Tensor:
        segment = row.segments[index]
        if segment.known is not None:
            return segment.known / 2 + 0.5
        if self.paint is not None:
            return self.paint(row, index)
        level = ((row.seed * 7 + index * 40) % 256) / 255
        return torch.full((3, segment.height, segment.width), level)

    def context(self, store: ArtifactStore, progress: ProgressCallback = lambda _: None) -> RunContext:
        return RunContext(dit=lambda: cast(DiT, self), store=store, progress=progress)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def pocket_like() -> RecordingDiT:
    return RecordingDiT()


@pytest.fixture
def flux_like() -> RecordingDiT:
    return RecordingDiT(replace(FLUX_LIKE, width=256, height=256), longest=400)


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> DiT:
    """A real pocket model with random weights, three steps, pictures of 64 pixels."""
    return DiT.load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `tiny` is loaded from."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
    from chatdit.tools.dit.loading import PocketDefaults, save_pocket_folder
    from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig

    torch.manual_seed(0)
    words = (*[f"[panel{i}]" for i in range(1, 5)], "cat", "dog", "fox", "on", "moon", "beach", "subject", "red")
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_pocket_folder(
        folder,
        FluxTransformer2DModel(
            in_channels=256,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=False,
            axes_dims_rope=(4, 6, 6),
        ),
        PocketAutoencoder(
            AutoencoderConfig(
                encoder_widths=(8, 8), encoder_blocks=(1, 1), decoder_widths=(8, 8, 8), decoder_blocks=(1, 1, 1)
            )
        ),
        PocketTextEncoder(TextEncoderConfig(words, width=32, layers=1, heads=2, max_tokens=16)),
        PocketDefaults(steps=3, guidance=3.0, shift=2.0, width=64, height=64, max_panels=4),
        quantize=False,
    )
    return folder


@pytest.fixture(scope="session")
def pocket() -> DiT:
    """The model that ships."""
    return DiT.load("pocket", device="cpu")


@pytest.fixture(scope="session")
def fox_and_cat() -> Image.Image:
    """A fox left of a cat on the beach, 256 x 256, as the world draws them."""
    fox, cat = Placement("fox", None, 20, 130, 80), Placement("cat", None, 150, 120, 90)
    scene = Scene((Thing("fox"), Thing("cat")), "beach")
    return to_image(Renderer().pictures_of([scene], [(fox, cat)], random.Random(1))[0])
