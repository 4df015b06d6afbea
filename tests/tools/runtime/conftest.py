"""Seven architectures as tiny models with random weights, and a call of each.

Each call is of two batch entries; grids have 64 tokens or more. Sequences are text and grid in the order of
the architecture.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

TEXT = 6
BATCH = 2


@dataclass(frozen=True)
class Case:
    """A model, its arguments, and what its sequences are like; `passed` calls are none of a policy's business."""

    name: str
    build: Callable[[], Any]
    arguments: Callable[[], dict[str, Any]]
    grid: tuple[int, int, int]
    text: tuple[int, int] | None
    routed: int
    passed: int = 0
    dispatches: bool = True

    def model(self) -> Any:
        """The model, always with the same weights, in eval mode."""
        return copy.deepcopy(_built(self.name))

    def output(self, model: Any, **other: Any) -> Tensor:
        """What the model answers to the case's arguments, some of them replaced."""
        answer: Tensor = model(**{**self.arguments(), **other}, return_dict=False)[0]
        return answer

    @property
    def tokens(self) -> int:
        """Tokens of its sequence."""
        frames, height, width = self.grid
        return frames * height * width + (self.text[1] - self.text[0] if self.text else 0)


@functools.cache
def _built(name: str) -> Any:
    torch.manual_seed(0)
    model = CASES[name].build().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # so that attention matters for the output
            if parameter.dim() > 1:
                parameter.mul_(1.5)
    return model


def _draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _times() -> Tensor:
    return torch.full((BATCH,), 0.5)


def raster_ids(height: int, width: int, panels: int = 1) -> Tensor:
    """Position ids (N, 3) of panels one after the other."""
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in (panels, height, width)), indexing="ij")
    return torch.stack(axes, dim=-1).view(-1, 3)


def _flux() -> Any:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    return FluxTransformer2DModel(
        in_channels=8, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=24, pooled_projection_dim=24, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip


def _flux_arguments() -> dict[str, Any]:
    return {
        "hidden_states": _draw(BATCH, 128, 8), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "pooled_projections": _draw(BATCH, 24, seed=3), "timestep": _times(), "img_ids": raster_ids(8, 16),
        "txt_ids": torch.zeros(TEXT, 3),
    }  # fmt: skip


def _sd3() -> Any:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=3, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=24, caption_projection_dim=64, pooled_projection_dim=24, out_channels=4,
        pos_embed_max_size=16, dual_attention_layers=(0,),
    )  # fmt: skip


def _sd3_arguments() -> dict[str, Any]:
    return {
        "hidden_states": _draw(BATCH, 4, 16, 24), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "pooled_projections": _draw(BATCH, 24, seed=3), "timestep": _times(),
    }  # fmt: skip


def _wan() -> Any:
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=32, in_channels=4, out_channels=4,
        text_dim=24, freq_dim=16, ffn_dim=48, num_layers=2, rope_max_seq_len=32,
    )  # fmt: skip


def _wan_arguments() -> dict[str, Any]:
    return {
        "hidden_states": _draw(BATCH, 4, 3, 12, 16), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "timestep": _times(),
    }  # fmt: skip


def _qwen() -> Any:
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        patch_size=2, in_channels=8, out_channels=2, num_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=24, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip


def _qwen_arguments() -> dict[str, Any]:
    mask = torch.ones(BATCH, TEXT, dtype=torch.bool)
    mask[1, 2:4] = False  # a hole, not a suffix: any pattern is allowed
    mask[1, 5:] = False
    return {
        "hidden_states": _draw(BATCH, 128, 8), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "encoder_hidden_states_mask": mask, "timestep": _times(), "img_shapes": [[(1, 8, 16)]] * BATCH,
    }  # fmt: skip


def _hunyuan() -> Any:
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel

    return HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=32, num_layers=1,
        num_single_layers=1, num_refiner_layers=1, patch_size=2, patch_size_t=1, guidance_embeds=False,
        text_embed_dim=24, pooled_projection_dim=24, rope_axes_dim=(8, 12, 12),
    )  # fmt: skip


def _hunyuan_arguments() -> dict[str, Any]:
    mask = torch.ones(BATCH, TEXT, dtype=torch.int64)
    mask[1, 3:] = 0
    return {
        "hidden_states": _draw(BATCH, 4, 3, 12, 16), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "encoder_attention_mask": mask, "pooled_projections": _draw(BATCH, 24, seed=3),
        "timestep": torch.full((BATCH,), 500),
    }  # fmt: skip


def _cogvideox() -> Any:
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=32, in_channels=4, out_channels=4, time_embed_dim=8,
        text_embed_dim=24, num_layers=2, sample_width=16, sample_height=12, sample_frames=9, patch_size=2,
        temporal_compression_ratio=4, max_text_seq_length=TEXT,
    )  # fmt: skip


def _cogvideox_arguments() -> dict[str, Any]:
    return {
        "hidden_states": _draw(BATCH, 3, 4, 12, 16), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "timestep": torch.full((BATCH,), 500),
    }  # fmt: skip


def _ltx() -> Any:
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel

    return LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=32, cross_attention_dim=64,
        num_layers=2, caption_channels=24,
    )  # fmt: skip


def _ltx_arguments() -> dict[str, Any]:
    mask = torch.ones(BATCH, TEXT, dtype=torch.int64)
    mask[1, 4:] = 0
    return {
        "hidden_states": _draw(BATCH, 144, 8), "encoder_hidden_states": _draw(BATCH, TEXT, 24, seed=2),
        "timestep": torch.full((BATCH,), 500), "encoder_attention_mask": mask, "num_frames": 3, "height": 6,
        "width": 8,
    }  # fmt: skip


CASES = {
    case.name: case
    for case in (
        Case("flux", _flux, _flux_arguments, (1, 8, 16), (0, TEXT), routed=4),
        # two joint calls and one over the picture alone, of the block with two attentions
        Case("sd3", _sd3, _sd3_arguments, (1, 8, 12), (96, 96 + TEXT), routed=4, dispatches=False),
        Case("wan", _wan, _wan_arguments, (3, 6, 8), None, routed=2, passed=2),
        Case("qwen", _qwen, _qwen_arguments, (1, 8, 16), (0, TEXT), routed=2),
        Case("hunyuan", _hunyuan, _hunyuan_arguments, (3, 6, 8), (144, 144 + TEXT), routed=2, passed=1),
        Case("cogvideox", _cogvideox, _cogvideox_arguments, (3, 6, 8), (0, TEXT), routed=2, dispatches=False),
        Case("ltx", _ltx, _ltx_arguments, (3, 6, 8), None, routed=2, passed=2),
    )
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Each architecture in turn."""
    return CASES[request.param]


@pytest.fixture
def cases() -> dict[str, Case]:
    """All of them by name."""
    return CASES
