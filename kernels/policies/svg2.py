"""Sparse VideoGen 2 (arXiv 2505.18875): tokens grouped by k-means, clusters of keys chosen by their mass.

Layout legend: B batch, H heads, N body tokens, C clusters, D head dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_axis import BlockAxis, take_body
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import BlockRows
from chatdit.kernels.plan.pooling import valid_body
from chatdit.kernels.policies.block_choice import check_fraction, searches_on_triton
from chatdit.kernels.policies.geometry import Geometry, Place, all_dense, check_fit


class Clusters(NamedTuple):
    """Centroids (B, H, C, D) fp32, the cluster of each token (B, H, N), tokens in each (B, H, C)."""

    centroids: Tensor
    labels: Tensor
    sizes: Tensor


@dataclass(frozen=True)
class Svg2:
    """Clusters of q and of k, by k-means on each; of those of k, the fewest that hold `p` of the mass.

    The paper's settings: 100 and 500 clusters, 50 iterations at first, then 2 a step from the layer's last
    centroids; at least a tenth of the key clusters; 30 % of the steps dense. Centroids are remembered: one
    policy serves one sampling run (and one guidance branch) from its first step to its last.
    """

    q_clusters: int = 100
    k_clusters: int = 500
    p: float = 0.9
    least: float = 0.1
    first_iterations: int = 50
    later_iterations: int = 2
    dense_steps: float = 0.3
    remembered: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("p", "least", "dense_steps"):
            check_fraction(name, getattr(self, name))
        if min(self.q_clusters, self.k_clusters) < 1:
            raise KernelError(f"clusters are {self.q_clusters} and {self.k_clusters}; both must be at least 1")

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Plan with an order and variable blocks for each head; nothing is read back from the device."""
        check_fit(q, k, geometry)
        if step.index < self.dense_steps * step.count:
            return all_dense(q, geometry)
        last = self.remembered.get(layer.index, (None, None))
        fits = last[0] is not None and last[0].shape[:2] == q.shape[:2]
        iterations = self.later_iterations if fits else self.first_iterations
        sides = []
        for x, clusters, start in ((q, self.q_clusters, last[0]), (k, self.k_clusters, last[1])):
            valid = valid_body(geometry.axis(16), geometry.key_lengths, ()) if x is k else None
            sides.append(k_means(_body(x, geometry), clusters, iterations, start if fits else None, valid))
        self.remembered[layer.index] = (sides[0].centroids, sides[1].centroids)
        shares = cluster_shares(sides[0], sides[1], 1 / math.sqrt(q.shape[3]))
        rows = top_p_rows(shares, self.p, math.ceil(self.least * shares.shape[-1]))
        axes = [_axis(geometry, side) for side in sides]
        return BlockPlan(axes[0], axes[1], rows, key_lengths=geometry.key_lengths, trusted=True)


def k_means(
    x: Tensor, clusters: int, iterations: int, start: Tensor | None = None, valid: Tensor | None = None
) -> Clusters:
    """Lloyd's algorithm on x (B, H, N, D), each head by itself, for so many iterations; no random draw.

    It starts from `start` (B, H, C, D) or from tokens at even distances. Sums are matrix products, so that the
    result is the same on every run. A cluster that loses its last token keeps its centroid. Tokens outside
    `valid` (B, 1, N) move no centroid and do not count in the sizes. On a GPU, Triton kernels do it.
    """
    return lloyd(x.detach(), clusters, iterations, start, valid, triton=searches_on_triton(x))


def lloyd(
    x: Tensor, clusters: int, iterations: int, start: Tensor | None, valid: Tensor | None, *, triton: bool
) -> Clusters:
    """What `k_means` gives, by Triton kernels or by plain matrix products."""
    count = min(clusters, x.shape[2])
    even = torch.arange(count, device=x.device) * x.shape[2] // count
    centroids = x[:, :, even].float() if start is None else start
    counted = torch.ones(1, 1, x.shape[2], device=x.device) if valid is None else valid.float()
    nearest, summed = _triton_halves() if triton else (_nearest, _sums)
    x = x if triton else x.float()
    labels = nearest(x, centroids)
    sizes = _sizes(labels, count, counted)
    for _ in range(iterations):
        means = summed(x, labels, counted, count) / sizes.clamp(min=1)[..., None]
        centroids = torch.where(sizes[..., None] > 0, means, centroids)
        labels = nearest(x, centroids)
        sizes = _sizes(labels, count, counted)
    return Clusters(centroids, labels, sizes)


def cluster_shares(q: Clusters, k: Clusters, scale: float) -> Tensor:
    """(B, H, C, C'): softmax of centroid scores, each key cluster as often as it has tokens."""
    return (q.centroids @ k.centroids.mT * scale + k.sizes.log()[..., None, :]).softmax(dim=-1)


def top_p_rows(shares: Tensor, p: float, at_least: int) -> BlockRows:
    """Fixed rows with counts: clusters by falling share, as many as reach p, never fewer than so many."""
    ranked, order = shares.sort(dim=-1, descending=True)
    counts = ((ranked.cumsum(dim=-1) - ranked) < p).sum(dim=-1).clamp(min=max(1, at_least))
    return BlockRows(order.int(), counts)


def _triton_halves() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    from chatdit.kernels.search.clusters import cluster_sums, nearest_centroids

    return nearest_centroids, cluster_sums


def _nearest(x: Tensor, centroids: Tensor) -> Tensor:
    return (centroids.square().sum(-1)[..., None, :] - 2 * x @ centroids.mT).argmin(dim=-1)


def _sums(x: Tensor, labels: Tensor, counted: Tensor, count: int) -> Tensor:
    members = (labels[..., None] == torch.arange(count, device=labels.device)).float() * counted[..., None]
    return members.mT @ x


def _sizes(labels: Tensor, count: int, counted: Tensor) -> Tensor:
    """(B, H, C); sums of ones, which no order changes."""
    sizes = torch.zeros(*labels.shape[:2], count, device=labels.device)
    return sizes.scatter_add_(2, labels, counted.expand(labels.shape))


def _body(x: Tensor, geometry: Geometry) -> Tensor:
    body = take_body(x.detach(), geometry.axis(16))
    valid = valid_body(geometry.axis(16), geometry.key_lengths, ())
    return body if valid is None else body.masked_fill(~valid[..., None], 0.0)


def _axis(geometry: Geometry, side: Clusters) -> BlockAxis:
    """Tokens in the order of their clusters; a cluster is a block, tokens of padding included."""
    order = side.labels.argsort(dim=-1, stable=True)
    ranked = side.labels.gather(-1, order)
    edges = torch.arange(side.sizes.shape[-1] + 1, device=order.device).expand(*order.shape[:2], -1).contiguous()
    return geometry.axis(offsets=torch.searchsorted(ranked, edges), order=order)
