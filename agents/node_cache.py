"""What finished nodes made, on disk, under a hash of everything that decides it.

Layout: `<folder>/<first two digits>/<key>.json`, one record a node run. A record appears whole or not
at all, after its pictures are in the artifact store, so a killed process loses only the node it was in.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.tool import Tool
from chatdit.tools.types import ToolError, ToolInput, ToolOutput


@dataclass(frozen=True)
class NodeCache:
    """Records under one folder. Several processes may share it."""

    folder: Path
    weights_hash: Callable[[], str]
    """The painter's weights; asked for once a node, so it should not load them to answer."""

    def key(self, tool: Tool, asked: ToolInput) -> str:
        """SHA-256 over the tool, its version and surroundings, the weights, and the input with its pictures' hashes."""
        content = [tool.name, tool.version, self.weights_hash(), asked.model_dump(mode="json")]
        content += [around] if (around := tool.surroundings()) else []
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, key: str, tool: Tool, store: ArtifactStore) -> ToolOutput | None:
        """The stored output; None when there is none, it is damaged, or one of its pictures is gone."""
        try:
            output = tool.Output.model_validate_json(self._place(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        except OSError as error:
            raise _disk_error("read", self._place(key), error) from error
        return output if _readable(output, store) else None

    def write(self, key: str, output: ToolOutput) -> None:
        """Record `output`, flushed to the disk before this returns. Raises ToolError when it cannot."""
        place = self._place(key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=place.parent, prefix=".part-", delete=False) as part:
                part.write(output.model_dump_json())
                part.flush()
                os.fsync(part.fileno())
            Path(part.name).replace(place)
        except OSError as error:
            raise _disk_error("write", place, error) from error

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _readable(output: ToolOutput, store: ArtifactStore) -> bool:
    try:
        for image in output.images:
            store.open_image(image)
    except ToolError:
        return False
    return True


def _disk_error(deed: str, place: Path, error: OSError) -> ToolError:
    return ToolError(
        f"cannot {deed} {str(place)!r} ({error.strerror or error}): expected a folder with free space that this "
        "user may write; make room and resume, what is finished is kept"
    )
