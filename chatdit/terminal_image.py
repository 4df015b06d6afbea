"""Pictures in a terminal: half blocks anywhere, kitty and iTerm2 where the environment names them.

The protocol is chosen from environment variables alone. Asking the terminal would swallow keys
that were typed ahead, and hangs where nobody answers.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from PIL import Image
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import ControlType, Segment
from rich.style import Style
from rich.text import Text

Protocol = Literal["kitty", "iterm2", "blocks", "off"]
Wanted = Literal["auto", "kitty", "iterm2", "blocks", "off"]

KITTY_CHUNK = 4096
_ITERM2_PROGRAMS = frozenset({"iTerm.app", "WezTerm"})
_KITTY_TERMS = frozenset({"xterm-kitty", "xterm-ghostty"})


def choose_protocol(environ: Mapping[str, str], is_tty: bool, wanted: Wanted = "auto") -> Protocol:
    """How to draw pictures here; an explicit wish stands on any terminal, but never in a pipe."""
    if not is_tty:
        return "off"
    if wanted != "auto":
        return wanted
    if environ.get("NO_COLOR") or environ.get("TERM", "") in ("", "dumb"):
        return "off"
    if "TMUX" in environ or "STY" in environ:
        return "blocks"
    if "KITTY_WINDOW_ID" in environ or environ["TERM"] in _KITTY_TERMS or environ.get("TERM_PROGRAM") == "ghostty":
        return "kitty"
    return "iterm2" if environ.get("TERM_PROGRAM") in _ITERM2_PROGRAMS else "blocks"


class TerminalImage:
    """A rich renderable of one picture, at most `columns` x `rows` cells, aspect kept.

    A cell is taken as twice as high as wide. `kitty` and `iterm2` are written to their published
    protocols; no such terminal was at hand to look at them.
    """

    def __init__(self, image: Image.Image, protocol: Protocol, columns: int = 40, rows: int = 20) -> None:
        self.image = image
        self.protocol = protocol
        self.columns = columns
        self.rows = rows

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        columns, _ = fit_cells(self.image.size, min(self.columns, options.max_width), self.rows)
        return Measurement(columns, columns)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.protocol == "off" or (self.protocol == "blocks" and options.ascii_only):
            return
        columns, rows = fit_cells(self.image.size, min(self.columns, options.max_width), self.rows)
        if self.protocol == "blocks":
            yield from half_blocks(self.image, columns, rows)
            return
        escape = kitty_escape if self.protocol == "kitty" else iterm2_escape
        yield Segment(escape(self.image, columns, rows), None, [(ControlType.HOME,)])
        yield Segment.line()


def fit_cells(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """The largest (columns, rows) inside the given ones that keeps the picture's aspect."""
    width, height = size
    scale = min(columns / width, 2 * rows / height)
    return max(1, round(width * scale)), max(1, round(height * scale / 2))


def half_blocks(image: Image.Image, columns: int, rows: int) -> Iterator[Segment]:
    """One upper half block a cell: its foreground is the upper pixel, its background the lower one."""
    small = image.convert("RGB").resize((columns, 2 * rows), Image.Resampling.BOX)
    pixels = small.tobytes()
    stride = 3 * columns
    for row in range(rows):
        upper, lower = 2 * row * stride, (2 * row + 1) * stride
        for x in range(0, stride, 3):
            top, bottom = pixels[upper + x : upper + x + 3], pixels[lower + x : lower + x + 3]
            yield Segment("▀", Style(color=_hex(top), bgcolor=_hex(bottom)))
        yield Segment.line()


def kitty_escape(image: Image.Image, columns: int, rows: int) -> str:
    """The kitty graphics protocol: PNG in base64 chunks; `q=2` asks the terminal not to answer."""
    data = base64.standard_b64encode(_png(image)).decode("ascii")
    chunks = [data[i : i + KITTY_CHUNK] for i in range(0, len(data), KITTY_CHUNK)]
    parts = []
    for i, chunk in enumerate(chunks):
        head = f"a=T,f=100,q=2,c={columns},r={rows}," if i == 0 else ""
        parts.append(f"\x1b_G{head}m={int(i < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def iterm2_escape(image: Image.Image, columns: int, rows: int) -> str:
    """The iTerm2 inline image protocol (OSC 1337), also understood by WezTerm."""
    png = _png(image)
    head = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={head}:{base64.standard_b64encode(png).decode('ascii')}\x07"


def path_link(path: Path, style: str = "cyan", *, short: bool = False) -> Text:
    """The path as text, clickable (OSC 8) where the terminal knows how; plain text elsewhere.

    A `short` one is what a person would type here: relative to the working directory, or with `~`.
    """
    return Text(
        _typed(path) if short else str(path),
        style=Style.parse(style) + Style(link=path.absolute().as_uri()),
        overflow="fold",
    )


def _typed(path: Path) -> str:
    path = path.absolute()
    near = {Path.cwd(): Path(), Path.home(): Path("~")}
    ways = [str(said / path.relative_to(base)) for base, said in near.items() if path.is_relative_to(base)]
    return min((str(path), *ways), key=len)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _hex(rgb: bytes) -> str:
    return f"#{rgb.hex()}"
