"""ChatDiT: conversation in, finished image sets out.

    from chatdit import Session

    s = Session()
    turn = s.send("a cat on the beach, then the same cat on the moon")
    turn.images[0].save("cat.png")

Importing this package loads nothing heavy; the names below load their modules when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatdit.records import Picture, Turn
    from chatdit.session import Session

__all__ = ["Picture", "Session", "Turn", "__version__"]
__version__ = "0.1.0"

_LAZY = {"Session": "chatdit.session", "Turn": "chatdit.records", "Picture": "chatdit.records"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'chatdit' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
