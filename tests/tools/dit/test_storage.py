"""Weights on disk: int8 rounding, shards with an index, nothing left half written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from chatdit.tools.dit import storage
from chatdit.tools.dit.storage import load_weights, save_weights


def _weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(64, 32, generator=generator),
        "b.weight": torch.randn(48, 16, 3, 3, generator=generator) * 1e-3,
        "b.bias": torch.randn(48, generator=generator),
        "count": torch.tensor(7),
    }


def test_floats_return_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, _weights(), quantize=False)
    assert all(torch.equal(load_weights(path)[name], value) for name, value in _weights().items())


def test_int8_stays_within_half_a_level_of_each_channel(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, _weights(), quantize=True)
    loaded = load_weights(path)
    for name in ("a.weight", "b.weight"):
        value = _weights()[name]
        level = value.flatten(1).abs().amax(dim=1) / 127
        error = (loaded[name] - value).flatten(1).abs().amax(dim=1)
        assert (error <= 0.501 * level + 1e-9).all()
    assert loaded["count"] == 7
    assert path.stat().st_size < 0.5 * sum(v.numel() * 4 for v in _weights().values())


def test_large_models_are_split_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SHARD_BYTES", 6000)
    path = tmp_path / "model.safetensors"
    save_weights(path, _weights(), quantize=True)
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert len(files) > 1 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(files)
    split = load_weights(path)
    monkeypatch.setattr(storage, "SHARD_BYTES", 2**30)
    save_weights(path, _weights(), quantize=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"], "old shards are gone"
    whole = load_weights(path)
    assert set(split) == set(whole) and all(torch.equal(split[name], whole[name]) for name in whole)
