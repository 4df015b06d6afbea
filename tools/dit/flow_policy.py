"""A velocity for a whole segment of a trajectory from one call of the network: π-Flow's DX policy (arXiv 2510.14974).

The network of a few-step model says what the picture will be as seen from several times of the segment ahead of it.
Between them the picture is linear in time, and the velocity is (x - picture(t)) / t. That equation is solved in closed
form, so that a step of any length has no error but the network's.

Layout legend: B batch, K times of a segment, N tokens, E elements of a token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class FlowPolicy:
    """Pictures at K even times from `start` down to `end`."""

    pictures: Tensor
    """float (B, K, N, E), K of at least 2"""
    start: Tensor
    """float (B,) in (0, 1]"""
    end: Tensor
    """float (B,), below `start`"""

    @classmethod
    def of(cls, x: Tensor, output: Tensor, start: Tensor, end: Tensor) -> FlowPolicy:
        """The policy that the network's output (B, N, K E), K velocities of each token, means at x (B, N, E)."""
        velocities = output.unflatten(2, (-1, x.shape[2])).transpose(1, 2)  # type: ignore[no-untyped-call]
        return cls(x[:, None] - start.view(-1, 1, 1, 1) * velocities, start, end)

    def detach(self) -> FlowPolicy:
        """The same without gradients."""
        return replace(self, pictures=self.pictures.detach())

    def picture(self, t: Tensor) -> Tensor:
        """The picture (B, N, E) as seen from times t (B,); beyond the segment, from its end."""
        last = self.pictures.shape[1] - 1
        place = ((self.start - t) / (self.start - self.end)).clamp(0, 1) * last
        before = place.floor().clamp(max=last - 1)
        rows, share = torch.arange(len(t), device=t.device), (place - before).view(-1, 1, 1)
        low, high = (self.pictures[rows, before.long() + i] for i in (0, 1))
        return low + share * (high - low)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Noise less picture (B, N, E) at x (B, N, E) and times t (B,) above 0."""
        return (x - self.picture(t)) / t.view(-1, 1, 1)

    def travel(self, x: Tensor, origin: Tensor, target: Tensor) -> Tensor:
        """Where x (B, N, E), at times `origin` (B,), is at the earlier `target` (B,); exact.

        On a piece where the picture is a + b t, x(t) = a + (x - a) t / t₀ + b t ln(t₀ / t). Beyond the segment the
        picture stays as it is.
        """
        pieces = self.pictures.shape[1] - 1
        width = (self.start - self.end) / pieces
        for j in range(pieces):
            top = self.start - j * width
            bottom = self.end if j == pieces - 1 else top - width
            slope = (self.pictures[:, j] - self.pictures[:, j + 1]) / width.view(-1, 1, 1)
            base = self.pictures[:, j] - slope * top.view(-1, 1, 1)
            x = _moved(x, base, slope, *(torch.minimum(torch.maximum(t, bottom), top) for t in (origin, target)))
        still = torch.zeros_like(x)
        return _moved(x, self.pictures[:, -1], still, *(torch.minimum(t, self.end) for t in (origin, target)))


def _moved(x: Tensor, base: Tensor, slope: Tensor, origin: Tensor, target: Tensor) -> Tensor:
    """x (B, N, E) carried from times `origin` to `target` (B,) on one piece, where the picture is base + slope t."""
    least = torch.finfo(target.dtype).tiny
    ratio = target / origin.clamp(min=least)
    turn = target * (origin.clamp(min=least) / target.clamp(min=least)).log()
    moved = base + (x - base) * ratio.view(-1, 1, 1) + slope * turn.view(-1, 1, 1)
    return torch.where((target < origin).view(-1, 1, 1), moved, x)


def segment_end(t: Tensor, horizon: float, shift: float) -> Tensor:
    """The time (B,) that lies `horizon` of the unshifted schedule before t (B,), or 0."""
    plain = t / (shift - (shift - 1) * t)
    return shifted((plain - horizon).clamp(min=0), shift)


def shifted(t: Tensor, shift: float) -> Tensor:
    """Times of the unshifted schedule as the schedule with `shift` has them."""
    return shift * t / (1 + (shift - 1) * t)
