"""LoRA files in a transformer: on for one call, off to the bit, refused when they are of another model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from chatdit.tools.dit.adapters import Adapters, AdapterUse, read_lora
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.lora.card import LoraCard
from chatdit.tools.lora.samples import LoraSample
from chatdit.tools.lora.shelf import WEIGHTS
from chatdit.tools.lora.training import LoraRecipe, train_lora
from chatdit.tools.types import ToolError

ROW = Row("cat on beach", (Segment(64, 64),), 5)


def _lora(dit: DiT, path: Path, *, seed: int = 0, rank: int = 4, ends: str = "attn.to_q") -> Path:
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, layer in dit.transformer.named_modules():
        key = f"transformer.{name.removesuffix('.base_layer')}"
        if key.endswith(ends) and isinstance(layer, torch.nn.Linear):
            weights[f"{key}.lora_A.weight"] = torch.randn(rank, layer.in_features, generator=generator)
            weights[f"{key}.lora_B.weight"] = torch.randn(layer.out_features, rank, generator=generator)
    save_file(weights, path)
    return path


def _drawn(dit: DiT, use: AdapterUse | None = None) -> torch.Tensor:
    return dit.sample([ROW], sampling=SamplingOptions(adapter=use))[0].images[0]


@pytest.fixture
def dit(pocket_folder: Path) -> DiT:
    return DiT.load(pocket_folder, device="cpu")


def test_an_adapter_is_on_for_its_own_call_alone(dit: DiT, tmp_path: Path) -> None:
    plain = _drawn(dit)
    one, two = (_lora(dit, tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    first, second = _drawn(dit, AdapterUse(one)), _drawn(dit, AdapterUse(two))
    assert not torch.equal(first, plain) and not torch.equal(second, first)
    assert torch.equal(_drawn(dit), plain), "off again, to the bit"
    assert torch.equal(_drawn(dit, AdapterUse(one)), first)
    assert torch.equal(_drawn(dit, AdapterUse(one, 0.0)), plain)
    half = (_drawn(dit, AdapterUse(one, 0.01)) - plain).abs().mean()
    assert 0 < half < (first - plain).abs().mean()


def test_a_call_that_fails_leaves_no_adapter_on(dit: DiT, tmp_path: Path) -> None:
    plain, use = _drawn(dit), AdapterUse(_lora(dit, tmp_path / "a.safetensors"))

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dit.sample([ROW], sampling=SamplingOptions(adapter=use), progress=stop)
    assert torch.equal(_drawn(dit), plain)


def test_a_file_that_changed_is_read_again(dit: DiT, tmp_path: Path) -> None:
    use = AdapterUse(_lora(dit, tmp_path / "a.safetensors", seed=1))
    first = _drawn(dit, use)
    _lora(dit, use.file, seed=2)
    os.utime(use.file, ns=(1, 1))
    assert not torch.equal(_drawn(dit, use), first)


def test_the_oldest_of_many_makes_room(dit: DiT, tmp_path: Path) -> None:
    adapters = Adapters(dit.transformer)
    for seed in range(6):
        with adapters.on(AdapterUse(_lora(dit, tmp_path / f"{seed}.safetensors", seed=seed))):
            pass
    assert len(dit.transformer.peft_config) <= 4


def test_kohya_names_are_read_with_their_alpha(flux_folder: Callable[[bool], Path], tmp_path: Path) -> None:
    dit = DiT.load(flux_folder(True), device="cpu")
    width = int(dit.transformer.config["num_attention_heads"]) * int(dit.transformer.config["attention_head_dim"])
    stem = "lora_unet_double_blocks_0_img_attn_proj"
    down, up = torch.randn(4, width), torch.randn(width, 4)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(2.0)}
    save_file(tensors, tmp_path / "kohya.safetensors")
    found = read_lora(tmp_path / "kohya.safetensors")
    name = "transformer.transformer_blocks.0.attn.to_out.0"
    assert set(found.tensors) == {f"{name}.lora_A.weight", f"{name}.lora_B.weight"} and found.rank == 4
    merged = found.tensors[f"{name}.lora_B.weight"] @ found.tensors[f"{name}.lora_A.weight"]
    torch.testing.assert_close(merged, 0.5 * up @ down)
    row = Row("a cat", (Segment(64, 64),), 1)
    use = SamplingOptions(steps=1, adapter=AdapterUse(tmp_path / "kohya.safetensors"))
    plain, made = (dit.sample([row], sampling=s)[0].images[0] for s in (SamplingOptions(steps=1), use))
    assert not torch.equal(plain, made)


def test_a_lora_of_flux_is_trained_on_its_canvas(flux_folder: Callable[[bool], Path], tmp_path: Path) -> None:
    card = LoraCard(name="pair", trigger="[PAIR]", columns=2, width=128, height=64)
    reds = tuple(Image.new("RGB", (64, 64), (250, 30 * i, 0)) for i in range(2))
    sets = [LoraSample(f"{n:04d}", reds, ("a cat", "a dog")) for n in range(4)]
    dit = DiT.load(flux_folder(True), device="cpu")
    losses: list[float] = []
    recipe = LoraRecipe(rank=4, steps=40, batch=2, rate=1e-2, warmup=2)
    hear = lambda done, total, loss: losses.append(loss)  # noqa: E731
    place = train_lora(dit, card, sets, tmp_path / "pair", recipe, seed=0, report=hear)
    assert sum(losses[-10:]) < sum(losses[:10])
    made, row = DiT.load(flux_folder(True), device="cpu"), Row("a cat", (Segment(64, 64),), 1)
    ways = (SamplingOptions(steps=1), SamplingOptions(steps=1, adapter=AdapterUse(place / WEIGHTS)))
    plain, changed = (made.sample([row], sampling=way)[0].images[0] for way in ways)
    assert not torch.equal(plain, changed)


def test_what_is_no_lora_of_this_painter_is_refused(dit: DiT, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ToolError, match=r"no LoRA at .*x\.safetensors: expected a \.safetensors file"):
        _drawn(dit, AdapterUse(path))
    path.write_bytes(b"not weights")
    with pytest.raises(ToolError, match="cannot read it as a LoRA"):
        _drawn(dit, AdapterUse(path))
    save_file({"conv.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ToolError, match=r"holds no LoRA of a FLUX transformer; its first tensor is conv\.weight"):
        _drawn(dit, AdapterUse(path))
    name = "transformer.transformer_blocks.0.attn.to_q"
    save_file({f"{name}.lora_A.weight": torch.zeros(4, 99), f"{name}.lora_B.weight": torch.zeros(32, 4)}, path)
    with pytest.raises(ToolError, match=r"is \(4, 99\), and the layer has 32; it is of another model"):
        _drawn(dit, AdapterUse(path))
    far = "transformer.transformer_blocks.18.attn.to_q"
    save_file({f"{far}.lora_A.weight": torch.zeros(4, 32), f"{far}.lora_B.weight": torch.zeros(32, 4)}, path)
    with pytest.raises(ToolError, match="which this painter does not have"):
        _drawn(dit, AdapterUse(path))
