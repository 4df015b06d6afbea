"""Where autocast must not choose the precision: sums are in fp32 here, and the rest in the dtype of the inputs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def own_precision(device: str) -> AbstractContextManager[object]:
    """Autocast off on a kind of device, where it is on; else nothing."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
