"""The painter is known before it is loaded, loaded once, and its failures surface where it is used."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from chatdit.config import ConfigError, Settings, change_setting
from chatdit.painter import LazyPainter
from chatdit.tools.dit.model import DiT
from chatdit.tools.types import ToolError
from chatdit.workshop import Workshop


def wait_for(thread_name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == thread_name:
            thread.join(60)


def test_what_is_known_before_loading_is_what_loading_says(painter_folder: Path) -> None:
    known = LazyPainter(str(painter_folder), device="cpu")
    defaults, weights = known.defaults(), known.weights_hash()
    assert not known.loaded and known.name == "tiny"
    dit = known.dit()
    assert known.loaded and (dit.defaults, dit.weights_hash) == (defaults, weights)
    assert known.dit() is dit


def test_warming_loads_behind_and_once(painter_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = DiT.load

    def counted(source: str, *, device: str, dtype: str) -> DiT:
        loads.append(source)
        return load(source, device=device, dtype=dtype)

    monkeypatch.setattr(DiT, "load", counted)
    workshop = Workshop(Settings(model=str(painter_folder), device="cpu"))
    workshop.warm()
    dit = workshop.painter.dit()
    wait_for("chatdit-warm")
    workshop.warm()
    assert workshop.painter.dit() is dit and loads == [str(painter_folder)]


def test_a_failed_warm_up_surfaces_at_use_and_is_tried_again(painter_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    painter = LazyPainter(str(folder), device="cpu")
    painter.warm()
    wait_for("chatdit-warm")
    with pytest.raises(ToolError, match="later"):
        painter.dit()
    with pytest.raises(ConfigError, match="cannot be used"):
        painter.defaults()
    shutil.copytree(painter_folder, folder)
    assert painter.dit().name == "later"
    assert painter.defaults() == painter.dit().defaults


def test_other_settings_keep_a_loaded_painter(painter_folder: Path, painter: LazyPainter) -> None:
    settings = Settings(model=str(painter_folder), device="cpu")
    workshop = Workshop(settings, painter=painter)
    assert workshop.with_settings(change_setting(settings, "steps", 3)).painter is painter
    assert workshop.with_settings(change_setting(settings, "dtype", "float32")).painter is not painter


def test_facts_name_the_painter_for_the_brain(painter_folder: Path, painter: LazyPainter) -> None:
    facts = Workshop(Settings(model=str(painter_folder)), painter=painter).facts()
    usage = json.loads((painter_folder / "model_index.json").read_text())["defaults"]
    assert (facts.name, facts.open_vocabulary) == ("tiny", False)
    assert (facts.width, facts.height, facts.max_panels) == (usage["width"], usage["height"], usage["max_panels"])
