"""Pocket with its reader, loaded once, for the tests of claims."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatdit.evals.effects import Bench
from chatdit.tools.dit.model import DiT
from chatdit.tools.pocket.closer_look import CloserLook
from chatdit.tools.pocket.detector import load_detector
from chatdit.tools.pocket.renderer import Renderer


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Draws in two passes where pocket takes eight, which is enough to tell right from wrong."""
    renderer, dit = Renderer(), DiT.load("pocket", device="cpu")
    dit.defaults = replace(dit.defaults, steps=2, guidance=1.0)
    return Bench(dit, CloserLook(load_detector(), renderer), renderer)
