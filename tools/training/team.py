"""Several processes that train one model, one device each: started by `torchrun`, or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """This process's place in the team and its device."""

    device: torch.device
    rank: int = 0
    size: int = 1
    _joined: list[DistributedDataParallel] = field(default_factory=list, compare=False, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def joined(self, model: nn.Module) -> nn.Module:
        """The model to call in training, so that gradients are averaged over the team."""
        if self.size == 1:
            return model
        self._joined.append(DistributedDataParallel(model))
        return self._joined[-1]

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def agree(self, value: float) -> float:
        """The leader's value."""
        if self.size == 1:
            return value
        # on the CPU, so that the device's queue is not waited for
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def _leave(self) -> None:
        # The last owner of the group joins its threads. A reducer does that while it holds Python's lock, for which
        # those threads may wait, so none may outlive the group; the group itself lets go of the lock.
        for model in self._joined:
            model.reducer = model.logger = None  # type: ignore[assignment]
        self._joined.clear()
        distributed.destroy_process_group()


def mixed_precision(device: torch.device) -> torch.autocast:
    """bf16 autocast on a GPU; on a CPU nothing, since many are a hundred times slower in bf16 than in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Train without cuDNN's attention, whose backward has hit illegal memory accesses; put back at the end."""
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


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
    members = Team(device, rank, size)
    try:
        yield members
    finally:
        members._leave()
