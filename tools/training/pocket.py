"""The whole training of pocket as stages that leave files: autoencoder, base, few-step, detector, export.

Every stage can run alone, in its own process, from what the earlier ones left in `out`:

    autoencoder/part-*.safetensors   base/part-*.safetensors   detector.safetensors   pocket/ (the folder to ship)
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeVar, get_args

import torch

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.layout import layout_width
from chatdit.tools.dit.loading import PocketDefaults, load_pocket_modules, save_pocket_folder
from chatdit.tools.dit.storage import save_weights
from chatdit.tools.pocket.detector import FILE, load_network
from chatdit.tools.pocket.scene import MAX_PANELS, PICTURE_PIXELS
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.autoencoder import SMALL_RECIPE as SMALL_AUTOENCODER_RECIPE
from chatdit.tools.training.autoencoder import AutoencoderRecipe, train_autoencoder
from chatdit.tools.training.base import SMALL_RECIPE as SMALL_BASE_RECIPE
from chatdit.tools.training.base import TEXT_WIDTH, TIME_SHIFT, BaseRecipe, PocketModel, build_model, train_base
from chatdit.tools.training.checkpoint import (
    checkpoint_shapes,
    forget_checkpoint,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from chatdit.tools.training.detector import SMALL_DETECTOR_RECIPE, DetectorRecipe, train_detector
from chatdit.tools.training.examples import GRID
from chatdit.tools.training.few_step import SMALL_FEW_STEP_RECIPE, FewStepRecipe, Method, train_few_step
from chatdit.tools.training.pooled import PoolRecipe
from chatdit.tools.training.team import Team, team, without_cudnn_attention
from chatdit.tools.training.words import with_words
from chatdit.tools.types import ToolError

Stage = Literal["autoencoder", "base", "few-step", "detector", "export"]
STAGES: tuple[Stage, ...] = get_args(Stage)
RecipeT = TypeVar("RecipeT", bound=PoolRecipe)
CHECK_STEPS = 10
FEW_STEPS = 4
DEFAULTS = PocketDefaults(
    steps=FEW_STEPS,
    guidance=2.0,
    shift=TIME_SHIFT,
    width=PICTURE_PIXELS,
    height=PICTURE_PIXELS,
    max_panels=MAX_PANELS,
    layout=True,
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
    start: str | None = None,
    pixels: int = PICTURE_PIXELS,
    method: Method = "imitation",
    rate: float = 1.0,
    check: bool = False,
) -> Path:
    """Run one stage for `minutes` and return what it wrote; `fresh` forgets an interrupted run of it.

    With `check` a stage ends after CHECK_STEPS small steps, which shows that it runs and trains nothing.

    `pixels` is the side of the pictures that the base learns, one of `examples.SIDES`; small ones come first, since
    they cost a quarter. `sitting` ends the base stage after so many minutes, to be gone on with by the same call.
    `method` is how few steps are learned. `rate` is a factor on the learning rates of all but the autoencoder: less
    than 1 for weights that are good already. `start` names a pocket model whose weights stages begin from that have
    nothing in `out` yet. Started by `torchrun`, its processes train the autoencoder and the base together, one GPU
    each. Appends what was done to `out/record.jsonl`: command, device, versions, minutes, seed.

    Raises:
        ToolError: an earlier stage's file is missing, or `start` is no pocket model.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    started = time.monotonic()
    with without_cudnn_attention(), team(device) as members:
        if members.leads:
            _prepare(out, stage, start, fresh)
        members.wait()
        result = _run(_Order(stage, out, minutes, sitting, pixels, method, rate, check, seed), members)
        if members.leads:
            options = "" if sitting is None else f" --sitting {sitting:g}"
            options += {"base": f" --pixels {pixels}", "few-step": f" --method {method}"}.get(stage, "")
            options += "" if rate == 1 else f" --rate {rate:g}"
            options += "" if start is None else f" --start {start}"
            _record(out, f"--stage {stage} --minutes {minutes:g}{options} --seed {seed}", started, members)
    return result


def load_autoencoder(out: Path) -> PocketAutoencoder:
    """The autoencoder that the first stage left in `out`."""
    folder, model = out / "autoencoder", PocketAutoencoder()
    if not has_checkpoint(folder):
        raise ToolError(f"no autoencoder at {folder}: run the stage 'autoencoder' with the same --out first")
    load_checkpoint(folder, model)
    return model.eval().requires_grad_(False)


def load_base(out: Path) -> PocketModel:
    """The base that its stage left in `out`."""
    model = build_model()
    if not has_checkpoint(out / "base"):
        raise ToolError(f"no checkpoint at {out / 'base'}: run the stage 'base' with the same --out first")
    load_checkpoint(out / "base", model)
    return model


