"""Which pairs of tokens inside a partial block meet.

A predicate speaks of body tokens, numbered in sequence order (raster order for pictures and video); the
plan's permutation is undone before it is asked.

Layout legend: B batch, N body tokens, F frames, H rows, W columns of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import check_integers


@dataclass(frozen=True)
class Disc:
    """Pairs closer than `radius` tokens in an H x W picture: dx² + dy² < r² (CLEAR, arXiv 2412.16112)."""

    height: int
    width: int
    radius: float

    def __post_init__(self) -> None:
        _check_grid(height=self.height, width=self.width)
        if not 0 < self.radius < float("inf"):
            raise KernelError(f"radius is {self.radius}; it must be positive and finite")

    def allowed(self, q: Tensor, k: Tensor, batch: int) -> Tensor:
        """Whether query tokens meet key tokens; integer tensors that broadcast, booleans back."""
        dy = q // self.width - k // self.width
        dx = q % self.width - k % self.width
        return dy * dy + dx * dx < self.radius * self.radius

    def tokens(self) -> tuple[int, int]:
        """Query and key tokens that the predicate knows."""
        return self.height * self.width, self.height * self.width

    @property
    def batch(self) -> int:
        """Batch entries that the predicate tells apart."""
        return 1


@dataclass(frozen=True)
class Window:
    """Pairs at most `reach` = (frames, rows, columns) apart in an F x H x W video, on each side."""

    frames: int
    height: int
    width: int
    reach: tuple[int, int, int]

    def __post_init__(self) -> None:
        _check_grid(frames=self.frames, height=self.height, width=self.width)
        if min(self.reach) < 0:
            raise KernelError(f"reach is {self.reach}; it must not be negative")

    def allowed(self, q: Tensor, k: Tensor, batch: int) -> Tensor:
        """Whether query tokens meet key tokens; integer tensors that broadcast, booleans back."""
        area = self.height * self.width
        apart = (
            q // area - k // area,
            q // self.width % self.height - k // self.width % self.height,
            q % self.width - k % self.width,
        )
        near = [d.abs() <= most for d, most in zip(apart, self.reach, strict=True)]
        return near[0] & near[1] & near[2]

    def tokens(self) -> tuple[int, int]:
        """Query and key tokens that the predicate knows."""
        n = self.frames * self.height * self.width
        return n, n

    @property
    def batch(self) -> int:
        """Batch entries that the predicate tells apart."""
        return 1


@dataclass(frozen=True, eq=False)
class Documents:
    """Pairs of one document: `q` (B|1, N) and `k` (B|1, N') hold each token's document number."""

    q: Tensor
    k: Tensor

    def __post_init__(self) -> None:
        check_integers("documents.q", self.q, dims=2)
        check_integers("documents.k", self.k, dims=2)
        if self.q.device != self.k.device:
            raise KernelError(f"documents.q is on {self.q.device} and documents.k on {self.k.device}; move one")
        if 1 not in (self.q.shape[0], self.k.shape[0]) and self.q.shape[0] != self.k.shape[0]:
            raise KernelError(f"documents.q has {self.q.shape[0]} batch entries, documents.k {self.k.shape[0]}")

    def allowed(self, q: Tensor, k: Tensor, batch: int) -> Tensor:
        """Whether query tokens meet key tokens; integer tensors that broadcast, booleans back."""
        return _entry(self.q, batch)[q] == _entry(self.k, batch)[k]

    def tokens(self) -> tuple[int, int]:
        """Query and key tokens that the predicate knows."""
        return self.q.shape[1], self.k.shape[1]

    @property
    def batch(self) -> int:
        """Batch entries that the predicate tells apart."""
        return max(self.q.shape[0], self.k.shape[0])


Predicate = Disc | Window | Documents


def _entry(x: Tensor, batch: int) -> Tensor:
    return x[batch if x.shape[0] > 1 else 0]


def _check_grid(**sides: int) -> None:
    for name, side in sides.items():
        if side < 1:
            raise KernelError(f"{name} is {side}; a grid has at least one token on each side")
