"""The whole training of pocket as stages that leave files: autoencoder, base, recogniser, export.

Every stage can run alone, in its own process, from what the earlier ones left in `out`:

    autoencoder.safetensors   base/part-*.safetensors   recogniser.safetensors   pocket/ (the folder to ship)
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors.torch import load_file, save_file

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.loading import PocketDefaults, save_pocket_folder
from chatdit.tools.dit.storage import save_weights
from chatdit.tools.pocket.scene import MAX_PANELS, PICTURE_PIXELS
from chatdit.tools.training.autoencoder import SMALL_RECIPE as SMALL_AUTOENCODER_RECIPE
from chatdit.tools.training.autoencoder import AutoencoderRecipe, train_autoencoder
from chatdit.tools.training.base import SMALL_RECIPE as SMALL_BASE_RECIPE
from chatdit.tools.training.base import TIME_SHIFT, BaseRecipe, build_model, train_base
from chatdit.tools.training.checkpoint import load_checkpoint
from chatdit.tools.training.recogniser import train_recogniser
from chatdit.tools.training.team import Team, team
from chatdit.tools.types import ToolError

Stage = Literal["autoencoder", "base", "recogniser", "export"]
STAGES: tuple[Stage, ...] = get_args(Stage)
DEFAULTS = PocketDefaults(
    steps=8, guidance=3.0, shift=TIME_SHIFT, width=PICTURE_PIXELS, height=PICTURE_PIXELS, max_panels=MAX_PANELS
)


def train_pocket(
    stage: Stage,
    out: Path,
    *,
    minutes: float,
    device: torch.device,
    seed: int,
    fresh: bool,
    sitting: float | None = None,
) -> Path:
    """Run one stage for `minutes` and return what it wrote; `fresh` forgets an interrupted run of it.

    `sitting` ends the base stage after so many minutes, to be gone on with by the same call. Started by
    `torchrun`, its processes train the autoencoder and the base together, one GPU each. Appends what was
    done to `out/record.jsonl`: command, device, versions, minutes, seed.

    Raises:
        ToolError: an earlier stage's file is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    if device.type == "cuda":
        # its backward under compile has hit an illegal memory access
        torch.backends.cuda.enable_cudnn_sdp(False)
    started = time.monotonic()
    with team(device) as members:
        result = _run(stage, out, minutes, sitting, members, seed, fresh)
        if members.leads:
            _record(out, stage, minutes, time.monotonic() - started, members, seed)
    return result


def load_autoencoder(out: Path) -> PocketAutoencoder:
    """The autoencoder that the first stage left in `out`."""
    path = out / "autoencoder.safetensors"
    if not path.is_file():
        raise ToolError(f"no autoencoder at {path}: run the stage 'autoencoder' with the same --out first")
    model = PocketAutoencoder()
    model.load_state_dict(load_file(path))
    return model.eval().requires_grad_(False)


def _run(stage: Stage, out: Path, minutes: float, sitting: float | None, members: Team, seed: int, fresh: bool) -> Path:
    device = members.device
    on_gpu = device.type == "cuda"
    if stage == "autoencoder":
        recipe = replace(AutoencoderRecipe() if on_gpu else SMALL_AUTOENCODER_RECIPE, minutes=minutes)
        path = out / "autoencoder.safetensors"
        weights = train_autoencoder(out, recipe, team=members, seed=seed).state_dict()
        if members.leads:
            save_file({k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in weights.items()}, path)
        return path
    autoencoder = load_autoencoder(out).to(device)
    if stage == "recogniser":
        path = out / "recogniser.safetensors"
        network = train_recogniser(
            out, autoencoder, minutes=minutes, device=device, seed=seed, loaders=4 if on_gpu else 0
        )
        save_weights(path, network.state_dict(), quantize=True)
        return path
    if stage == "base":
        if fresh and members.leads:
            (out / "base" / "progress.json").unlink(missing_ok=True)
        recipe_ = replace(BaseRecipe() if on_gpu else SMALL_BASE_RECIPE, minutes=minutes, sitting=sitting)
        train_base(out, autoencoder, recipe_, team=members, seed=seed)
        return out / "base"
    return _export(out, autoencoder.cpu())


def _export(out: Path, autoencoder: PocketAutoencoder) -> Path:
    model = build_model()
    if not load_checkpoint(out / "base", model).step:
        raise ToolError(f"no checkpoint at {out / 'base'}: run the stage 'base' with the same --out first")
    folder = out / "pocket"
    save_pocket_folder(folder, model.transformer, autoencoder, model.text_encoder, DEFAULTS, quantize=True)
    return folder


def _record(out: Path, stage: Stage, minutes: float, seconds: float, members: Team, seed: int) -> None:
    device = members.device
    name = f"CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = f"{members.size} x {torch.cuda.get_device_name(device)}"
    entry = {
        "command": f"chatdit train pocket --stage {stage} --minutes {minutes:g} --seed {seed}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": name,
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version(), "torch": version("torch"), "diffusers": version("diffusers")},
    }
    with (out / "record.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
