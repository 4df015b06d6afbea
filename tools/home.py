"""Where a person's own files lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_dir() -> Path:
    """Folder of sessions, pictures and LoRAs: $CHATDIT_HOME, or chatdit's folder under the XDG data directory."""
    home = os.environ.get("CHATDIT_HOME")
    return Path(home).expanduser().absolute() if home else platformdirs.user_data_path("chatdit")
