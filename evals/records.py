"""Records of benchmarks: one JSON file for each, under `evals/records/`; history keeps the earlier ones."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

RECORDS = Path(__file__).parent / "records"


def write_record(record: Mapping[str, object], folder: Path = RECORDS) -> Path:
    """Write `record` to `<its "benchmark">.json` in `folder` and return the path."""
    path = folder / f"{record['benchmark']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def commit() -> str:
    """The short hash of the checkout this code stands in, or "unknown"."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(("git", "-C", str(root), "rev-parse", "--short", "HEAD"), capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def describe_device(device: torch.device) -> dict[str, object]:
    """What a record says of the device that was measured on."""
    import torch

    if device.type == "cuda":
        return {"kind": "cuda", "name": torch.cuda.get_device_name(device)}
    return {"kind": device.type, "threads": torch.get_num_threads(), "machine": platform.machine()}


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, torch and other `packages`."""
    named = {name: metadata.version(name) for name in ("torch", *packages)}
    return {"python": platform.python_version(), **named}
