"""Run by test_search.py in a process of its own, for the interpreter must be chosen before triton is imported.

Prints as JSON how far the Triton kernels of a search are from what the policies compute in plain PyTorch.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.policies.adaspa import block_mass, fused_mass
from chatdit.kernels.policies.geometry import Geometry
from chatdit.kernels.policies.svg2 import lloyd
from chatdit.kernels.search.clusters import cluster_sums, nearest_centroids

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def masses() -> dict[str, float]:
    """Largest difference of shares and LSEs: with text in the middle, padding, a last block that is not full."""
    found = {}
    geometries = {
        "plain": (Geometry(10, 13), 64),
        "text": (Geometry(9, 10, text=(Segment(0, 7),)), 32),
        "text last, padding": (Geometry(9, 10, text=(Segment(90, 97),), key_lengths=torch.tensor([97, 80])), 16),
    }
    for name, (geometry, block) in geometries.items():
        for dtype in DTYPES if name == "text" else DTYPES[:1]:
            q, k = (randn(2, 2, geometry.length, 32, seed=s).mul(1.5).to(dtype) for s in (0, 1))
            want, lse = block_mass(q, k, geometry, block)
            got, own = fused_mass(q, k, geometry, block, None)
            known, _ = fused_mass(q, k, geometry, block, lse)
            label = f"{name}-{str(dtype).removeprefix('torch.')}"
            found[label] = max(float((a - b).abs().max()) for a, b in ((got, want), (known, want), (own, lse)))
            found[f"{label}-sum"] = float(got.sum(-1).max())
    return found


def clusters() -> dict[str, float | bool]:
    """How much farther than the nearest centroid the chosen one is; and sums, and whole runs, beside PyTorch's."""
    found: dict[str, float | bool] = {}
    for dtype in DTYPES:
        label = str(dtype).removeprefix("torch.")
        x = randn(2, 2, 150, 32, seed=2).to(dtype)
        centroids = randn(2, 2, 70, 32, seed=3)
        labels = nearest_centroids(x, centroids)
        distances = torch.cdist(x.double(), centroids.double()).square()
        chosen = distances.gather(-1, labels[..., None])[..., 0]
        found[f"excess-{label}"] = float((chosen - distances.min(dim=-1).values).max())
        counted = torch.ones(2, 1, 150)
        counted[1, :, 100:] = 0
        members = (labels[..., None] == torch.arange(70)).double() * counted[..., None]
        sums = cluster_sums(x, labels, counted, 70)
        found[f"sums-{label}"] = float((sums.double() - members.mT @ x.double()).abs().max())
    x = torch.cat(
        [randn(1, 2, 40, 32, seed=4 + i) * 0.1 + 3 * randn(1, 2, 1, 32, seed=20 + i) for i in range(4)], dim=2
    )
    valid = torch.ones(1, 1, 160, dtype=torch.bool)
    valid[..., 150:] = False
    for name, mask in (("all", None), ("some", valid)):
        runs = [lloyd(x, 4, 5, None, mask, triton=triton) for triton in (True, False)]
        found[f"labels-{name}"] = bool(torch.equal(runs[0].labels, runs[1].labels))
        found[f"sizes-{name}"] = bool(torch.equal(runs[0].sizes, runs[1].sizes))
        found[f"centroids-{name}"] = float((runs[0].centroids - runs[1].centroids).abs().max())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    print(json.dumps({"masses": masses(), "clusters": clusters()}))
