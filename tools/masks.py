"""Masks as people hand them over: black and white pictures, white where something may change."""

from __future__ import annotations

import numpy as np
from PIL import Image

_MARGIN = 32
"""Levels of 255 that black and white may be off, as in a JPEG."""
_SURE = 0.98
_LEAST = 0.001


def looks_like_mask(image: Image.Image) -> bool:
    """Whether a picture (RGB or L) has two levels, black and white, and some of both."""
    levels = np.asarray(image.convert("RGB"), dtype=np.int16)
    coloured = levels.max(axis=2) - levels.min(axis=2) > _MARGIN
    grey = levels.mean(axis=2)
    black, white = ((~coloured & part).mean() for part in (grey < _MARGIN, grey > 255 - _MARGIN))
    return bool(black + white >= _SURE and min(black, white) >= _LEAST)
