"""The detector's weights on disk; what it reads is tested beside its training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chatdit.tools.dit.storage import save_weights
from chatdit.tools.pocket.detector import Detector, DetectorNetwork, load_detector
from chatdit.tools.types import ToolError


def test_a_stored_detector_reads_like_the_one_that_was_stored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = DetectorNetwork(), tmp_path / "detector.safetensors"
    assert network.cells.bias is not None
    torch.nn.init.constant_(network.cells.bias[:1], 1.0)
    torch.nn.init.normal_(network.cells.weight[:1])
    save_weights(path, network.state_dict(), quantize=False)
    pictures = torch.rand(2, 3, 256, 256) * 2 - 1
    found = load_detector(path).read(pictures)
    assert found == Detector(network).read(pictures) and found[0].sightings


def test_weights_that_are_not_there_or_not_its_own_are_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no detector weights at .*absent"):
        load_detector(tmp_path / "absent.safetensors")
    others, broken = tmp_path / "others.safetensors", tmp_path / "broken.safetensors"
    save_weights(others, torch.nn.Linear(40, 8).state_dict(), quantize=True)
    broken.write_bytes(b"not weights")
    for path in (others, broken):
        with pytest.raises(ToolError, match="holds no detector weights"):
            load_detector(path)
