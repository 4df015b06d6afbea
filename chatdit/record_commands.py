"""Commands that look at what was drawn: `sessions`, `inspect`, `replay`, `export`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatdit.config import data_dir, load_settings
from chatdit.exit_codes import FAILURE, OK, UsageError
from chatdit.no_clobber import write_new
from chatdit.provenance import Recipe, png_with_recipe, read_recipe
from chatdit.terminal_image import path_link

if TYPE_CHECKING:
    from chatdit.records import SessionInfo


def list_sessions(*, as_json: bool) -> None:
    """`chatdit sessions`."""
    from chatdit.session import Session

    known = Session.list()
    if as_json:
        print(json.dumps([_as_json(info) for info in known], indent=2))
        return
    if not known:
        print("no session yet: start one with `chatdit`", file=sys.stderr)
        return
    table = Table("id", "last used", "turns", "pictures", "first said", box=None, pad_edge=False, header_style="dim")
    for info in known:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.updated))
        title = info.title.splitlines()[0] if info.title else ""
        table.add_row(
            info.id, used, str(info.turns), str(info.pictures), Text(title, overflow="ellipsis", no_wrap=True)
        )
    Console().print(table)


def inspect_picture(path: Path, *, as_json: bool) -> None:
    """`chatdit inspect`. Raises NoRecipe for a file that carries none."""
    recipe = read_recipe(path)
    if as_json:
        print(recipe.model_dump_json(indent=2))
        return
    console = Console()
    for name, value in _facts(recipe):
        console.print(Text.assemble((f"{name}: ", "dim"), value), soft_wrap=True)


def replay_picture(path: Path, out: Path | None, flags: Mapping[str, object], *, as_json: bool) -> int:
    """`chatdit replay`: the exit code, 1 when the pixels are not equal."""
    from chatdit.replay import replay
    from chatdit.tools.artifacts import ArtifactStore
    from chatdit.tools.catalogue import TOOLS
    from chatdit.workshop import Workshop

    read_recipe(path)  # a file that cannot be replayed is refused before a painter is loaded
    settings = load_settings(flags)
    done = replay(path, Workshop(settings).run_context(ArtifactStore(data_dir() / "blobs")), TOOLS)
    written = None
    if out is not None:
        written = write_new(
            out / f"{path.stem}-replay.png", png_with_recipe(done.image, done.recipe, settings.metadata)
        )
    if as_json:
        facts = {"path": str(path), "equal": done.equal, "result": str(done), "notes": list(done.notes)}
        print(json.dumps(facts | {"written": str(written) if written else None}, indent=2))
    else:
        print(str(done))
        if written:
            Console().print(path_link(written), soft_wrap=True)
        for note in done.notes:
            print(f"note: {note}", file=sys.stderr)
    return OK if done.equal else FAILURE


def export_document(session: str, form: str, out: Path | None, *, as_json: bool) -> None:
    """`chatdit export`."""
    from chatdit.export import export_stored

    if form not in ("md", "html"):
        raise UsageError(f"--format {form[:40]!r} is not known: expected md or html")
    written = export_stored(data_dir(), session, "html" if form == "html" else "md", out)
    if as_json:
        print(json.dumps({"session": session, "format": form, "path": str(written)}, indent=2))
    else:
        Console().print(path_link(written), soft_wrap=True)


def _as_json(info: SessionInfo) -> dict[str, object]:
    """Times as ISO 8601 in UTC."""
    origin = info.branched_from
    return {
        **asdict(info),
        "created": _iso(info.created),
        "updated": _iso(info.updated),
        "branched_from": {"session": origin[0], "turn": origin[1]} if origin else None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _facts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What a person wants to know first, without what the recipe does not say."""
    yield "drawn by", f"{recipe.software}, {recipe.tool} {recipe.tool_version}".rstrip()
    yield "painter", f"{recipe.model} {recipe.weights[:16]}".rstrip()
    yield "seed", str(recipe.seed)
    facts = {"steps": recipe.steps, "guidance": recipe.guidance, "attention": recipe.attention}
    for name, value in (facts | {"caption": recipe.caption}).items():
        if value not in (None, ""):
            yield name, str(value)
    if recipe.instruction:
        yield "said", recipe.instruction
        yield "planned by", recipe.brain
    for part in recipe.ingredients:
        drawn = f", {part.recipe.caption}" if part.recipe else ", not drawn by chatdit"
        yield "made from", f"{part.image.sha256[:16]} ({part.image.width}x{part.image.height}){drawn}"
