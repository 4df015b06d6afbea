"""Inversion: the solvers on a flow with a known solution, and the way up and down again on tiny real models."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chatdit.tools.dit.inversion import Solver
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.dit.rows import EditSource, Route

SOLVERS: tuple[Route, ...] = ("euler", "midpoint", "fireflow")


def painted(side: int = 64) -> Segment:
    known = (torch.rand(3, side, side, generator=torch.Generator().manual_seed(4)) - 0.5).clamp(-1, 1)
    return Segment(side, side, known=known)


def inverted(route: Route, caption: str = "a dog", side: int = 64, **source: float) -> Row:
    shown = EditSource("a cat", route, **source)  # type: ignore[arg-type]
    return Row(caption, (painted(side),), 1, "edited", source=shown)


def solved(route: Route, steps: int) -> tuple[float, int]:
    """How far from e a solver of x' = x comes from 1 over a unit of time, and how often it asks."""
    calls: list[float] = []

    def velocity(x: Tensor, level: float, step: int) -> Tensor:
        calls.append(level)
        return x

    solver, x = Solver(velocity, route), torch.ones(1)
    for level, following in pairwise([i / steps for i in range(steps + 1)]):
        x = solver.step(x, level, following, 0)
    return abs(float(x) - math.e), len(calls)


def test_the_second_order_halves_twice_where_euler_halves_once() -> None:
    for route, order in zip(SOLVERS, (1, 2, 2), strict=True):
        (coarse, _), (fine, _) = solved(route, 16), solved(route, 32)
        assert 0.75 * 2**order < coarse / fine < 1.35 * 2**order, route


def test_what_each_asks_of_the_network() -> None:
    assert [solved(route, 8)[1] for route in SOLVERS] == [8, 16, 9]
    assert solved("fireflow", 8)[0] < solved("euler", 8)[0] / 5


def test_a_solver_goes_back_where_it_came_from() -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    levels, errors = [0.0, 0.1, 0.4, 0.8, 1.0], []
    for route in SOLVERS:
        y = x
        for way in (levels, levels[::-1]):
            solver = Solver(lambda z, level, step: torch.sin(z + level), route)
            for level, following in pairwise(way):
                y = solver.step(y, level, following, 0)
        errors.append(float((y - x).abs().max()))
    assert errors[1] < errors[0] / 4 and errors[2] < errors[0] / 4


@pytest.mark.parametrize("distilled", [True, False])
@pytest.mark.parametrize("route", SOLVERS)
def test_its_own_caption_brings_the_picture_back(
    route: Route, distilled: bool, flux_folder: Callable[[bool], Path]
) -> None:
    dit = DiT.load(flux_folder(distilled), device="cpu")
    known = painted(32).known
    assert known is not None
    away = {}
    for caption in ("a cat", "a dog"):
        row = inverted(route, caption, 32)
        (made,) = dit.sample([row], sampling=SamplingOptions(steps=32, guidance=1.0))[0].images
        away[caption] = float((made - known / 2 - 0.5).abs().mean())
    assert away["a cat"] < (1 if route == "euler" else 0.1) * away["a dog"]


def test_a_later_start_is_nearer_to_the_picture(pocket: DiT) -> None:
    known = painted().known
    assert known is not None
    away = []
    for start in (0.25, 0.5, 1.0):
        (made,) = pocket.sample([inverted("fireflow", start=start)], sampling=SamplingOptions(steps=8))[0].images
        away.append(float((made - known / 2 - 0.5).abs().mean()))
    assert away[0] < away[1] < away[2]


def test_inverting_takes_no_seed(pocket: DiT) -> None:
    from dataclasses import replace

    row = inverted("midpoint")
    one, other = (pocket.sample([replace(row, seed=seed)])[0].images[0] for seed in (1, 2))
    assert torch.equal(one, other)
