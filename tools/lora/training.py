"""Train an In-Context LoRA (arXiv 2410.23775): low-rank changes of the blocks, on a few sets of one kind.

A set goes through the transformer as it will be drawn: separate segments for pocket, cells of one canvas for FLUX.
The loss is flow matching over the panels that are not given; panels that the card allows are given in a share of the
rows, so that known panels can be kept and others drawn. Everything but the LoRA stands still, text and latents are
computed once.

Layout legend: B rows of a step, N image tokens, E elements of a token.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.codecs import EncodedText, TextCodec
from chatdit.tools.dit.forward import Forward
from chatdit.tools.dit.model import DiT, Row
from chatdit.tools.dit.painter import Painter, Settings
from chatdit.tools.dit.row_tokens import row_tokens
from chatdit.tools.ic_lora import panel_row
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.samples import LoraSample
from chatdit.tools.lora.shelf import CARD, WEIGHTS
from chatdit.tools.training.base import training_times
from chatdit.tools.training.schedule import Clock, RunLog, rate
from chatdit.tools.types import ToolError

ADAPTER = "ic_lora"
TARGETS = (
    r".*transformer_blocks\.\d+\."
    r"(attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)|ff(_context)?\.net\.(0\.proj|2)|proj_mlp|proj_out)"
)
"""The matrices of FLUX's blocks, double and single."""
_LOG_EVERY, _SAVE_EVERY = 10, 50
_PARTIAL, _PROGRESS = "partial.safetensors", "progress.json"


@dataclass(frozen=True)
class LoraRecipe:
    """How an In-Context LoRA is trained; its scale is 1 (alpha is the rank)."""

    rank: int = 16
    steps: int = 400
    batch: int = 4
    rate: float = 1e-3
    warmup: int = 20
    flat: float = 0.5
    given_share: float = 0.5
    """Of the rows: in how many some of the card's given panels are shown, if it has any."""
    empty_share: float = 0.1
    """Of the rows: how many learn without words, as the pass does that guidance goes away from."""


