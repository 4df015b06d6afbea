"""From the name that a person gives to a policy that a sampling call can take."""

from __future__ import annotations

import torch

from chatdit.kernels.policies.catalogue import POLICIES
from chatdit.tools.dit.sparse_route import SparseAttention
from chatdit.tools.runtime.cost_model import crossover
from chatdit.tools.types import ToolError


def named_policy(name: str, device: torch.device | str) -> SparseAttention:
    """The policy with its paper's settings, dense below where it pays on the device.

    Raises:
        ToolError: "dense" or an unknown name; the message lists the known ones.
    """
    kind = POLICIES.get(name)
    if kind is None or name == "sparse-vdit":  # which needs a table that was searched for offline
        known = ", ".join(known for known in POLICIES if known != "sparse-vdit")
        raise ToolError(f"attention {name!r} is no sparse policy; known are {known}")
    device_kind = torch.device(device).type
    pays = crossover(name, device_kind)
    return SparseAttention(name, kind(), pays.tokens, pays.origin, pays.width)
