"""What `chatdit doctor` looks at: versions, device, folders, painter, endpoint. It changes nothing."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from chatdit import __version__
from chatdit.config import Settings, api_key, data_dir, user_config_file

Status = Literal["ok", "warning", "failure"]
PACKAGES = ("torch", "triton", "diffusers", "transformers", "langgraph", "langgraph-checkpoint-sqlite", "openai",
            "pydantic", "rich", "prompt_toolkit", "typer", "safetensors", "pillow", "numpy")  # fmt: skip
ENDPOINT_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do when it is not ok."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in order; a check that breaks is itself a failure, and the others go on."""
    yield Finding("chatdit", "ok", __version__)
    yield _python()
    for package in PACKAGES:
        yield _version(package)
    checks: dict[str, Callable[[], Finding]] = {
        "device": lambda: _device(settings),
        "attention": _attention,
        "data folder": lambda: _writable("data folder", data_dir()),
        "configuration folder": lambda: _writable("configuration folder", user_config_file().parent),
        "painter": lambda: _painter(settings.model),
    }
    if settings.planner == "openai" or settings.llm.base_url:
        checks["endpoint"] = lambda: _endpoint(settings)
    for name, check in checks.items():
        yield _guarded(name, check)


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding(name, "failure", f"{type(error).__name__}: {error}".splitlines()[0])


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("python", "ok", detail)


def _version(package: str) -> Finding:
    try:
        return Finding(package, "ok", metadata.version(package))
    except metadata.PackageNotFoundError:
        if package == "triton" and sys.platform != "linux":
            return Finding(package, "ok", "not needed on this system")
        return Finding(package, "failure", "not installed", "install chatdit again: pip install chatdit")


def _device(settings: Settings) -> Finding:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("device", "ok", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB (CUDA {torch.version.cuda})")
    threads = torch.get_num_threads()
    detail = f"CPU, {threads} thread{'s' * (threads != 1)}"
    if settings.device.startswith("cuda"):
        asked = f"{detail}; the settings ask for {settings.device}"
        return Finding("device", "failure", asked, 'set device = "auto"')
    return Finding("device", "ok", detail)


def _attention() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("attention", "ok", "dense scaled_dot_product_attention on CUDA")
    return Finding("attention", "ok", "dense scaled_dot_product_attention on the CPU")


def _writable(name: str, folder: Path) -> Finding:
    """Write and remove a file in the folder, or in the nearest one above it that exists."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".chatdit-"):
            pass
    except OSError as error:
        return Finding(name, "failure", f"{folder}: {error.strerror}", "make it writable, or set CHATDIT_HOME")
    return Finding(name, "ok", f"{folder}{'' if existing == folder else ' (made when first needed)'}")


def _painter(model: str) -> Finding:
    from chatdit.tools.dit.folders import POCKET, checked_digest, find_folder, read_json
    from chatdit.tools.types import ToolError

    name = f"painter {model}"
    if model != POCKET and not Path(model).exists():
        return Finding(name, "warning", "a hub id: not looked at", "it is fetched when first used")
    folder = find_folder(model)
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        return Finding(name, "failure", f"no weights in {folder}", "install chatdit again, or choose another --model")
    size = sum(file.stat().st_size for file in files) / 2**20
    try:
        digest = checked_digest(folder, read_json(folder / "model_index.json"))
    except ToolError as error:
        return Finding(name, "failure", str(error), "install chatdit again, or choose another --model")
    return Finding(name, "ok", f"{len(files)} files, {size:.1f} MiB, sha256 {digest[:16]}")


def _endpoint(settings: Settings) -> Finding:
    """One request for the list of models; the key is sent nowhere else and never shown."""
    from openai import APIConnectionError, APIStatusError, OpenAI

    key = api_key(settings)
    where = settings.llm.base_url or "https://api.openai.com/v1"
    if key is None and settings.llm.base_url is None:
        return Finding("endpoint", "failure", f"no key for {where}", "set OPENAI_API_KEY or llm.api_key_file")
    secret = key.get_secret_value() if key else "not-needed"
    client = OpenAI(base_url=where, api_key=secret, timeout=ENDPOINT_SECONDS, max_retries=0)
    try:
        names = [model.id for model in client.models.list().data]
    except APIConnectionError as error:
        reason = error.__cause__ or error
        return Finding("endpoint", "failure", f"{where} does not answer: {reason}", "check llm.base_url")
    except APIStatusError as error:
        return Finding("endpoint", "failure", f"{where} answers {error.status_code}", "check the key and llm.base_url")
    wanted = settings.llm.model
    if wanted and names and wanted not in names:
        return Finding("endpoint", "warning", f"{where} does not list {wanted}", f"it lists {', '.join(names[:5])}")
    return Finding("endpoint", "ok", f"{where} answers, {len(names)} models")
