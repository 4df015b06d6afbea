"""The pocket world that a person names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from chatdit.exit_codes import UsageError

if TYPE_CHECKING:
    from chatdit.tools.pocket.samples import World

DrawnWorld = Annotated[str, typer.Option("--world", metavar="W", help="free, or the grid that the weights know.")]


def named_world(name: str) -> World:
    """What `--world` means. Raises UsageError for a world that is not known."""
    from chatdit.tools.pocket.samples import WORLDS

    for world in WORLDS:
        if world == name:
            return world
    raise UsageError(f"--world {name[:40]!r} is not known: expected one of {', '.join(WORLDS)}")
