"""The painter's size in the status line counts weights, whatever they are stored as."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chatdit.painter_label import painter_label
from chatdit.tools.dit.storage import save_weights


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize(("shape", "size"), [((1500, 1400), "2M"), ((30, 50), "2k")])
def test_weights_are_counted_and_scales_are_not(
    tmp_path: Path, quantize: bool, shape: tuple[int, int], size: str
) -> None:
    weights = {"a.weight": torch.zeros(shape), "a.bias": torch.zeros(shape[0])}
    save_weights(tmp_path / "transformer" / "x.safetensors", weights, quantize=quantize)
    save_weights(tmp_path / "vae" / "x.safetensors", weights, quantize=quantize)
    assert painter_label("pocket", tmp_path) == f"pocket {size}"


def test_a_folder_without_weights_has_only_its_name(tmp_path: Path) -> None:
    assert painter_label("pocket", tmp_path) == "pocket"
