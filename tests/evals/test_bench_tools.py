"""What tools cost: each is asked something that it can do, and a row tells what was measured or why nothing was."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from chatdit.evals.bench_tools import ENOUGH, in_one_table, measured, run
from chatdit.evals.random_flux import NAME, RANK, STEPS, put_random_lora, random_flux
from chatdit.evals.tool_cases import ToolCase, tool_cases
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.dit.adapters import read_lora
from chatdit.tools.dit.model import DiT
from chatdit.tools.lora.shelf import WEIGHTS
from tests.tools.conftest import RecordingDiT

CPU = torch.device("cpu")


@pytest.fixture
def pocket_cases(tmp_path: Path) -> tuple[ToolCase, ...]:
    return tool_cases(ArtifactStore(tmp_path / "store"), looks=True, side=256, lora="sandstorm")


def test_every_tool_is_measured_and_plain_generation_comes_first(pocket_cases: tuple[ToolCase, ...]) -> None:
    assert {case.tool for case in pocket_cases} == set(TOOLS)
    assert (pocket_cases[0].tool, pocket_cases[0].name) == ("generate", "one picture")
    assert len({(case.tool, case.name) for case in pocket_cases}) == len(pocket_cases)
    assert pocket_cases[-1].tool == "ic_lora"


def test_pocket_can_do_what_is_asked(tmp_path: Path, pocket_cases: tuple[ToolCase, ...]) -> None:
    recorder, store = RecordingDiT(), ArtifactStore(tmp_path / "store")
    for case in pocket_cases:
        assert TOOLS[case.tool].validate(case.request, recorder.defaults) == []
        if case.tool != "subject":  # whose plan the recorder does not take
            assert TOOLS[case.tool].run(case.request, recorder.context(store)).images


def test_plain_generation_is_timed_in_turn(tmp_path: Path, pocket_cases: tuple[ToolCase, ...]) -> None:
    plain, panels = pocket_cases[:2]
    recorder = RecordingDiT()
    row: dict[str, Any] = measured(panels, plain, lambda: cast(DiT, recorder), tmp_path / "store", CPU, repeats=2)
    assert [len(row.segments) for row in recorder.rows] == [4, 1, 4, 1, 4, 1]
    assert (row["steps"], row["rows"], row["tokens"], row["pictures"]) == (8, 1, 4 * 64, 4)
    assert row["seconds"]["n"] == row["seconds_plain"]["n"] == row["ratio"]["n"] == 2 and "ci_low" not in row["ratio"]
    assert row["ratio"]["value"] > 0 and row["peak_memory_mib"] > 50


def test_enough_pairs_have_an_interval(tmp_path: Path, pocket_cases: tuple[ToolCase, ...]) -> None:
    compose = next(case for case in pocket_cases if case.tool == "compose")
    row: dict[str, Any] = measured(
        compose, compose, lambda: cast(DiT, RecordingDiT()), tmp_path / "store", CPU, repeats=ENOUGH
    )
    assert row["ratio"]["n"] == ENOUGH and row["ratio"]["ci_low"] <= row["ratio"]["value"] <= row["ratio"]["ci_high"]


def test_what_a_painter_cannot_do_is_a_row_that_says_why(tmp_path: Path, pocket_cases: tuple[ToolCase, ...]) -> None:
    (tmp_path / "empty").mkdir()
    row = measured(pocket_cases[3], pocket_cases[0], lambda: cast(DiT, RecordingDiT()), tmp_path / "empty", CPU, 1)
    assert set(row) == {"tool", "case", "cannot"} and "is not in" in str(row["cannot"])


def test_flux_with_random_weights_runs_all_that_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHATDIT_GROUNDING_DINO", "CHATDIT_SAM2"):
        monkeypatch.delenv(name, raising=False)
    heard: list[tuple[int, int]] = []
    record = run(flux=True, tiny=True, repeats=1, notify=lambda what, done, total: heard.append((done, total)))
    rows = {(row["tool"], row["case"]): row for row in cast("list[dict[str, Any]]", record["rows"])}
    assert {tool for tool, _ in rows} == set(TOOLS) and heard[-1] == (len(rows), len(rows))
    failed = {tool: row["cannot"] for (tool, _), row in rows.items() if "cannot" in row}
    assert list(failed) == ["segment"] and "real pictures are cut out by models that nobody named" in failed["segment"]
    work = {key: (row["steps"], row["rows"], row["tokens"]) for key, row in rows.items() if "steps" in row}
    assert work["generate", "one picture"] == (STEPS, 1, 16) and work["generate", "one reference"] == (STEPS, 1, 32)
    assert work["edit", "by words"] == work["subject", "one reference"] == (STEPS, 2, 16)
    assert work["story", "four pages"] == work["generate", "four panels"] == (STEPS, 1, 64)
    assert {row["painter"] for row in rows.values()} == {NAME}
    assert "peak_memory_mib" not in rows["generate", "one picture"], "one process for all tells nothing of each"
    assert "weights are random, for time and memory only" in str(record["note"])
    assert record["command"] == "chatdit bench tools --flux --side 64 --tiny --device cpu --repeats 1 --json"
    assert {"benchmark", "date", "commit", "model", "device", "versions"} < set(record)


def test_a_random_lora_has_the_matrices_of_a_trained_one(tmp_path: Path) -> None:
    dit = random_flux(CPU, side=64, tiny=True)
    put_random_lora(dit, tmp_path, "random")
    weights = read_lora(tmp_path / "random" / WEIGHTS)
    assert weights.rank == RANK and not any("time_text_embed" in name for name in weights.tensors)
    assert {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight",
            "transformer.single_transformer_blocks.0.proj_out.lora_B.weight"} < set(weights.tensors)  # fmt: skip


def test_two_records_make_one_table() -> None:
    record: dict[str, object] = {"benchmark": "tools", "commit": "a", "rows": [{"tool": "edit"}]}
    other: dict[str, object] = {"benchmark": "tools", "commit": "b", "rows": [{"tool": "story"}]}
    joined = in_one_table(record, other)
    assert joined["rows"] == [{"tool": "edit"}, {"tool": "story"}] and joined["beside"] == {"commit": "b"}
    with pytest.raises(ValueError, match="is no record of `chatdit bench tools"):
        in_one_table(record, {"benchmark": "world"})


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no tool called 'magic': expected some of generate, .*story"):
        run(tools=["edit", "magic"])
    with pytest.raises(ValueError, match="repeats is 0"):
        run(repeats=0)
    with pytest.raises(ValueError, match="needs a CUDA device"):
        run(flux=True)


@pytest.mark.gpu
def test_full_size_tells_its_memory() -> None:
    record = run(flux=True, device="cuda", side=512, tools=["generate"], repeats=1)
    assert all(row["peak_memory_mib"] > 20_000 for row in cast("list[dict[str, Any]]", record["rows"]))
