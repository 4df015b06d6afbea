"""Settings: four layers, unknown keys, and keys that stay where they belong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chatdit.config import (
    ConfigError,
    Settings,
    api_key,
    change_setting,
    data_dir,
    load_settings,
    setting_names,
    user_config_file,
)
from chatdit.tools.segment import GROUNDING_VARIABLE, SAM_VARIABLE


@pytest.fixture(autouse=True)
def empty_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No setting comes from the person who runs the tests."""
    for name in [n for n in os.environ if n.startswith("CHATDIT_")] + ["OPENAI_API_KEY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def write_user(text: str, mode: int = 0o600) -> Path:
    path = user_config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_without_any_file_the_defaults_stand() -> None:
    assert load_settings() == Settings()
    assert load_settings().model == "pocket"


def test_later_layers_win_and_merge_deeply(empty_house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_user('model = "a"\nsteps = 4\ndevice = "cpu"\n[llm]\nmodel = "m1"\ntimeout = 5\n')
    (empty_house / "chatdit.toml").write_text('model = "b"\nsteps = 5\n[llm]\nmodel = "m2"\n')
    monkeypatch.setenv("CHATDIT_STEPS", "6")
    monkeypatch.setenv("CHATDIT_LLM__FALLBACK", "false")
    settings = load_settings({"steps": 7, "seed": None})
    assert (settings.device, settings.model, settings.steps, settings.seed) == ("cpu", "b", 7, None)
    assert (settings.llm.model, settings.llm.timeout, settings.llm.fallback) == ("m2", 5.0, False)


@pytest.mark.parametrize(("text", "expected"), [("512x384", (512, 384)), ("64 X 32", (64, 32))])
def test_size_is_read_from_words(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[int, int]) -> None:
    monkeypatch.setenv("CHATDIT_SIZE", text)
    assert load_settings().size == expected


@pytest.mark.parametrize(
    ("place", "name", "suggestion"),
    [("user", "modle", "'model'"), ("project", "llm.base_ulr", "'llm.base_url'"), ("flags", "sede", "'seed'")],
)
def test_an_unknown_key_names_the_nearest(empty_house: Path, place: str, name: str, suggestion: str) -> None:
    line = f'{name} = "x"\n'
    if place == "user":
        write_user(line)
    elif place == "project":
        (empty_house / "chatdit.toml").write_text(line)
    with pytest.raises(ConfigError, match=suggestion) as caught:
        load_settings({name: "x"} if place == "flags" else None)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_of_other_models_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (GROUNDING_VARIABLE, SAM_VARIABLE):
        monkeypatch.setenv(name, "/somewhere")
    assert load_settings() == Settings()


def test_an_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATDIT_LLM__MODLE", "x")
    with pytest.raises(ConfigError, match="CHATDIT_LLM__MODEL"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CHATDIT_STEPS", "many", "steps = 'many'"),
        ("CHATDIT_SIZE", "big", "WIDTHxHEIGHT"),
        ("CHATDIT_PLANNER", "magic", "'offline', 'openai', 'table' or 'rephrase'"),
        ("CHATDIT_LLM", "[", "JSON"),
        ("CHATDIT_LLM__TIMEOUT", "-1", "greater than 0"),
        ("CHATDIT_SEED", "-1", "greater than or equal to 0"),
    ],
)
def test_a_bad_value_is_one_line_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_toml_names_file_and_line(empty_house: Path) -> None:
    (empty_house / "chatdit.toml").write_text("model = \n")
    with pytest.raises(ConfigError, match=r"chatdit\.toml is not valid TOML.*line 1"):
        load_settings()


def test_a_project_may_not_redirect_the_users_key(empty_house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_house / "chatdit.toml").write_text('[llm]\nbase_url = "http://evil.example/v1"\n')
    assert load_settings().llm.base_url == "http://evil.example/v1"
    monkeypatch.setenv("CHATDIT_LLM__API_KEY", "sk-secret")
    with pytest.raises(ConfigError, match="would receive your API key") as caught:
        load_settings()
    assert "sk-secret" not in str(caught.value)
    settings = load_settings({"llm.base_url": "http://127.0.0.1:1/v1"})
    assert settings.llm.base_url == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("line", ['api_key = "k"', 'api_key_file = "~/.ssh/id_rsa"'])
def test_a_project_may_not_hold_a_key(empty_house: Path, line: str) -> None:
    (empty_house / "chatdit.toml").write_text(f"[llm]\n{line}\n")
    with pytest.raises(ConfigError, match="a key belongs in"):
        load_settings()


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATDIT_LLM__API_KEY", "sk-secret")
    settings = load_settings()
    key = api_key(settings)
    assert key is not None and key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in repr(settings) + str(settings.model_dump(mode="json"))
    assert settings == change_setting(settings, "llm.timeout", settings.llm.timeout)


def test_a_key_in_the_users_file_needs_mode_0600() -> None:
    path = write_user('[llm]\napi_key = "k"\n', mode=0o644)
    with pytest.raises(ConfigError, match=r"0644.*chmod 600"):
        load_settings()
    path.chmod(0o600)
    assert load_settings().llm.api_key is not None


def test_a_key_file_is_read_only_when_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    settings = load_settings({"llm.api_key_file": str(path)})
    with pytest.raises(ConfigError, match="cannot be read"):
        api_key(settings)
    path.write_text("sk-file\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        api_key(settings)
    path.chmod(0o600)
    key = api_key(settings)
    assert key is not None and key.get_secret_value() == "sk-file"
    path.write_text("")
    with pytest.raises(ConfigError, match="alone"):
        api_key(settings)


def test_openais_own_key_goes_to_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert api_key(load_settings()) is not None
    assert api_key(load_settings({"llm.base_url": "https://api.openai.com/v1"})) is not None
    for other in ("https://api.openai.com.evil.example/v1", "http://api.openai.com/v1"):
        assert api_key(load_settings({"llm.base_url": other})) is None


def test_change_setting_checks_like_a_file_does() -> None:
    changed = change_setting(Settings(), "llm.model", "gpt")
    assert changed.llm.model == "gpt" and Settings().llm.model is None
    sized = change_setting(changed, "size", "64x32")
    assert sized.size == (64, 32) and change_setting(sized, "size", None) == changed
    with pytest.raises(ConfigError, match="'steps'"):
        change_setting(Settings(), "step", 3)
    with pytest.raises(ConfigError, match="steps"):
        change_setting(Settings(), "steps", 0)


def test_names_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"model", "llm.base_url", "metadata"} <= set(setting_names())
    assert data_dir() == tmp_path / "share" / "chatdit"
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path / "elsewhere"))
    assert data_dir() == tmp_path / "elsewhere"
