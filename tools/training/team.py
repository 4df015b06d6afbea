"""Several processes that train one model, one device each: started by `torchrun`, or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """This process's place in the team and its device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def joined(self, model: nn.Module) -> nn.Module:
        """The model to call in training, so that gradients are averaged over the team."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def agree(self, value: float) -> float:
        """The leader's value."""
        if self.size == 1:
            return value
        # on the CPU, so that the device's queue is not waited for
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)


def mixed_precision(device: torch.device) -> torch.autocast:
    """bf16 autocast on a GPU; on a CPU nothing, since many are a hundred times slower in bf16 than in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """The team that torchrun's environment describes; without one, this process alone on `device`."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device)
        return
    rank = int(os.environ["RANK"])
    on_gpu = device.type == "cuda"
    if on_gpu:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield Team(device, rank, size)
    finally:
        distributed.destroy_process_group()
