"""What counts as too little memory."""

from __future__ import annotations

import errno

import pytest
import torch

from chatdit.tools.dit.memory import out_of_memory

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(CPU),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("unable to mmap 15421592 bytes from file <x>: Cannot allocate memory (12)"),
    ],
)
def test_every_way_to_say_it_is_known(error: BaseException) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "no such file"), ValueError(CPU)]
)
def test_other_errors_are_others(error: BaseException) -> None:
    assert not out_of_memory(error)


def test_a_cpu_that_has_too_little_says_it_so() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value)
