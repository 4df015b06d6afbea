"""Efficient-vDiT's attention tile (arXiv 2502.06155): frames meet themselves and a few reference frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chatdit.kernels.errors import KernelError
from chatdit.kernels.plan.block_plan import BlockPlan
from chatdit.kernels.plan.block_rows import rows_from_mask
from chatdit.kernels.policies.geometry import Geometry, Place, check_fit


@dataclass(frozen=True)
class EfficientVdit:
    """The k : F - k mask. Each of F frames meets itself and k reference frames; reference frames meet all.

    `references` is k for every layer, or for each (the paper searches it layer by layer; its sparsest is 1).

    Raises:
        KernelError: on a call, when k is not from 1 to the number of frames, or a layer has no k.
    """

    references: int | tuple[int, ...] = 1

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        """Static plan of frame blocks, shared by batch and heads."""
        check_fit(q, k, geometry)
        kept = self._of_layer(layer.index)
        mask = frame_mask(geometry.frames, kept)
        edges = torch.arange(geometry.frames + 1, device=q.device) * (geometry.height * geometry.width)
        axis = geometry.axis(offsets=edges[None, None])
        rows = rows_from_mask(mask[None, None].to(q.device))
        return BlockPlan(axis, axis, rows, key_lengths=geometry.key_lengths, trusted=True)

    def _of_layer(self, index: int) -> int:
        if isinstance(self.references, int):
            return self.references
        if not 0 <= index < len(self.references):
            raise KernelError(f"layer is {index}; references holds {len(self.references)} layers")
        return self.references[index]


def frame_mask(frames: int, references: int) -> Tensor:
    """(F, F): the diagonal, and rows and columns of evenly spaced reference frames.

    Raises:
        KernelError: references is not from 1 to the number of frames.
    """
    if not 1 <= references <= frames:
        raise KernelError(f"references is {references}; it must be from 1 to the number of frames, {frames}")
    mask = torch.eye(frames, dtype=torch.bool)
    chosen = torch.arange(references) * frames // references
    mask[chosen] = True
    mask[:, chosen] = True
    return mask
