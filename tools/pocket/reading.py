"""What a reader sees in a picture of the pocket world: subjects with their boxes and looks, the place, the style."""

from __future__ import annotations

from dataclasses import dataclass

from chatdit.tools.pocket.scene import Worn
from chatdit.tools.types import Box


@dataclass(frozen=True)
class Sighting:
    """One subject found; `score` in [0, 1] is how sure the reader is."""

    subject: str
    tint: str | None
    box: Box
    score: float
    rotation: int = 0
    """Whole degrees, counterclockwise."""
    worn: Worn | None = None


@dataclass(frozen=True)
class Reading:
    """Everything seen in one picture; the surest sighting comes first."""

    sightings: tuple[Sighting, ...]
    background: str
    style: str

    def find(self, subject: str) -> Sighting | None:
        """The surest sighting of `subject`, or None."""
        found = [s for s in self.sightings if s.subject == subject]
        return max(found, key=lambda s: s.score, default=None)
