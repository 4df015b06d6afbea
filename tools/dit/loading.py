"""Models from disk: the pocket folder, written and read here, and FLUX folders through diffusers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import nn

from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
from chatdit.tools.dit.codecs import (
    FluxTextCodec,
    ImageCodec,
    KLImageCodec,
    PocketImageCodec,
    PocketTextCodec,
    TextCodec,
)
from chatdit.tools.dit.folders import LIBRARIES, POCKET, SHA256, checked_digest, find_folder, fingerprint, read_json
from chatdit.tools.dit.layout import latent_part
from chatdit.tools.dit.memory import out_of_memory
from chatdit.tools.dit.packing import pack_factor
from chatdit.tools.dit.rows import SamplingDefaults
from chatdit.tools.dit.storage import load_weights, save_weights
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.types import ToolError

POCKET_CLASS = "PocketPipeline"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FLUX_CELLS = 128
FLUX_MAX_PANELS = 12

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ConfigT = TypeVar("ConfigT", AutoencoderConfig, TextEncoderConfig)


@dataclass(frozen=True)
class LoadedModel:
    """A model's parts, on the CPU unless said otherwise, and what to call it."""

    name: str
    weights_hash: str
    transformer: FluxTransformer2DModel
    images: ImageCodec
    text: TextCodec
    scheduler: Mapping[str, object]
    """The config of a FlowMatchEulerDiscreteScheduler."""
    defaults: SamplingDefaults


@dataclass(frozen=True)
class PocketDefaults:
    """What a pocket folder says of its best use; sides in pixels."""

    steps: int
    guidance: float
    shift: float
    width: int
    height: int
    max_panels: int
    horizon: float | None = None
    """Of a few-step model: see `SamplingDefaults`."""
    layout: bool = False
    """Whether image tokens bring layout channels beside their latent: see `tools/dit/layout.py`."""


def load_model(source: str | Path, dtype: torch.dtype) -> LoadedModel:
    """The model that "pocket", a diffusers folder or a hub id names.

    Raises:
        ToolError: it is not there, damaged, of another family, or holds pickle weights.
    """
    folder = find_folder(source)
    index = read_json(folder / "model_index.json")
    family = str(index.get("_class_name"))
    name = str(source) if str(source) == POCKET or not Path(source).is_dir() else folder.resolve().name
    try:
        if family == POCKET_CLASS:
            return _load_pocket(folder, index, name)
        if family.startswith("Flux"):
            return _load_flux(folder, index, name, dtype)
    except ToolError:
        raise
    except Exception as error:
        if out_of_memory(error):
            size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 2**20
            raise ToolError(
                f"{source}: too little memory to load its {size:.0f} MiB of weights; close other programs"
            ) from error
        # whatever a damaged folder makes the loaders raise, the person needs the folder and the reason
        raise ToolError(f"{source}: cannot load it ({_line(error)}); restore or replace the folder") from error
    raise ToolError(f"{source} holds a {family}; expected {POCKET_CLASS} or a FLUX.1 pipeline")


class PocketModules(NamedTuple):
    """The networks of a pocket model, in fp32 on the CPU."""

    transformer: FluxTransformer2DModel
    autoencoder: PocketAutoencoder
    text_encoder: PocketTextEncoder


def load_pocket_modules(source: str | Path) -> PocketModules:
    """The networks of "pocket" or of a pocket folder, to train on.

    Raises:
        ToolError: it is not there, damaged, or no pocket model.
    """
    folder = find_folder(source)
    index = read_json(folder / "model_index.json")
    family = index.get("_class_name")
    if family != POCKET_CLASS:
        raise ToolError(f"{source} holds a {family}; expected a {POCKET_CLASS}")
    modules = _pocket_modules(folder)
    checked_digest(folder, index)
    return modules


def save_pocket_folder(
    folder: Path,
    transformer: FluxTransformer2DModel,
    autoencoder: PocketAutoencoder,
    text_encoder: PocketTextEncoder,
    defaults: PocketDefaults,
    *,
    quantize: bool,
) -> None:
    """Write a pocket model that `load_model` reads; with `quantize`, matrices become int8."""
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": defaults.shift}
    usage = {key: value for key, value in asdict(defaults).items() if key != "shift" and value is not None}
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": POCKET_CLASS,
            "transformer": ["diffusers", "FluxTransformer2DModel"],
            "vae": ["chatdit.tools.dit.autoencoder", "PocketAutoencoder"],
            "text_encoder": ["chatdit.tools.dit.text_encoder", "PocketTextEncoder"],
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "defaults": usage,
        },
    )
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    config = {key: value for key, value in transformer.config.items() if not key.startswith("_")}
    parts: list[tuple[str, nn.Module, Mapping[str, object]]] = [
        ("transformer", transformer, {"_class_name": "FluxTransformer2DModel", **config}),
        ("vae", autoencoder, asdict(autoencoder.config)),
        ("text_encoder", text_encoder, asdict(text_encoder.config)),
    ]
    for part, module, settings in parts:
        _write_json(folder / part / "config.json", settings)
        save_weights(folder / part / WEIGHTS, module.state_dict(), quantize=quantize)
    index = read_json(folder / "model_index.json")
    _write_json(folder / "model_index.json", {**index, SHA256: fingerprint(folder)})


