"""Systems by name: a worker's command line holds all that changes what it draws, and no key."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from chatdit.config import load_settings
from chatdit.eval_systems import named_system


@pytest.mark.parametrize(
    ("system", "flags", "words"),
    [
        ("ours", {}, ["planner=offline", "model=pocket"]),
        ("ours", {"PLANNER": "table"}, ["planner=table", "model=pocket"]),
        ("rephrase", {"PLANNER": "table", "SIZE": "256x128"}, ["planner=rephrase", "model=pocket", "size=256x128"]),
        ("table", {"STEPS": "3", "SEED": "4", "OUT": "x"}, ["planner=table", "model=pocket", "steps=3"]),
        (
            "ours", {"PLANNER": "openai", "LLM__MODEL": "m", "LLM__API_KEY": "secret"},
            ["planner=openai", "model=pocket", "llm.model=m"],
        ),
    ],
)  # fmt: skip
def test_a_workers_command_names_what_changes_its_results(
    monkeypatch: pytest.MonkeyPatch, system: str, flags: Mapping[str, str], words: list[str]
) -> None:
    for name, value in flags.items():
        monkeypatch.setenv(f"CHATDIT_{name}", value)
    found = named_system(system, None, None)
    assert list(found.worker[4:]) == words
    again = load_settings(dict(word.split("=", 1) for word in words))
    assert found.settings is not None and again.model_dump() == found.settings.model_dump()
