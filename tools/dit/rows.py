"""What goes into a sampling call and what comes out: rows, their segments, and how to integrate.

Layout legend: H, W pixels; tensors of pictures are (3, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from chatdit.tools.dit.attention_plan import Scope

if TYPE_CHECKING:
    from chatdit.tools.dit.adapters import AdapterUse
    from chatdit.tools.dit.sparse_route import SparseAttention

Trajectory = Literal["generate", "noised", "clean", "edited"]
Given = Literal["clean", "noised"]
Route = Literal["flow_edit", "euler", "midpoint", "fireflow"]
"""How an edited row comes from its picture: without inversion, or by inversion with a solver."""


@dataclass(frozen=True, eq=False)
class Segment:
    """One picture inside a row's context.

    `panel` is the first RoPE coordinate of its tokens and `origin` the (row, column) of its first
    token. `known` holds given pixels in [-1, 1]; `known_mask` (H, W) is True where they count, and
    None means everywhere. Known pixels come back exactly as given, except those of an "edited" row:
    there `keep` (H, W) is True where they must, and None means nowhere.
    """

    width: int
    height: int
    panel: int = 0
    origin: tuple[int, int] = (0, 0)
    known: Tensor | None = None
    known_mask: Tensor | None = None
    keep: Tensor | None = None

    @property
    def wholly_known(self) -> bool:
        """Whether every pixel is given."""
        return self.known is not None and (self.known_mask is None or bool(self.known_mask.all()))


@dataclass(frozen=True)
class EditSource:
    """What the pictures of an "edited" row show, and by which way they come to show its caption.

    `start` is the share of the steps that are done, the last ones: more changes more. `guidance` is towards
    `caption`; that of the sampling options is towards the row's own. "flow_edit" averages over `draws` of
    noise at every step (n_avg of arXiv 2412.08629). Where `shared` holds, the row sees the keys and values of
    its own picture's tokens in place of its own (arXiv 2411.14430).
    """

    caption: str
    route: Route = "flow_edit"
    start: float = 1.0
    guidance: float = 1.0
    draws: int = 1
    shared: Scope | None = None


@dataclass(frozen=True)
class Region:
    """A part of one of a row's pictures that has a phrase of its own; see `regions`."""

    phrase: str
    box: tuple[float, float, float, float]
    """Left, top, right and bottom in fractions of the picture."""
    segment: int = 0


@dataclass(frozen=True, eq=False)
class Row:
    """One batch entry: a caption and the segments that share its context.

    A "generate" row is integrated from noise drawn with `seed`. A "noised" row is its known
    pictures, noised to the level of each step; a "clean" row is the same pictures at t = 0. Those
    two exist to be read by other rows through an attention plan and need every segment known. So does an
    "edited" row, whose pictures become what its caption says from what `source` says; no plan may name it.

    A "noised" row's pictures have the noise of a schedule whose shift is the call's to the power `noise_shift`, while
    the model is told the call's own time: at -1 it sees them cleaner than it is told (the adjusted shift of FreeCus,
    arXiv 2507.15249), at minus infinity clean.
    """

    caption: str
    segments: tuple[Segment, ...]
    seed: int
    trajectory: Trajectory = "generate"
    negative: str = ""
    source: EditSource | None = None
    noise_shift: float = 1.0
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class SamplingOptions:
    """How to integrate; None leaves the choice to the model.

    `given` says how known tokens are fed during sampling: clean at every step, or noised to the
    step's level. `preview` puts small pictures into progress reports. `attention` is the sparse policy to compute
    attention with where it pays; None is dense. `adapter` is a LoRA that is on for this call.
    """

    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    given: Given = "clean"
    preview: bool = False
    attention: SparseAttention | None = None
    adapter: AdapterUse | None = None


@dataclass(frozen=True)
class SamplingDefaults:
    """What a model does best when nothing is asked; sides in pixels.

    `token_size` is the side of one token: widths and heights must be multiples of it. `shift` None
    means that the schedule shifts by the number of tokens. `horizon` is how much of the unshifted schedule
    one call of a few-step model sees ahead; None for other models. With `layout` tokens bring layout channels.
    """

    steps: int
    guidance: float
    shift: float | None
    width: int
    height: int
    max_panels: int
    open_vocabulary: bool
    token_size: int
    horizon: float | None = None
    layout: bool = False


@dataclass(frozen=True)
class AttentionSummary:
    """What became of a policy in a sampling run: calls, sparse ones among them, their mean density.

    `reasons` says, each once, why calls were dense.
    """

    policy: str
    calls: int
    sparse: int
    density: float | None
    reasons: tuple[str, ...]

    @property
    def stayed_dense(self) -> bool:
        """Whether the policy never came to bear."""
        return self.sparse == 0

    def __str__(self) -> str:
        why = "; ".join(self.reasons)
        if self.density is None:
            return f"{self.policy} stayed dense: {why or 'no attention call came'}"
        counted = f"{self.policy}: {self.sparse} of {self.calls} calls sparse, density {self.density:.2f}"
        return f"{counted}; dense: {why}" if why else counted


@dataclass(frozen=True, eq=False)
class SampledRow:
    """A row's pictures in the order of its segments, float32 in [0, 1] on the CPU.

    `attention` is what became of the policy, if one was asked for.
    """

    images: tuple[Tensor, ...]
    attention: AttentionSummary | None = None
