"""Pictures to tensors and back. Layout: C=3 colours, H rows, W columns."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chatdit.tools.types import ToolError


def to_tensor(image: Image.Image) -> Tensor:
    """RGB picture as float32 (3, H, W) in [-1, 1], the range painters encode from."""
    levels = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32).copy())
    return levels.permute(2, 0, 1).contiguous() / 127.5 - 1


def to_picture(pixels: Tensor) -> Image.Image:
    """Float (3, H, W) in [0, 1] as an RGB picture; raises ToolError on NaN or infinity."""
    if not bool(torch.isfinite(pixels).all()):
        raise ToolError("the painter made pixels that are not numbers: expected finite values; try dtype float32")
    levels = (pixels.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy())
