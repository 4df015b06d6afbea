"""Several processes that train one model, one device each: started by `torchrun`, or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


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

    def share(self, model: nn.Module) -> None:
        """Give every process the leader's weights."""
        if self.size > 1:
            for parameter in model.parameters():
                distributed.broadcast(parameter.data, src=0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean over the team into the gradients, which every process has for the same parameters."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(together)
        means = torch.split(together / self.size, [g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [mean.view(g.shape) for mean, g in zip(means, gradients, strict=True)])  # pyright: ignore[reportPrivateImportUsage]

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


def mixed_precision(device: torch.device) -> torch.autocast:
    """bf16 autocast on a GPU; on a CPU nothing, since many are a hundred times slower in bf16 than in fp32.

    Casts of weights are not kept from call to call, for a recorded step would read old ones.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False)


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
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "cpu:gloo")
    members = Team(device, rank, size)
    try:
        yield members
        distributed.barrier()  # nobody leaves while another still reads from it
    finally:
        distributed.destroy_process_group()
