"""The device that a person names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chatdit.exit_codes import UsageError

if TYPE_CHECKING:
    import torch


def named_device(name: str) -> torch.device:
    """What `--device` means; "auto" is the GPU if there is one. Raises UsageError for a device that is not here."""
    import torch

    count = torch.cuda.device_count()
    try:
        device = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise UsageError(f"--device {name[:40]!r} is not known: expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"cuda:0 to cuda:{count - 1}" if count else "no CUDA device"
        raise UsageError(f"--device {name[:40]} is not here: torch finds {found}; use that, or cpu")
    return device


def visible_gpus() -> tuple[str, ...]:
    """The CUDA devices that this process may use, each as CUDA_VISIBLE_DEVICES names it."""
    import torch

    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = None if said is None else [name.strip() for name in said.split(",")]
    count = torch.cuda.device_count()
    return tuple(str(i) for i in range(count)) if named is None else tuple(named[:count])