def _load_pocket(folder: Path, index: Mapping[str, object], name: str) -> LoadedModel:
    modules = _pocket_modules(folder)
    digest = checked_digest(folder, index)
    images, text = PocketImageCodec(modules.autoencoder), PocketTextCodec(modules.text_encoder)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    usage = PocketDefaults(shift=scheduler["shift"], **index["defaults"])  # type: ignore[arg-type]
    config = modules.transformer.config
    elements = latent_part(int(config["in_channels"]), modules.text_encoder.config.width, layout=usage.layout)
    _check_output(folder, elements, config["out_channels"], usage.horizon)
    return LoadedModel(
        name=name,
        weights_hash=digest,
        transformer=modules.transformer,
        images=images,
        text=text,
        scheduler=scheduler,
        defaults=SamplingDefaults(
            **asdict(usage),
            open_vocabulary=False,
            token_size=images.downscale * pack_factor(elements, images.latent_channels),
        ),
    )


def _check_output(folder: Path, taken: int, made: int | None, horizon: float | None) -> None:
    """Raises ToolError unless a model with a horizon gives several velocities, and one without gives one."""
    points = 1 if made is None else int(made) / taken
    if (horizon is None and points != 1) or (horizon is not None and (points < 2 or points % 1)):
        raise ToolError(
            f"{folder}: takes {taken} channels and makes {made} with a horizon of {horizon}; a few-step model has a "
            "horizon and makes a multiple, others have and make neither"
        )


def _pocket_modules(folder: Path) -> PocketModules:
    with torch.device("meta"):
        transformer = FluxTransformer2DModel.from_config(read_json(folder / "transformer" / "config.json"))
        autoencoder = PocketAutoencoder(_config(AutoencoderConfig, folder / "vae"))
        encoder = PocketTextEncoder(_config(TextEncoderConfig, folder / "text_encoder"))
    return PocketModules(
        _filled(cast(FluxTransformer2DModel, transformer), folder / "transformer" / WEIGHTS),
        _filled(autoencoder, folder / "vae" / WEIGHTS),
        _filled(encoder, folder / "text_encoder" / WEIGHTS),
    )


def _load_flux(folder: Path, index: Mapping[str, object], name: str, dtype: torch.dtype) -> LoadedModel:
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

    _check_flux(folder, index)
    pipeline = FluxPipeline.from_pretrained(
        str(folder),
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        low_cpu_mem_usage=find_spec("accelerate") is not None,
    )
    transformer, images = pipeline.transformer, KLImageCodec(pipeline.vae)
    distilled = bool(transformer.config["guidance_embeds"])
    text = FluxTextCodec(
        pipeline.text_encoder,
        pipeline.tokenizer,
        pipeline.text_encoder_2,
        pipeline.tokenizer_2,
        max_tokens=512 if distilled else 256,
    )
    side = FLUX_CELLS * images.downscale
    return LoadedModel(
        name=name,
        weights_hash=fingerprint(folder),
        transformer=transformer,
        images=images,
        text=text,
        scheduler=dict(pipeline.scheduler.config),
        defaults=SamplingDefaults(
            steps=28 if distilled else 4,
            guidance=3.5 if distilled else 1.0,
            shift=None,
            width=side,
            height=side,
            max_panels=FLUX_MAX_PANELS,
            open_vocabulary=True,
            token_size=images.downscale * pack_factor(int(transformer.config["in_channels"]), images.latent_channels),
        ),
    )


def _check_flux(folder: Path, index: Mapping[str, object]) -> None:
    """Raises ToolError if a part is missing or foreign, or the transformer wants more than noisy tokens."""
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler"):
        entry = index.get(part)
        if not (isinstance(entry, list) and entry[0] in LIBRARIES):
            raise ToolError(f"{folder}: {part} is {entry}; a FLUX.1 folder needs it from one of {', '.join(LIBRARIES)}")
    config = read_json(folder / "transformer" / "config.json")
    if config.get("_class_name") != "FluxTransformer2DModel":
        raise ToolError(f"{folder}: the transformer is a {config.get('_class_name')}; expected FluxTransformer2DModel")
    taken, made = config.get("in_channels"), config.get("out_channels")
    if made is not None and made != taken:
        raise ToolError(f"{folder}: takes {taken} channels and makes {made} (Fill, Control); expected a model without")


def _filled(module: ModuleT, path: Path) -> ModuleT:
    """A module built on the meta device, with the weights of a file."""
    module.load_state_dict(load_weights(path), strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _config(kind: Callable[..., ConfigT], part: Path) -> ConfigT:
    """The dataclass in a part's config.json; an unknown key is an error."""
    settings = read_json(part / "config.json")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
