"""Sparse attention as a setting: where it is said, where it goes, and what the status line tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from chatdit.config import ConfigError, Settings, change_setting, load_settings
from chatdit.kernels.policies.catalogue import POLICIES
from chatdit.painter import LazyPainter
from chatdit.provenance import read_recipe
from chatdit.repl import Repl
from chatdit.session import Session
from chatdit.tools.runtime import cost_model
from chatdit.tools.runtime.cost_model import Crossover
from chatdit.tools.runtime.named_policy import named_policy
from chatdit.tools.types import AttentionName, ToolError
from chatdit.workshop import Workshop

MakeSession = Callable[..., Session]


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_model, "_MEASURED", {("cpu", "llsa"): Crossover(2048, "a test")})


def test_every_policy_that_needs_no_table_has_a_name() -> None:
    assert set(get_args(AttentionName)) == {"dense", *POLICIES} - {"sparse-vdit"}
    for name in set(get_args(AttentionName)) - {"dense"}:
        assert type(named_policy(name, "cpu").policy) is POLICIES[name]
    for name in ("sparse-vdit", "dense", "magic"):
        with pytest.raises(ToolError, match=rf"attention '{name}' is no sparse policy; known are llsa, clear, draft"):
            named_policy(name, "cpu")


def test_the_cost_model_speaks_of_what_was_measured() -> None:
    assert named_policy("llsa", "cpu").too_short(2047) == "2,047 tokens; llsa pays from 2,048 (a test)"
    assert named_policy("llsa", "cpu").too_short(2048) is None
    assert named_policy("llsa", "cuda").too_short(1) is None, "no one has measured it there"


def test_files_environment_and_arguments_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(folder=tmp_path).attention == "dense"
    (tmp_path / "chatdit.toml").write_text('attention = "draft"\n')
    assert load_settings(folder=tmp_path).attention == "draft"
    monkeypatch.setenv("CHATDIT_ATTENTION", "vsa")
    assert load_settings(folder=tmp_path).attention == "vsa"
    assert load_settings({"attention": "llsa"}, folder=tmp_path).attention == "llsa"
    with pytest.raises(ConfigError, match=r"attention = 'lsa' .* is not usable: Input should be 'dense', 'llsa', "):
        change_setting(Settings(), "attention", "lsa")


def test_a_session_takes_it_and_its_recipes_keep_it(new_session: MakeSession) -> None:
    session = new_session(attention="llsa")
    turn = session.send("a cat on the beach", seed=3)
    assert any(
        w.startswith("attention: llsa stayed dense: ") and "pays from 2,048 (a test)" in w for w in turn.warnings
    )
    recipe = read_recipe(turn.images[0].path)
    assert recipe.args is not None and recipe.args["sampling"] == {"seed": 3, "attention": "llsa"}
    assert recipe.attention.startswith("llsa stayed dense: ")
    plain = new_session().send("a cat on the beach", seed=3)
    assert plain.images[0].image.sha256 == turn.images[0].image.sha256
    assert read_recipe(plain.images[0].path).attention == ""


def test_an_argument_of_a_session_is_a_setting(painter_folder: Path, tmp_path: Path, painter: LazyPainter) -> None:
    settings = Settings(model=str(painter_folder), device="cpu")
    with Session(settings, attention="draft", home=tmp_path, workshop=Workshop(settings, painter=painter)) as session:
        assert session.settings.attention == "draft"
        assert session.status.endswith("draft attention")


def test_the_status_line_names_it_and_why_it_stays_dense(new_session: MakeSession) -> None:
    session = new_session()
    repl = Repl(session, Console(quiet=True))
    assert "attention" not in repl.status()
    repl.handle("/set attention llsa")
    assert session.settings.attention == "llsa"
    assert session.status == "offline · tiny · llsa attention (stays dense: 4 tokens and text, pays from 2,048)"
    because = "(stays dense: 4 tokens and text, pays from 2,048)"
    assert repl.status().startswith(f"offline parser · tiny · llsa attention {because} · session ")
    repl.handle("/set size 2048x2048")
    assert because in repl.status(), "it draws the size it knows, whatever is asked for"
    repl.handle("/set attention magic")
    assert session.settings.attention == "llsa"


def test_a_size_decides_where_the_painter_draws_any(monkeypatch: pytest.MonkeyPatch, painter: LazyPainter) -> None:
    known = painter.defaults()
    monkeypatch.setattr(painter, "known_defaults", lambda: replace(known, open_vocabulary=True))
    told = {
        side: Workshop(Settings(attention="llsa", size=(side, side)), painter=painter).attention()
        for side in (640, 1280, 2048)
    }
    assert told[640] == "llsa attention (stays dense: 400 tokens and text, pays from 2,048)"
    assert told[1280] == "llsa attention", "1,600 tokens: a long caption may make up the rest"
    assert told[2048] == "llsa attention"


def test_the_status_line_loads_nothing(painter_folder: Path) -> None:
    painter = LazyPainter(str(painter_folder))
    workshop = Workshop(Settings(model=str(painter_folder), attention="llsa"), painter=painter)
    assert workshop.attention() == "llsa attention" and not painter.loaded
