"""What follows from the sizes of a grid alone is made once: orders of tokens, distances of tiles.

Making it anew for each call keeps a GPU's host busy for longer than a short call's attention takes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
Made = TypeVar("Made")
MOST = 64
"""Results that each function keeps."""


def remembered(make: Callable[Concatenate[torch.device, P], Made]) -> Callable[Concatenate[torch.device, P], Made]:
    """`make(device, ...)`, done once for the same device and arguments, which are hashable; nobody may write into it.

    Results can be saved for a backward even if they were first made in inference mode. Nothing is kept of a tracing or
    of a CUDA graph's recording, in which tensors have no values yet.
    """
    kept: OrderedDict[object, Made] = OrderedDict()

    @wraps(make)
    def get(device: torch.device, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        key = (device, args, tuple(sorted(kwargs.items())))
        found = kept.get(key)
        if found is not None:
            return found
        with torch.inference_mode(False):
            made = make(device, *args, **kwargs)
            if _has_values(device):
                kept[key] = made
                while len(kept) > MOST:
                    kept.popitem(last=False)
        return made

    return get


def _has_values(device: torch.device) -> bool:
    if device.type == "meta" or type(torch.empty(0, device=device)) is not Tensor:
        return False
    return not (device.type == "cuda" and torch.cuda.is_current_stream_capturing())
