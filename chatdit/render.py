"""What a person sees of a turn: plan table, progress with preview, result lines, questions, notices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from PIL import Image
from pydantic import JsonValue
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from chatdit.terminal_image import Protocol, TerminalImage, path_link

if TYPE_CHECKING:
    from types import TracebackType

    from chatdit.agents.plan import Node, Plan
    from chatdit.records import Picture
    from chatdit.tools.types import Progress as StepReport

DOT = " · "
PREVIEW_CELLS = (24, 12)


def result_line(picture: Picture, *, short: bool = False) -> Text:
    """`#7 · generate · seed 41283 · 8 steps · 3.2 s · path`; what was not drawn has no seed and steps.

    A `short` one, for people, shortens the path and says what was drawn on a line of its own.
    """
    parts = [picture.tool]
    if picture.steps is not None:
        parts.append(f"seed {picture.seed}")
        parts.append(f"{picture.steps} step{'s' * (picture.steps != 1)}")
    parts.append("drawn before" if picture.cached else f"{picture.seconds:.1f} s")
    line = Text.assemble((f"#{picture.number}", "bold"), DOT, DOT.join(parts), DOT)
    line.append_text(path_link(picture.path, short=short))
    return line.append(f"\n   {picture.output.description}", style="dim") if short else line


def plan_table(plan: Plan) -> Table:
    """One row a step: its name, its tool, what it draws, what it takes, which outputs it answers."""
    table = Table(title="plan", title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in ("step", "tool", "draws", "takes", "gives"):
        table.add_column(column, overflow="fold")
    for node in plan.nodes:
        gives = ", ".join(output.id for output in plan.outputs if output.node == node.id)
        table.add_row(node.id, node.tool, _draws(node), ", ".join(_takes(node.args)) or "-", gives or "-")
    return table


def notice(text: str) -> Text:
    """Something that was assumed, left out or done differently."""
    return Text(f"note: {text}", style="yellow")


def error(text: str) -> Text:
    return Text(f"error: {text}", style="red")


def questions(asked: Iterable[str]) -> Text:
    """What must be answered before anything can be drawn, one a line."""
    return Text("\n".join(f"? {question}" for question in asked), style="cyan")


class DrawingView:
    """Progress of the running steps and a preview of the newest picture; gone when it closes.

    Draws nothing when the console is not a terminal.
    """

    def __init__(self, console: Console, protocol: Protocol = "off") -> None:
        what, count = TextColumn("{task.description}"), TextColumn("{task.fields[count]}")
        self._bars = Progress(what, BarColumn(24), count, TimeElapsedColumn(), console=console)
        self._tasks: dict[str, TaskID] = {}
        self._preview: Image.Image | None = None
        # Half blocks are text and can be redrawn; a kitty or iTerm2 picture would pile up.
        self._protocol: Protocol = "off" if protocol == "off" else "blocks"
        self._live = Live(self._view(), console=console, transient=True, refresh_per_second=8)
        self._shown = console.is_terminal

    def __enter__(self) -> DrawingView:
        self.resume()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.pause()

    def pause(self) -> None:
        """Take the view away while something else needs the terminal."""
        if self._shown:
            self._live.stop()

    def resume(self) -> None:
        """Bring the view back."""
        if self._shown:
            self._live.start()

    def stage(self, name: str) -> None:
        """Something has begun that does not count its steps yet."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, count="")

    def step(self, name: str, report: StepReport) -> None:
        """One report of what `stage` began: moves its bar and replaces the preview."""
        self.stage(name)
        self._bars.update(
            self._tasks[name],
            description=f"{name} {report.stage}".rstrip(),
            completed=report.step,
            total=report.total or None,
            count=f"{report.step}/{report.total}" if report.total else "",
        )
        self._preview = _as_image(report.preview) or self._preview
        self._live.update(self._view(), refresh=False)

    def done(self, name: str) -> None:
        """What `stage` began is over."""
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))

    def _view(self) -> RenderableType:
        if self._preview is None or self._protocol == "off":
            return self._bars
        return Group(TerminalImage(self._preview, self._protocol, *PREVIEW_CELLS), self._bars)


def _as_image(preview: object) -> Image.Image | None:
    if preview is None or isinstance(preview, Image.Image):
        return preview
    return Image.fromarray(preview)  # type: ignore[arg-type]  # an (H, W, 3) uint8 array


def _draws(node: Node) -> str:
    """The captions of a step's panels, or its arguments as short JSON when it has none."""
    panels = node.args.get("panels")
    if isinstance(panels, list):
        captions = [str(panel["caption"]) for panel in panels if isinstance(panel, dict) and "caption" in panel]
        numbered = [f"{i}. {caption}" for i, caption in enumerate(captions, 1)]
        return "\n".join(numbered if len(captions) > 1 else captions)
    plain = {key: value for key, value in node.args.items() if not list(_takes(value))}
    return json.dumps(plain, ensure_ascii=False) if plain else "-"


def _takes(value: JsonValue | Mapping[str, JsonValue]) -> Iterable[str]:
    """Every picture a step takes in: `input_1`, or `draw_1[0]` for another step's picture."""
    if isinstance(value, list):
        for item in value:
            yield from _takes(item)
    elif isinstance(value, Mapping):
        if "$input" in value:
            yield str(value["$input"])
        elif "$node" in value:
            yield f"{value['$node']}[{value.get('index', 0)}]"
        else:
            for item in value.values():
                yield from _takes(item)
