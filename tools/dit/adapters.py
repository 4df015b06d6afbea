"""LoRA adapters in the transformer (arXiv 2106.09685): read from a file, put in by PEFT, on for one call alone.

With none on, PEFT's layers hand on what the layer below computes, so that pictures stay what they were to the bit.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from chatdit.tools.types import ToolError

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

PREFIX = "transformer"
_MOST_LOADED = 4
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class AdapterUse:
    """A LoRA file, and how much of it is added: 1.0 is as it was trained."""

    file: Path
    strength: float = 1.0


@dataclass(frozen=True)
class LoraWeights:
    """Matrices by diffusers' names, `transformer.<module>.lora_A.weight` (r, in) and `lora_B.weight` (out, r)."""

    tensors: Mapping[str, Tensor]
    alphas: Mapping[str, float]
    """By which strength is divided by r; modules that are not named have their rank."""

    @property
    def rank(self) -> int:
        """The largest of any module."""
        return max(tensor.shape[0] for name, tensor in self.tensors.items() if name.endswith(_DOWN))


def read_lora(path: Path) -> LoraWeights:
    """A LoRA of FLUX's transformer, in the names of diffusers, kohya, XLabs or fal.

    Raises:
        ToolError: it is not there, no safetensors file, or holds no LoRA of a transformer.
    """
    from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin

    if path.suffix != ".safetensors" or not path.is_file():
        raise ToolError(f"no LoRA at {path}: expected a .safetensors file")
    try:
        found = FluxLoraLoaderMixin.lora_state_dict(
            str(path.parent), weight_name=path.name, local_files_only=True, use_safetensors=True, return_alphas=True
        )
    except Exception as error:  # the loaders raise whatever a damaged file makes them
        raise ToolError(f"{path}: cannot read it as a LoRA ({_line(error)}); download or train it again") from error
    tensors, alphas = found[0], found[1] or {}
    named = {name: value for name, value in tensors.items() if name.startswith(PREFIX + ".")}
    whole = {name for name in named if name.endswith(_DOWN) and name.removesuffix(_DOWN) + _UP in named}
    if not whole:
        raise ToolError(
            f"{path} holds no LoRA of a FLUX transformer; its first tensor is {next(iter(tensors), 'none')}"
        )
    return LoraWeights(named, {name: float(value) for name, value in alphas.items()})


class Adapters:
    """The LoRA files that a transformer has been given; the ones used last stay loaded."""

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        self._transformer = transformer
        self._loaded: dict[tuple[Path, int], str] = {}
        self._made = 0

    @contextmanager
    def on(self, use: AdapterUse | None) -> Iterator[None]:
        """The transformer with the adapter for the while, and without any after it, whatever happens.

        Raises:
            ToolError: the file is no LoRA of this transformer.
        """
        if use is None:
            yield
            return
        name = self._load(use.file)
        self._transformer.set_adapters([name], [use.strength])
        self._transformer.enable_adapters()
        try:
            yield
        finally:
            self._transformer.disable_adapters()

    def _load(self, file: Path) -> str:
        key = file.resolve(), file.stat().st_mtime_ns if file.is_file() else 0
        if key in self._loaded:
            self._loaded[key] = self._loaded.pop(key)
            return self._loaded[key]
        weights = read_lora(file)
        _check(self._transformer, weights, file)
        while len(self._loaded) >= _MOST_LOADED:
            self._transformer.delete_adapters(self._loaded.pop(next(iter(self._loaded))))
        self._made += 1
        name = f"lora_{self._made}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            self._transformer.load_lora_adapter(
                dict(weights.tensors), prefix=PREFIX, adapter_name=name, network_alphas=dict(weights.alphas) or None
            )
        self._transformer.disable_adapters()
        self._loaded[key] = name
        return name


def _check(transformer: nn.Module, weights: LoraWeights, file: Path) -> None:
    """Raises ToolError unless every matrix belongs to a layer of the transformer and fits it."""
    layers = {re.sub(r"\.base_layer$", "", name): layer for name, layer in transformer.named_modules()}
    layers |= {name: getattr(layer, "base_layer", layer) for name, layer in layers.items()}
    for name, value in weights.tensors.items():
        layer = layers.get(name.removeprefix(PREFIX + ".").removesuffix(_DOWN).removesuffix(_UP))
        if not isinstance(layer, nn.Linear):
            raise ToolError(f"{file}: it changes {name}, which this painter does not have; it is of another model")
        axis, side = (1, layer.in_features) if name.endswith(_DOWN) else (0, layer.out_features)
        if value.dim() != 2 or value.shape[axis] != side:
            raise ToolError(f"{file}: {name} is {tuple(value.shape)}, and the layer has {side}; it is of another model")


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