def _prepare(out: Path, stage: Stage, start: str | None, fresh: bool) -> None:
    """Forget what a stage left, and put the weights of `start` where stages look for theirs."""
    if fresh and stage in _TRAINED:
        forget_checkpoint(out / stage)
    if fresh and stage == "detector":
        (out / FILE).unlink(missing_ok=True)
    if start is None:
        return
    modules = load_pocket_modules(start)
    if modules.transformer.config["out_channels"] not in (None, GRID.elements):
        raise ToolError(f"{start} is a model of few steps, which no stage goes on from: name one that is not distilled")
    if not has_checkpoint(out / "autoencoder"):
        save_checkpoint(out / "autoencoder", modules.autoencoder, 0, 0.0, torch.float16)
    if not has_checkpoint(out / "base"):
        taken, needed = int(modules.transformer.config["in_channels"]), GRID.elements + layout_width(TEXT_WIDTH)
        if taken != needed:
            raise ToolError(
                f"{start} takes {taken} channels, and the base takes {needed}: name one with layout channels"
            )
        text_encoder = with_words(modules.text_encoder, text_vocabulary())
        save_checkpoint(out / "base", PocketModel(text_encoder, modules.transformer, layout=True), 0, 0.0)


@dataclass(frozen=True)
class _Order:
    stage: Stage
    out: Path
    minutes: float
    sitting: float | None
    pixels: int
    method: Method
    rate: float
    check: bool
    seed: int


def _run(order: _Order, members: Team) -> Path:
    device, out = members.device, order.out
    if order.stage == "autoencoder":
        train_autoencoder(out, _autoencoder_recipe(order, device), team=members, seed=order.seed)
        return out / "autoencoder"
    autoencoder = load_autoencoder(out).to(device)
    if order.stage == "detector":
        path = out / FILE
        start = load_network(path) if path.exists() else None
        recipe = _detector_recipe(order, device)
        detector = train_detector(out, autoencoder, recipe, device=device, seed=order.seed, start=start)
        save_weights(path, detector.state_dict(), quantize=True)
        return path
    if order.stage == "base":
        train_base(out, autoencoder, _base_recipe(order, device), team=members, seed=order.seed)
        return out / "base"
    if order.stage == "few-step":
        train_few_step(out, load_base(out), autoencoder, _few_step_recipe(order, device), team=members, seed=order.seed)
        return out / "few-step"
    return _export(out, autoencoder.cpu())


def _autoencoder_recipe(order: _Order, device: torch.device) -> AutoencoderRecipe:
    recipe = AutoencoderRecipe() if device.type == "cuda" else SMALL_AUTOENCODER_RECIPE
    recipe = replace(recipe, minutes=order.minutes)
    return replace(recipe, steps=CHECK_STEPS, batch=4, checked=4, loaders=0) if order.check else recipe


def _base_recipe(order: _Order, device: torch.device) -> BaseRecipe:
    recipe = _ordered(BaseRecipe() if device.type == "cuda" else SMALL_BASE_RECIPE, order)
    return replace(recipe, pixels=order.pixels)


def _few_step_recipe(order: _Order, device: torch.device) -> FewStepRecipe:
    recipe = _ordered(FewStepRecipe() if device.type == "cuda" else SMALL_FEW_STEP_RECIPE, order)
    return replace(recipe, method=order.method)


def _ordered(recipe: RecipeT, order: _Order) -> RecipeT:
    recipe = replace(recipe, minutes=order.minutes, sitting=order.sitting)
    recipe = replace(recipe, matrix_rate=recipe.matrix_rate * order.rate, other_rate=recipe.other_rate * order.rate)
    if not order.check:
        return recipe
    few = {panels: 1 for panels in recipe.batches}
    return replace(recipe, steps=CHECK_STEPS, batches=few, pool=16, first=4, chunk=4, loaders=0)


def _detector_recipe(order: _Order, device: torch.device) -> DetectorRecipe:
    recipe = DetectorRecipe() if device.type == "cuda" else SMALL_DETECTOR_RECIPE
    recipe = replace(recipe, minutes=order.minutes, peak=recipe.peak * order.rate)
    return replace(recipe, steps=CHECK_STEPS, batch=4, chunk=8, checked=4, loaders=0) if order.check else recipe


def _export(out: Path, autoencoder: PocketAutoencoder) -> Path:
    model, defaults = load_base(out), DEFAULTS
    if has_checkpoint(out / "few-step"):
        made = checkpoint_shapes(out / "few-step")["transformer.proj_out.weight"][0]
        points = made // GRID.elements
        model = build_model(points=points)
        load_checkpoint(out / "few-step", model)
        horizon = FewStepRecipe().horizon if points > 1 else None
        defaults = replace(DEFAULTS, steps=FEW_STEPS, guidance=1.0, horizon=horizon)
    folder = out / "pocket"
    save_pocket_folder(folder, model.transformer, autoencoder, model.text_encoder, defaults, quantize=True)
    return folder


def _record(out: Path, options: str, started: float, members: Team) -> None:
    device = members.device
    name = f"CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = f"{members.size} x {torch.cuda.get_device_name(device)}"
    entry = {
        "command": f"chatdit train pocket {options}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": name,
        "seconds": round(time.monotonic() - started, 1),
        "versions": {"python": platform.python_version(), "torch": version("torch"), "diffusers": version("diffusers")},
    }
    with (out / "record.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


_TRAINED = ("autoencoder", "base", "few-step")
