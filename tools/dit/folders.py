"""Where a model lives on disk, whether it may be loaded, and what identifies its weights."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from chatdit.tools.dit.storage import weights_digest
from chatdit.tools.types import ToolError

POCKET = "pocket"
LIBRARIES = ("diffusers", "transformers")
EXACT_DIGEST_BYTES = 2**28
SHA256 = "sha256"
"""In model_index.json: the fingerprint of the weights that the folder was written with."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PICKLE = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WINDOW = 2**20


def find_folder(source: str | Path) -> Path:
    """The diffusers folder of "pocket", of a folder, or of a hub id (owner/name, downloaded if needed).

    Raises:
        ToolError: there is no such model, or it has weights other than safetensors.
    """
    folder = _located(source)
    if not (folder / "model_index.json").is_file():
        raise ToolError(f"{source}: no model_index.json in it; expected a diffusers folder, {POCKET!r} or a hub id")
    refuse_pickle(folder)
    return folder


def read_json(path: Path) -> dict[str, object]:
    """The object in a JSON file. Raises ToolError if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: expected a readable JSON file ({_line(error)}); restore the model folder") from error
    if not isinstance(value, dict):
        raise ToolError(f"{path}: expected a JSON object, got {type(value).__name__}; restore the model folder")
    return value


def refuse_pickle(folder: Path) -> None:
    """Raises ToolError if a part of the model has pickle weights and no safetensors beside them."""
    for part in (folder, *(p for p in sorted(folder.iterdir()) if p.is_dir())):
        pickles = sorted(p.name for p in part.iterdir() if p.suffix in _PICKLE and p.name != "training_args.bin")
        if pickles and not any(part.glob("*.safetensors")):
            raise ToolError(f"{part / pickles[0]}: pickle weights can run code and are refused; convert to safetensors")


def fingerprint(folder: Path) -> str:
    """What identifies the weights, 64 hex digits.

    The SHA-256 of every byte for small models. Above EXACT_DIGEST_BYTES, of names, sizes, headers
    (which list every tensor) and three windows of each file, since reading tens of gigabytes would
    take longer than a picture.
    """
    paths = sorted(folder.rglob("*.safetensors"))
    if sum(path.stat().st_size for path in paths) <= EXACT_DIGEST_BYTES:
        return weights_digest(folder)
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size} ".encode())
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
            digest.update(file.read(min(header, size)))
            for start in (8 + header, size // 2, max(0, size - _WINDOW)):
                file.seek(start)
                digest.update(file.read(_WINDOW))
    return digest.hexdigest()


def checked_digest(folder: Path, index: Mapping[str, object]) -> str:
    """The fingerprint of the weights. Raises ToolError if the folder's index names another: damaged, or not its own."""
    digest = fingerprint(folder)
    if index.get(SHA256, digest) != digest:
        raise ToolError(
            f"{folder}: the weights are not those of its model_index.json (SHA-256 {digest[:12]}..., expected "
            f"{str(index[SHA256])[:12]}...); restore or replace the folder"
        )
    return digest


def _located(source: str | Path) -> Path:
    text = str(source)
    if text == POCKET:
        folder = Path(str(files("chatdit.tools.pocket"))) / "weights"
        if not folder.is_dir():
            raise ToolError(f"{folder}: the pocket weights are missing; reinstall the package")
        return folder
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists():
        raise ToolError(f"{text} is a file; expected a diffusers folder, {POCKET!r} or a hub id")
    if isinstance(source, str) and _HUB_ID.fullmatch(text):
        return _downloaded(text)
    raise ToolError(f"{text!r} is not a folder; expected {POCKET!r}, a diffusers folder or a hub id like owner/name")


def _downloaded(hub_id: str) -> Path:
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

    try:
        return Path(str(FluxPipeline.download(hub_id, use_safetensors=True)))
    except Exception as error:
        raise ToolError(
            f"{hub_id}: no folder of that name, and the hub did not give it ({_line(error)}); "
            "check the name, the network and your access"
        ) from error


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
