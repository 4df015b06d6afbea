"""Training a LoRA: it learns one set by heart, leaves the base alone, resumes, and is a file that others read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from chatdit.tools.dit.adapters import read_lora
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import SamplingDefaults
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.samples import LoraSample
from chatdit.tools.lora.shelf import CARD, WEIGHTS, read_card
from chatdit.tools.lora.training import LoraRecipe, train_lora
from chatdit.tools.types import ToolError

PAIR = LoraCard(name="pair", family="pocket", columns=2, given=(1,))
RECIPE = LoraRecipe(rank=4, steps=12, batch=2, rate=3e-3, warmup=2)


def _samples(size: int = 64) -> list[LoraSample]:
    colours = ((250, 20, 20), (20, 20, 250))
    pictures = tuple(Image.new("RGB", (size, size), colour) for colour in colours)
    return [LoraSample("0001", pictures, ("cat", "dog"))] * 4


def _train(folder: Path, out: Path, hear: Callable[[int, float], None], *, seed: int = 1, fresh: bool = False) -> None:
    dit = DiT.load(folder, device="cpu")
    report = lambda done, total, loss: hear(done, loss)  # noqa: E731
    train_lora(dit, PAIR, _samples(), out, RECIPE, seed=seed, fresh=fresh, report=report)


def test_the_loss_falls_and_the_base_stays(tiny_folder: Path, tmp_path: Path) -> None:
    dit = DiT.load(tiny_folder, device="cpu")
    before = {name: value.clone() for name, value in dit.transformer.state_dict().items()}
    losses: list[float] = []
    recipe = LoraRecipe(rank=8, steps=80, batch=2, rate=1e-2, warmup=2)
    hear = lambda done, total, loss: losses.append(loss)  # noqa: E731
    place = train_lora(dit, PAIR, _samples(), tmp_path, recipe, seed=0, report=hear)
    assert len(losses) == 80 and sum(losses[-20:]) < 0.9 * sum(losses[:20])
    after = {
        name.replace(".base_layer", ""): v for name, v in dit.transformer.state_dict().items() if ".lora_" not in name
    }
    assert all(torch.equal(after[name], value) for name, value in before.items())
    weights = read_lora(place / WEIGHTS)
    assert weights.rank == 8 and any(v.any() for n, v in weights.tensors.items() if "lora_B" in n)
    assert not [name for name in weights.tensors if name.startswith("transformer.proj_out")], "the blocks alone"
    card = read_card(place / CARD)
    assert card.rank == 8 and card.base_weights == dit.weights_hash and card.name == "pair"
    assert json.loads((place / "record.json").read_text())["recipe"]["steps"] == 80
    assert not (place / "progress.json").exists()
    told = [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in told] == list(range(10, 81, 10)) and told[0]["loss"] > 0


def test_an_interrupted_run_goes_on_where_it_was(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatdit.tools.lora.training._SAVE_EVERY", 4)
    seen: list[int] = []

    def stop(done: int, loss: float) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(tiny_folder, tmp_path, stop)
    left = load_file(tmp_path / "partial.safetensors")
    assert any(v.any() for n, v in left.items() if "lora_B" in n)
    _train(tiny_folder, tmp_path, lambda done, loss: seen.append(done))
    assert seen == list(range(5, 13))


@pytest.mark.parametrize(("seed", "fresh"), [(2, False), (1, True)])
def test_another_seed_or_fresh_begins_anew(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, fresh: bool
) -> None:
    monkeypatch.setattr("chatdit.tools.lora.training._SAVE_EVERY", 1)
    seen: list[int] = []

    def stop(done: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(tiny_folder, tmp_path, stop)
    _train(tiny_folder, tmp_path, lambda done, loss: seen.append(done), seed=seed, fresh=fresh)
    assert seen[0] == 1


def test_a_card_of_another_family_is_refused(tiny: DiT, tmp_path: Path) -> None:
    assert isinstance(tiny.defaults, SamplingDefaults)
    card = PAIR.model_copy(update={"family": "flux"})
    with pytest.raises(ToolError, match="the card of pair says it is for flux, and tiny is of pocket"):
        train_lora(tiny, card, _samples(), tmp_path, RECIPE, seed=0)
