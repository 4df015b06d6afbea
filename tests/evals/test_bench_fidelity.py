"""The fidelity bench on real calls of pocket, small: what is captured is what the model computes."""

from __future__ import annotations

import pytest
import torch

from chatdit.evals import bench_fidelity
from chatdit.evals.captured_attention import Captured, capture, capture_random_flux, dense
from chatdit.kernels.policies.geometry import Place
from chatdit.kernels.policies.vsa import Vsa
from chatdit.tools.dit.model import DiT, Row, Segment

ROW = Row("[panel1] a cat [panel2] a cat in the snow", (Segment(128, 128), Segment(128, 128, panel=1)), 0)


@pytest.fixture(scope="module")
def calls() -> list[Captured]:
    return capture(DiT.load("pocket", device="cpu"), ROW, steps=2, kept_steps=(1,), kept_layers=(0, 5))


def test_the_calls_asked_for_are_captured(calls: list[Captured]) -> None:
    assert [(call.step, call.layer) for call in calls] == [(Place(1, 2), Place(0, 8)), (Place(1, 2), Place(5, 8))]
    geometry = calls[0].geometry
    assert (geometry.frames, geometry.height, geometry.width) == (2, 8, 8)
    assert calls[0].q.shape == (2, 6, geometry.length, 64), "a picture and its guidance pass"
    assert not torch.equal(calls[0].q, calls[1].q)


def test_panels_of_two_sizes_are_refused() -> None:
    row = Row("a cat", (Segment(128, 128), Segment(64, 128, panel=1)), 0)
    with pytest.raises(ValueError, match="panels of one size"):
        capture(DiT.load("pocket", device="cpu"), row, steps=1, kept_steps=(0,), kept_layers=(0,))


def test_everything_kept_has_no_error_and_less_has_more(calls: list[Captured]) -> None:
    settings = [bench_fidelity.Setting("vsa", f"k={k}", Vsa(k=k, depth=1)) for k in (1, 4, 8)]
    rows = [bench_fidelity._measure(setting, calls) for setting in settings]
    errors, densities = [[row[name] for row in rows] for name in ("error", "density")]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0.0  # type: ignore[type-var]
    assert densities == sorted(densities) and densities[-1] == 1.0  # type: ignore[type-var]
    assert rows[0]["n"] == 2


def test_the_control_is_worse_than_choosing_by_score(calls: list[Captured]) -> None:
    measure, setting = bench_fidelity._measure, bench_fidelity.Setting
    control = measure(setting("random", "", bench_fidelity.RandomTiles(2)), calls)
    chosen = measure(setting("vsa", "", Vsa(k=2, depth=1)), calls)
    assert control["density"] == chosen["density"] and control["error"] > chosen["error"]  # type: ignore[operator]


def test_every_policy_has_settings_that_fit(calls: list[Captured]) -> None:
    settings = [*bench_fidelity._settings(calls[0]), *bench_fidelity._searched(calls, 8)]
    last = {setting.name: setting for setting in settings}
    rows = [bench_fidelity._measure(setting, calls[:1]) for setting in last.values()]
    assert {row["policy"] for row in rows} == {
        "llsa", "vsa", "draft", "nabla", "adaspa", "svg2", "tesa", "random", "efficient-vdit", "sparse-vdit"
    }  # fmt: skip
    assert all(0 < row["density"] <= 1 for row in rows)  # type: ignore[operator]


def test_dense_is_what_the_model_computes(calls: list[Captured]) -> None:
    call = calls[0]
    exact = dense(call).double()
    weights = (call.q.double() @ call.k.double().mT / 8).softmax(dim=-1)
    torch.testing.assert_close(exact, weights @ call.v.double(), atol=1e-4, rtol=1e-4)


def test_blocks_of_fluxs_shapes_are_measured_at_random_weights() -> None:
    calls = capture_random_flux(128, heads=2, head_dim=32, text=16)
    assert [call.q.shape for call in calls] == [(1, 2, 16 + 64, 32)] * 2
    assert not torch.equal(calls[0].q, calls[1].q)
    record = bench_fidelity.run_random_flux(side=256, heads=2, head_dim=32)
    rows = record["rows"]
    assert isinstance(rows, list) and {"llsa", "vsa", "draft", "clear"} <= {row["policy"] for row in rows}
    assert all(0 < row["density"] <= 1 and row["n"] == 2 for row in rows)
    assert record["command"] == "chatdit bench fidelity --flux --side 256 --json"
