"""Processes that do one thing, and how much memory that took."""

from __future__ import annotations

import resource
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

_MIB = 2**20


def fresh_processes() -> Executor:
    """One after the other, each for one task."""
    return ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)


def peak_mib(device: str = "cpu") -> int:
    """Of this process; on a GPU, of what it allocated there since that was last reset."""
    if device.startswith("cuda"):
        import torch

        return round(torch.cuda.max_memory_allocated(device) / _MIB)
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss starts from the peak of the process that started this one
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(peak.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
