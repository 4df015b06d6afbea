"""`chatdit bench tools` from the command line: a small model, and the table."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatdit import cli
from chatdit.bench_tools_command import tell_tools
from chatdit.evals import bench_tools


def test_a_small_model_is_measured(painter_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_tools, "fresh_processes", lambda: ThreadPoolExecutor(1))  # processes take long to start
    arguments = ["--model", str(painter_folder), "--tool", "ic_lora", "--repeats", "1", "--json"]
    said = CliRunner().invoke(cli.app, ["bench", "tools", *arguments])
    assert said.exit_code == 0, said.output
    record = json.loads(said.stdout)
    plain, lora = record["rows"]
    assert plain["painter"] == "tiny" and record["model"]["weights"] != "0" * 64
    assert plain["memory_over_plain_mib"] == 0 and plain["peak_memory_mib"] > 100
    assert (plain["steps"], plain["rows"], plain["tokens"], plain["pictures"]) == (2, 1, 4, 1)
    assert lora["painter"] == "tiny" and "it is of another model" in lora["cannot"]


def test_people_see_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"painter": "pocket", "device": "cpu, 2 threads", "tool": "edit", "case": "by words"}
    other = one | {"painter": "FLUX", "device": "H200"}
    seconds = {"median": 2.5, "min": 2.4, "max": 2.6, "n": 6}
    ratio = {"value": 1.25, "ci_low": 1.1, "ci_high": 1.3, "n": 6}
    row = one | {"steps": 4, "rows": 1, "tokens": 256, "seconds": seconds, "ratio": ratio}
    full = row | {"peak_memory_mib": 900, "memory_over_plain_mib": 200}
    tell_tools({"rows": [full, row | {"case": "bare"}, other | {"tool": "segment", "cannot": "nobody named models"}]})
    told = capsys.readouterr().out
    for words in ("edit: by words", "4 x 1 x 256", "2.500", "1.25 [1.10, 1.30]", "900 (+200)"):
        assert words in told, told
    assert "cpu, 2 threads" in told and "H200" in told and "FLUX, segment: nobody named models" in told