def train_lora(
    dit: DiT,
    card: LoraCard,
    samples: Sequence[LoraSample],
    out: Path,
    recipe: LoraRecipe,
    *,
    seed: int,
    fresh: bool = False,
    report: Callable[[int, int, float], None] = lambda step, total, loss: None,
) -> Path:
    """Train for the recipe's steps, or go on with an interrupted run in `out`; the folder that holds LoRA and card.

    `report` hears of each step: how many are done, of how many, and the loss. The DiT is for drawing no more.

    Raises:
        ToolError: the card is of another family than the painter, or the painter is one of few steps.
    """
    _check(dit, card)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    tokens = [_clean_tokens(dit, card, sample) for sample in samples]
    rows = [panel_row(dit, card, range(1, card.panels + 1), sample.captions, {}) for sample in samples]
    parameters = _inject(dit, recipe)
    state = _State(out, parameters, seed, recipe, len(samples))
    first = 0 if fresh else state.restore()
    optimiser = torch.optim.AdamW(list(parameters.values()), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.0)
    painter = replace(dit.painter, text=_Remembered(dit.painter.text))
    settings = Settings(1, 1.0, dit.defaults.shift, "clean", preview=False)
    order, log = random.Random(f"{seed}-{first}"), RunLog(out / "log.jsonl", spoken=False)
    generator = torch.Generator().manual_seed(seed + first)
    started = time.monotonic()
    for step, share in Clock(0, steps=recipe.steps).ticks(first):
        chosen = [order.randrange(len(samples)) for _ in range(recipe.batch)]
        batch = [_worded(rows[i], order.random() < recipe.empty_share) for i in chosen]
        given = torch.stack([_given(rows[i], dit, card, recipe, order) for i in chosen]).to(dit.device)
        loss = _loss(painter, batch, torch.stack([tokens[i] for i in chosen]), given, settings, generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * rate(share, step - first, recipe.warmup, recipe.flat)
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        optimiser.step()
        report(step + 1, recipe.steps, loss.item())
        if (step + 1) % _LOG_EVERY == 0:
            log.write(step=step + 1, seconds=round(time.monotonic() - started, 1), loss=round(loss.item(), 5))
        if (step + 1) % _SAVE_EVERY == 0:
            state.keep(step + 1)
    _finish(dit, card, recipe, parameters, out, seed=seed, samples=len(samples), seconds=time.monotonic() - started)
    state.forget()
    return out


class _Remembered:
    """A text codec that encodes each caption once."""

    def __init__(self, codec: TextCodec) -> None:
        self._known: dict[tuple[str, int], EncodedText] = {}
        self._codec, self.squares, self.report, self.to = codec, codec.squares, codec.report, codec.to

    def encode(self, captions: Sequence[str], panels: Sequence[int]) -> list[EncodedText]:
        asked = list(zip(captions, panels, strict=True))
        new = [pair for pair in dict.fromkeys(asked) if pair not in self._known]
        if new:
            encoded = self._codec.encode([text for text, _ in new], [count for _, count in new])
            self._known |= dict(zip(new, encoded, strict=True))
        return [self._known[pair] for pair in asked]


class _State:
    """What an interrupted run left: the LoRA so far, and what it was of."""

    def __init__(self, out: Path, parameters: dict[str, Tensor], seed: int, recipe: LoraRecipe, samples: int) -> None:
        self._out, self._parameters = out, parameters
        self._run = {"seed": seed, "samples": samples, **asdict(recipe)}

    def restore(self) -> int:
        """The steps done, 0 where nothing was left or something else was trained."""
        try:
            told = json.loads((self._out / _PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        if told.get("run") != self._run:
            return 0
        with torch.no_grad():
            for name, value in load_file(self._out / _PARTIAL).items():
                self._parameters[name].copy_(value)
        return int(told["step"])

    def keep(self, step: int) -> None:
        save_file({n: p.detach().cpu().contiguous() for n, p in self._parameters.items()}, self._out / _PARTIAL)
        (self._out / _PROGRESS).write_text(json.dumps({"step": step, "run": self._run}) + "\n", encoding="utf-8")

    def forget(self) -> None:
        for name in (_PROGRESS, _PARTIAL):
            (self._out / name).unlink(missing_ok=True)


def _check(dit: DiT, card: LoraCard) -> None:
    family = "flux" if dit.defaults.open_vocabulary else "pocket"
    if card.family != family:
        raise ToolError(
            f"the card of {card.name} says it is for {card.family}, and {dit.name} is of {family}: change one"
        )
    if dit.defaults.horizon is not None:
        raise ToolError(
            f"{dit.name} is a model of few steps, which no LoRA is trained on: name one that is not distilled"
        )


def _inject(dit: DiT, recipe: LoraRecipe) -> dict[str, Tensor]:
    """Puts a fresh LoRA in; its matrices, in float32, by diffusers' names."""
    from peft import LoraConfig

    config = LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=TARGETS)
    dit.transformer.add_adapter(config, adapter_name=ADAPTER)
    dit.transformer.enable_adapters()
    found = {}
    for name, parameter in dit.transformer.named_parameters():
        if f".{ADAPTER}." in name:
            parameter.data = parameter.data.float()
            found["transformer." + name.replace(f".{ADAPTER}", "")] = parameter.requires_grad_(True)
    return found


@torch.no_grad()
def _clean_tokens(dit: DiT, card: LoraCard, sample: LoraSample) -> Tensor:
    """The tokens (N, E) of a sample's pictures, fitted to the panels."""
    given = dict(enumerate(sample.pictures, start=1))
    row = panel_row(dit, card, tuple(given), sample.captions, given)
    return row_tokens([row], dit.painter.images, dit.painter.grid, "clean", dit.device).clean[0]


def _worded(row: Row, empty: bool) -> Row:
    return replace(row, caption="") if empty else row


def _given(row: Row, dit: DiT, card: LoraCard, recipe: LoraRecipe, order: random.Random) -> Tensor:
    """Which tokens are given, bool (N,): some panels of the card's, at least one left to draw."""
    shown: set[int] = set()
    if card.given and not dit.defaults.open_vocabulary and order.random() < recipe.given_share:
        most = min(len(card.given), card.panels - 1)
        shown = set(order.sample(card.given, order.randint(1, most)))
    areas = [dit.painter.grid.area(segment) for segment in row.segments]
    return torch.cat([torch.full((area,), i in shown) for i, area in enumerate(areas, start=1)])


def _loss(
    painter: Painter, rows: Sequence[Row], clean: Tensor, given: Tensor, settings: Settings, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the velocity over the tokens that are not given."""
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    times = training_times(len(rows), clean.device, settings.shift or 3.0)
    level = torch.where(given, 0.0, times[:, None])[..., None]
    with torch.no_grad():
        forward = Forward(painter, rows, AttentionPlan(), settings, [1.0] * len(rows))
    error = (forward.output((1 - level) * clean + level * noise, times, 0) - (noise - clean)).square().mean(dim=2)
    kept = (~given).float()
    loss: Tensor = (error * kept).sum() / kept.sum()
    return loss


def _finish(
    dit: DiT,
    card: LoraCard,
    recipe: LoraRecipe,
    parameters: dict[str, Tensor],
    out: Path,
    *,
    seed: int,
    samples: int,
    seconds: float,
) -> None:
    weights = {name: p.detach().to(torch.float16).cpu().contiguous() for name, p in parameters.items()}
    part = out / f"{WEIGHTS}.part"
    save_file(weights, part, metadata={"format": "pt"})
    part.replace(out / WEIGHTS)
    made = card.model_copy(update={"rank": recipe.rank, "base_weights": dit.weights_hash})
    (out / CARD).write_text(made.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
    told = {
        "recipe": asdict(recipe),
        "seed": seed,
        "samples": samples,
        "seconds": round(seconds, 1),
        "device": str(dit.device),
    }
    (out / "record.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
