"""Forward and backward of a training step: call by call, or recorded once and replayed.

A small model's step is a few thousand calls, each of a few microseconds of work for the device and more for the host,
which then sets the pace. A CUDA graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs) replays all of
them by one call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chatdit.tools.training.examples import Batch

LossOf = Callable[[Batch], Tensor]
Step = Callable[[Batch], Tensor]
"""Leaves gradients in `.grad`, which were None before, and returns the loss, to be read before the next step."""
_WARM_UP = 3


def eager_step(loss_of: LossOf) -> Step:
    """A step call by call."""

    def step(batch: Batch) -> Tensor:
        loss = loss_of(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


@dataclass(frozen=True, eq=False)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    batch: Batch
    gradients: list[Tensor | None]
    loss: Tensor


class RecordedStep:
    """A step that is recorded for each shape of batch and replayed; where recording fails, call by call.

    The loss must not read anything back from the device. All recordings share one memory, since one runs at a time.
    """

    def __init__(self, loss_of: LossOf, model: nn.Module) -> None:
        self._loss_of = loss_of
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._recorded: dict[torch.Size, _Recorded] = {}
        self._eager: Step | None = None
        self._memory = torch.cuda.graph_pool_handle()

    @property
    def records(self) -> bool:
        """Whether recording has not failed so far."""
        return self._eager is None

    def __call__(self, batch: Batch) -> Tensor:
        """As `Step` says."""
        if self._eager is not None:
            return self._eager(batch)
        shape = batch.tokens.shape
        if shape not in self._recorded:
            try:
                self._recorded[shape] = self._record(batch)
            except RuntimeError as error:
                print(f"steps are not recorded: {str(error).splitlines()[0][:200]}", file=sys.stderr, flush=True)
                self._forget()
                self._eager = eager_step(self._loss_of)
                return self._eager(batch)
        held = self._recorded[shape]
        for kept, new in zip(held.batch, batch, strict=True):
            kept.copy_(new, non_blocking=True)
        held.graph.replay()
        for parameter, gradient in zip(self._parameters, held.gradients, strict=True):
            parameter.grad = gradient
        return held.loss

    def _record(self, batch: Batch) -> _Recorded:
        still = Batch(*(x.clone() for x in batch))
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):  # compiles, and allocates what libraries keep
                self._loss_of(still).backward()  # type: ignore[no-untyped-call]
                self._forget()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # NCCL's watchdog asks the device from a thread of its own, which must not end the recording
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            loss = self._loss_of(still)
            loss.backward()  # type: ignore[no-untyped-call]
        recorded = _Recorded(graph, still, [p.grad for p in self._parameters], loss.detach())
        self._forget()
        return recorded

    def _forget(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
