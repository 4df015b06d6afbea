"""Which pictures a verdict is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def outputs_sha256(outputs: Sequence[Path]) -> str:
    """Hash of these files' bytes in order, as `Verdict.outputs_sha256`. Raises OSError for one that cannot be read."""
    known = hashlib.sha256()
    for path in outputs:
        known.update(path.read_bytes())
    return known.hexdigest()
