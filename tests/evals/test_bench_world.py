"""The benchmark of the world's rendering, and its sheet."""

from __future__ import annotations

from chatdit.evals import bench_world
from chatdit.evals.world_sheet import world_sheet


def test_making_and_rendering_are_timed() -> None:
    record = bench_world.run(repeats=1, batch=4)
    speeds = record["pictures_per_second"]
    assert isinstance(speeds, dict) and record["benchmark"] == "world"
    names = {f"{what}_{n}" for what in ("made", "rendered") for n in (1, 2, 4)}
    assert names == set(speeds)
    assert all(0 < s["min"] <= s["median"] <= s["max"] for s in speeds.values())


def test_a_sheet_holds_every_panel() -> None:
    sheet = world_sheet(samples=5)
    assert sheet.width == 2048 and sheet.height % 306 == 0
    assert world_sheet(samples=5).tobytes() == sheet.tobytes()
