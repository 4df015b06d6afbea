"""Where settings come from: user TOML < project TOML < environment < flags.

`$XDG_CONFIG_HOME/chatdit/config.toml` is the user's own; `./chatdit.toml` belongs to the project
in the working directory, is read with suspicion, and may neither hold a key nor send the user's
key to an address of its choosing.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from chatdit.settings_model import LanguageModelSettings, Settings
from chatdit.tools.home import data_dir

__all__ = [
    "ConfigError",
    "LanguageModelSettings",
    "Settings",
    "api_key",
    "change_setting",
    "data_dir",
    "load_settings",
    "setting_names",
    "user_config_file",
]

PREFIX = "CHATDIT_"
NOT_SETTINGS = frozenset({"CHATDIT_HOME", "CHATDIT_GROUNDING_DINO", "CHATDIT_SAM2"})
PROJECT_FILE = "chatdit.toml"


class ConfigError(ValueError):
    """A setting the person must change; the message is one line: value, expectation, remedy."""


@dataclass(frozen=True)
class Layer:
    """Settings from one place; `origin` says which, in words for the person."""

    origin: str
    values: dict[str, object]
    kind: str


def user_config_file() -> Path:
    """The user's own TOML file; it need not exist."""
    return platformdirs.user_config_path("chatdit") / "config.toml"


def load_settings(flags: Mapping[str, object] | None = None, *, folder: Path | None = None) -> Settings:
    """Merge all layers; `flags` are dotted names (`llm.model`), None meaning "not given".

    Raises ConfigError for an unknown key (with the nearest known one), a bad value, unreadable TOML,
    or a project file that asks for more than it may.
    """
    project = (folder or Path.cwd()) / PROJECT_FILE
    user_file = user_config_file()
    layers = [
        Layer(str(user_file), _read_toml(user_file), "user"),
        Layer(f"./{PROJECT_FILE}", _read_toml(project), "project"),
        Layer("the environment", _read_environment(), "environment"),
        Layer("the command line", _nest(flags or {}), "flags"),
    ]
    for layer in layers:
        _refuse_unknown(layer)
    _refuse_grabby_project(layers[1])
    _refuse_open_key(layers[0], user_file)
    settings = _validate(layers)
    _refuse_stolen_key(settings, layers)
    return settings


def change_setting(settings: Settings, name: str, value: object) -> Settings:
    """A copy with one dotted setting changed, as `/set llm.model x` asks; None is its default. Raises ConfigError."""
    _refuse_unknown(Layer("/set", _nest({name: value or ""}), "flags"))
    others = {known: old for known, old in _flatten(settings.model_dump()) if known != name}
    return _validate([Layer("the settings", _nest(others), "user"), Layer("/set", _nest({name: value}), "flags")])


def setting_names() -> tuple[str, ...]:
    """Every setting as a dotted name."""
    return tuple(_dotted_names(Settings))


def api_key(settings: Settings, environ: Mapping[str, str] | None = None) -> SecretStr | None:
    """The endpoint's key: `llm.api_key`, or the 0600 file, or OPENAI_API_KEY for OpenAI's own address.

    Raises ConfigError when the file is missing, empty, or readable by others.
    """
    llm = settings.llm
    if llm.api_key is not None:
        return llm.api_key
    if llm.api_key_file is not None:
        return _read_key_file(llm.api_key_file)
    openai_key = (os.environ if environ is None else environ).get("OPENAI_API_KEY", "")
    address = urlsplit(llm.base_url or "https://api.openai.com")
    safe = (address.scheme, address.hostname) == ("https", "api.openai.com")
    return SecretStr(openai_key) if openai_key and safe else None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct it or move it away") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; make it readable or move it away") from None


def _read_environment() -> dict[str, object]:
    known = {PREFIX + name.upper().replace(".", "__"): name for name in setting_names()} | {f"{PREFIX}LLM": "llm"}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known and variable not in NOT_SETTINGS:
            raise ConfigError(f"the environment sets {variable}, which is no setting{_nearest(variable, known)}")
    try:
        values: dict[str, object] = EnvSettingsSource(Settings)()
    except SettingsError:
        raise ConfigError(f"{PREFIX}LLM is not a JSON object; set {PREFIX}LLM__MODEL and its like instead") from None
    return values


def _nest(flat: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for dotted, value in flat.items():
        if value is None:
            continue
        target = nested
        *parents, last = dotted.split(".")
        for parent in parents:
            inner = target.setdefault(parent, {})
            assert isinstance(inner, dict)
            target = inner
        target[last] = value
    return nested


def _dotted_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _dotted_names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def _flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and prefix + name not in setting_names():
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _refuse_unknown(layer: Layer) -> None:
    known = setting_names()
    for name, _ in _flatten(layer.values):
        if name not in known:
            raise ConfigError(f"{layer.origin} sets {name!r}, which is no setting{_nearest(name, known)}")


def _nearest(name: str, known: Mapping[str, str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def _validate(layers: list[Layer]) -> Settings:
    merged: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for name, value in _flatten(layer.values):
            merged[name], origins[name] = value, layer.origin
    try:
        return Settings.model_validate(_nest(merged))
    except ValidationError as error:
        first = error.errors()[0]
        name = next((n for n in origins if n.split(".") == [str(p) for p in first["loc"]][: n.count(".") + 1]), "?")
        shown = "" if name.startswith("llm.api_key") else f" = {merged.get(name)!r}"
        why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name}{shown} (from {origins.get(name)}) is not usable: {why}") from None


def _refuse_grabby_project(project: Layer) -> None:
    for name, _ in _flatten(project.values):
        if name in {"llm.api_key", "llm.api_key_file"}:
            raise ConfigError(f"{project.origin} sets {name}: a key belongs in {PREFIX}LLM__API_KEY or your own config")


def _refuse_stolen_key(settings: Settings, layers: list[Layer]) -> None:
    setter = [layer for layer in layers if "llm.base_url" in dict(_flatten(layer.values))]
    if setter and setter[-1].kind == "project" and (settings.llm.api_key or settings.llm.api_key_file):
        raise ConfigError(
            f"{setter[-1].origin} sets llm.base_url = {settings.llm.base_url!r}, which would receive your API key; "
            f"set base_url in {user_config_file()} or {PREFIX}LLM__BASE_URL if you trust it"
        )


def _refuse_open_key(user: Layer, path: Path) -> None:
    if "llm.api_key" in dict(_flatten(user.values)):
        _refuse_open_file(path)


def _refuse_open_file(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{path} holds a key but its mode is {mode:04o}, so others can read it: chmod 600 {path}")


def _read_key_file(path: Path) -> SecretStr:
    try:
        _refuse_open_file(path)
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"llm.api_key_file {path} cannot be read: {why}; write the key into it, mode 0600") from None
    if not key or len(key.split()) != 1:
        raise ConfigError(f"llm.api_key_file {path} must hold the key alone, on one line")
    return SecretStr(key)
