"""Memory of a process that does one thing is its own, whatever the process takes that started it."""

from __future__ import annotations

import os

from chatdit.evals.fresh_process import fresh_processes, peak_mib


def test_memory_is_that_of_a_process_of_its_own() -> None:
    ballast = bytearray(b"x") * 2**28
    with fresh_processes() as alone:
        theirs, first, second = (alone.submit(task).result() for task in (peak_mib, os.getpid, os.getpid))
    assert 5 < theirs < 256 < peak_mib() and len(ballast) == 2**28
    assert len({first, second, os.getpid()}) == 3
