"""Whether an error means that there was too little memory: torch and the system say it in several ways."""

from __future__ import annotations

import errno

_TOLD = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: BaseException) -> bool:
    """True for Python's, CUDA's and the system's own errors, and for torch's allocator on a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | OSError) and any(told in str(error).lower() for told in _TOLD)
