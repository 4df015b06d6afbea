"""Muon with AdamW for what is not a matrix, in one optimiser.

Muon orthogonalises the momentum of a matrix by Newton-Schulz iteration (Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon). Matrices of one shape are stacked and iterated
together. The update is scaled to match AdamW's RMS (arXiv 2502.16982), so both halves can share
one learning rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Muon:
    """Muon on `matrices`, AdamW (0.9, 0.95), no weight decay, on `others`.

    Convolution kernels are treated as matrices (output channels x the rest).
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], momentum: float = 0.95
    ) -> None:
        self._groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for parameter in matrices:
            self._groups[(parameter.shape[0], parameter[0].numel())].append(parameter)
        self._momentum = momentum
        self._buffers = {shape: torch.zeros(0) for shape in self._groups}
        self._adam = torch.optim.AdamW(list(others), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, eps=1e-8)

    def step(self, matrix_rate: float, other_rate: float) -> None:
        """One update from the gradients that stand in `.grad`, which are then cleared."""
        for shape, parameters in self._groups.items():
            self._step_matrices(shape, parameters, matrix_rate)
        for group in self._adam.param_groups:
            group["lr"] = other_rate
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _step_matrices(self, shape: tuple[int, int], parameters: list[nn.Parameter], rate: float) -> None:
        gradients = torch.stack([_gradient(p).reshape(shape).float() for p in parameters])
        buffer = self._buffers[shape]
        if not buffer.numel():
            buffer = self._buffers[shape] = torch.zeros_like(gradients)
        buffer.lerp_(gradients, 1 - self._momentum)
        updates = orthogonalised(gradients.lerp(buffer, self._momentum))
        scale = 0.2 * max(shape) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-rate * scale)
            parameter.grad = None


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly, of a stack (N, R, C), by a quintic iteration; in bf16 on a GPU."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = x.mT if tall else x
    return found.float()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
