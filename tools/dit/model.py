"""The DiT that every tool draws with: load it once, then sample rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from chatdit.tools.dit.adapters import Adapters
from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.layout import latent_part
from chatdit.tools.dit.loading import LoadedModel, load_model
from chatdit.tools.dit.packing import Grid, pack_factor
from chatdit.tools.dit.precision import to_precision
from chatdit.tools.dit.processor import install_processors
from chatdit.tools.dit.rows import Row, SampledRow, SamplingDefaults, SamplingOptions, Segment
from chatdit.tools.dit.sampler import Painter, Report, Settings, sample_rows
from chatdit.tools.types import ToolError

__all__ = ["DiT", "Row", "SampledRow", "SamplingDefaults", "SamplingOptions", "Segment"]

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


class DiT:
    """A loaded diffusion transformer with its codecs; `sample` is the only way to the transformer.

    Calls share nothing but the weights: a call that is cancelled or fails leaves no trace.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device, dtype: torch.dtype) -> None:
        """Moves the parts of `loaded` to `device` and `dtype` and installs the attention processors."""
        self.name = loaded.name
        self.weights_hash = loaded.weights_hash
        self.device = device
        self.dtype = dtype
        self.transformer = loaded.transformer.eval()
        self.text = loaded.text
        self.images = loaded.images
        self.defaults: SamplingDefaults = loaded.defaults
        to_precision(self.transformer, device, dtype)
        self.images.to(device, dtype)
        self.text.to(device, dtype)
        channels = self.images.latent_channels
        taken, width = (int(self.transformer.config[name]) for name in ("in_channels", "joint_attention_dim"))
        elements = latent_part(taken, width, layout=self.defaults.layout)
        grid = Grid(self.images.downscale, pack_factor(elements, channels), channels)
        layers = install_processors(self.transformer)
        self._adapters = Adapters(self.transformer)
        self._painter = Painter(
            self.transformer,
            self.images,
            self.text,
            loaded.scheduler,
            grid,
            layers,
            device=device,
            dtype=dtype,
            horizon=self.defaults.horizon,
            layout=self.defaults.layout,
        )

    @classmethod
    def load(cls, source: str | Path = "pocket", *, device: str = "auto", dtype: str = "auto") -> DiT:
        """The model that "pocket", a diffusers folder or a hub id (owner/name) names.

        Only a hub id may touch the network. "auto" is the GPU if there is one, in bfloat16, else
        the CPU in float32.

        Raises:
            ToolError: unknown model, device or dtype, damaged folder, or pickle weights.
        """
        place = _device(device)
        precision = _dtype(dtype, place)
        return cls(load_model(source, precision), place, precision)

    @property
    def painter(self) -> Painter:
        """The parts, for training an adapter on them; drawing goes through `sample`."""
        return self._painter

    @property
    def layers(self) -> int:
        """Attention layers: double-stream blocks first, then single-stream blocks."""
        return self._painter.layers

    @property
    def token_size(self) -> int:
        """Pixels on a token's side; widths and heights must be multiples of it."""
        return self._painter.grid.token_size

    def unknown_words(self, caption: str) -> tuple[str, ...]:
        """Words of `caption` that mean nothing to the text encoder, in order; none for FLUX."""
        return self.text.report(caption).unknown

    def token_report(self, caption: str) -> tuple[int, int]:
        """How many tokens `caption` has, and how many of them do not fit and are cut off."""
        report = self.text.report(caption)
        return report.tokens, report.truncated

    @torch.no_grad()
    def sample(
        self,
        rows: Sequence[Row],
        plan: AttentionPlan | None = None,
        sampling: SamplingOptions = SamplingOptions(),  # noqa: B008 - frozen
        progress: Report | None = None,
    ) -> list[SampledRow]:
        """The pictures of each row, in order.

        Rows of one token count run as a batch; rows that `plan` links always share a forward. A
        row's pictures depend on its seed and not on its company. A sparse policy in `sampling`
        computes the calls that `plan` leaves alone where it pays, and each row says what became of
        it. `progress` hears of each step ("prepare", "sample", "decode"); whatever it raises ends
        the call.

        Raises:
            ToolError: a row, the plan, an option or an adapter does not fit the model.
        """
        settings = _settings(sampling, self.defaults)
        with self._adapters.on(sampling.adapter):
            return sample_rows(self._painter, rows, plan, settings, progress)


def _settings(sampling: SamplingOptions, defaults: SamplingDefaults) -> Settings:
    steps = defaults.steps if sampling.steps is None else sampling.steps
    guidance = defaults.guidance if sampling.guidance is None else sampling.guidance
    if steps < 1:
        raise ToolError(f"steps is {steps}; at least 1 is needed")
    if guidance < 0:
        raise ToolError(f"guidance is {guidance}; it must not be negative")
    if sampling.shift is not None and sampling.shift <= 0:
        raise ToolError(f"shift is {sampling.shift}; it must be positive")
    shift = defaults.shift if sampling.shift is None else sampling.shift
    return Settings(steps, guidance, shift, sampling.given, sampling.preview, sampling.attention)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ToolError(f"device is {name!r}; expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ToolError(f"device is {name!r}; there are {torch.cuda.device_count()} CUDA devices: use auto or cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ToolError(f"dtype is {name!r}; expected auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]
