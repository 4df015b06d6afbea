"""What goes into a sampling call and what comes out: rows, their segments, and how to integrate.

Layout legend: H, W pixels; tensors of pictures are (3, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Trajectory = Literal["generate", "noised", "clean"]
Given = Literal["clean", "noised"]


@dataclass(frozen=True, eq=False)
class Segment:
    """One picture inside a row's context.

    `panel` is the first RoPE coordinate of its tokens and `origin` the (row, column) of its first
    token. `known` holds given pixels in [-1, 1]; `known_mask` (H, W) is True where they count, and
    None means everywhere. Known pixels come back exactly as given.
    """

    width: int
    height: int
    panel: int = 0
    origin: tuple[int, int] = (0, 0)
    known: Tensor | None = None
    known_mask: Tensor | None = None

    @property
    def wholly_known(self) -> bool:
        """Whether every pixel is given."""
        return self.known is not None and (self.known_mask is None or bool(self.known_mask.all()))


@dataclass(frozen=True, eq=False)
class Row:
    """One batch entry: a caption and the segments that share its context.

    A "generate" row is integrated from noise drawn with `seed`. A "noised" row is its known
    pictures, noised to the level of each step; a "clean" row is the same pictures at t = 0. Those
    two exist to be read by other rows through an attention plan and need every segment known.
    """

    caption: str
    segments: tuple[Segment, ...]
    seed: int
    trajectory: Trajectory = "generate"
    negative: str = ""


@dataclass(frozen=True)
class SamplingOptions:
    """How to integrate; None leaves the choice to the model.

    `given` says how known tokens are fed during sampling: clean at every step, or noised to the
    step's level. `preview` puts small pictures into progress reports.
    """

    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    given: Given = "clean"
    preview: bool = False


@dataclass(frozen=True)
class SamplingDefaults:
    """What a model does best when nothing is asked; sides in pixels.

    `token_size` is the side of one token: widths and heights must be multiples of it. `shift` None
    means that the schedule shifts by the number of tokens.
    """

    steps: int
    guidance: float
    shift: float | None
    width: int
    height: int
    max_panels: int
    open_vocabulary: bool
    token_size: int


@dataclass(frozen=True, eq=False)
class SampledRow:
    """A row's pictures in the order of its segments, float32 in [0, 1] on the CPU."""

    images: tuple[Tensor, ...]
