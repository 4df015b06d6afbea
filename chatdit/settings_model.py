"""The settings a person may change: one frozen model, composed of small parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from chatdit.tools.panels import MAX_SIDE, MIN_SIDE
from chatdit.tools.types import AttentionName

MetadataLevel = Literal["full", "minimal", "none"]
PlannerName = Literal["offline", "openai", "table", "rephrase"]


def parse_size(value: object) -> object:
    """`"512x384"` as (512, 384); anything else is left to pydantic. Raises ValueError on other words."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*", value)
    if match is None:
        raise ValueError(f"size {value!r} is not WIDTHxHEIGHT in pixels, such as 512x384")
    return int(match[1]), int(match[2])


def _expand_home(value: object) -> object:
    return str(Path(value).expanduser()) if isinstance(value, str) else value


Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
Size = Annotated[tuple[Side, Side], BeforeValidator(parse_size)]
HomePath = Annotated[Path, BeforeValidator(_expand_home)]


class LanguageModelSettings(BaseModel):
    """The OpenAI-compatible endpoint that the `openai` planner talks to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    """Name of the model at the endpoint."""
    base_url: str | None = None
    """Address of the endpoint; None is OpenAI's own."""
    api_key: SecretStr | None = None
    api_key_file: HomePath | None = None
    """A file that only you can read (mode 0600) and that holds the key alone."""
    timeout: float = Field(default=60.0, gt=0, le=3600)
    """Seconds to wait for a reply."""
    fallback: bool = True
    """Plan with the offline brain, and say so, when the endpoint fails."""


class Settings(BaseSettings):
    """Every setting with its default; `chatdit.config.load_settings` fills it from files, environment and flags."""

    model_config = SettingsConfigDict(
        env_prefix="CHATDIT_", env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    model: str = "pocket"
    """The painter: `pocket`, a diffusers folder, or a hub id."""
    device: str = "auto"
    dtype: str = "auto"
    planner: PlannerName = "offline"
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """None draws a new seed for every turn."""
    steps: int | None = Field(default=None, ge=1, le=100)
    guidance: float | None = Field(default=None, ge=0, le=30)
    size: Annotated[Size | None, NoDecode] = None
    attention: AttentionName = "dense"
    """How attention is computed: dense, or a sparse policy, used where it pays."""
    out: HomePath | None = None
    """Folder for finished pictures; None keeps them with the session."""
    metadata: MetadataLevel = "full"
    """What a picture file tells about its making."""
    images: Literal["auto", "kitty", "iterm2", "blocks", "off"] = "auto"
    """How pictures are shown in the terminal."""
    llm: LanguageModelSettings = LanguageModelSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller gives: layers are merged, and their origins kept, in `load_settings`."""
        return (init_settings,)
