"""Two processes that train one model: their gradients are averaged, their clock is one, their weights stay equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from chatdit.tools.training.team import Team, team


def test_alone_nothing_is_shared() -> None:
    with team(torch.device("cpu")) as members:
        assert members == Team(torch.device("cpu"), 0, 1) and members.leads
        model = torch.nn.Linear(1, 1)
        assert members.agree(0.25) == 0.25
        members.share(model)
        members.average_gradients(model.parameters())
        assert model.weight.grad is None


def test_two_processes_train_one_model(pair: Any, tmp_path: Path) -> None:
    first, second = pair(Path(__file__).with_name("team_member.py"), str(tmp_path))
    assert [first["rank"], second["rank"]] == [0, 1]
    assert first["agreed"] == second["agreed"] == 10
    assert first["shared"] == second["shared"] == 5, "the leader's"
    assert first["gradient"] == second["gradient"] == 2, "the mean of 1 and 3"
    assert first["weights"] == second["weights"]
    lines = [json.loads(line) for line in (tmp_path / "base.jsonl").read_text().splitlines()]
    assert [(line["step"], line["processes"]) for line in lines] == [(2, 2)], "only the leader writes"
