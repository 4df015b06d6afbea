"""The autoencoder bench: every style is measured, and photographs where there are any."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from chatdit.evals import bench_autoencoder
from chatdit.tools.dit.model import DiT
from chatdit.tools.pocket.vocabulary import STYLES


def test_every_style_is_measured_and_photographs_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").resize((300, 200)).save(tmp_path / "ramp.png")
    pictures = {"ramp": bench_autoencoder._square(tmp_path / "ramp.png")}
    monkeypatch.setattr(bench_autoencoder, "load_photographs", lambda: pictures)
    record = bench_autoencoder.run(cases=2, repeats=1)
    scores, photographs = record["scores"], record["photographs_psnr_db"]
    assert isinstance(scores, dict) and set(scores) == {"psnr_db", *(f"psnr_db_{style}" for style in STYLES)}
    assert scores["psnr_db"]["n"] == 2 * len(STYLES) and scores["psnr_db"]["value"] > 33
    assert isinstance(photographs, dict) and 25 < photographs["ramp"] < 60
    assert pictures["ramp"].shape == (1, 3, 256, 256) and pictures["ramp"].min() < -0.9


def test_psnr_is_of_what_comes_back() -> None:
    dit = DiT.load("pocket", device="cpu")
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    flat = torch.zeros(1, 3, 64, 64)
    assert bench_autoencoder.psnrs(dit, noise)[0] < 20 < bench_autoencoder.psnrs(dit, flat)[0]
