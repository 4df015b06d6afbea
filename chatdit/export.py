"""A session as a document: a folder with Markdown and pictures, or one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chatdit.no_clobber import new_folder, write_new
from chatdit.records import Picture, Turn
from chatdit.store import SessionStore

if TYPE_CHECKING:
    from chatdit.session import Session

Form = Literal["md", "html"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { font-size: .85rem; font-weight: normal; color: #666; margin: 2rem 0 .5rem }
.said { margin: 0; background: #eef3fb; border-radius: .6rem; padding: .6rem 1rem; white-space: pre-wrap }
.reply { white-space: pre-wrap } .pictures { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0 } img { max-width: 100%; border-radius: .4rem; image-rendering: auto }
figcaption, .facts { color: #666; font-size: .85rem }
"""


def export_session(session: Session, form: Form, folder: str | Path | None = None) -> Path:
    """Write the line of conversation of an open session; see `export_turns`."""
    return export_turns(session.history(), session.id, form, folder)


def export_stored(home: Path, session: str, form: Form, folder: str | Path | None = None) -> Path:
    """Write a session without opening it, so that one in use can be exported. Raises UnknownSession."""
    store = SessionStore(home)
    try:
        found = store.find_session(session)
        return export_turns(store.lineage(store.head(found)), found, form, folder)
    finally:
        store.close()


def export_turns(turns: Sequence[Turn], title: str, form: Form, folder: str | Path | None = None) -> Path:
    """Write `turns` under `folder` (default `./chatdit-out`); returns the file to open.

    `md` makes a new folder with `session.md` and the pictures, `html` one page with everything inside.
    Nothing is overwritten. Raises StoreError when the disk refuses.
    """
    place = Path(folder).expanduser() if folder is not None else Path("chatdit-out")
    if form == "html":
        return write_new(place / f"chatdit-{title}.html", as_html(turns, title).encode())
    target = new_folder(place / f"chatdit-{title}")
    names = _copy_pictures(turns, target)
    return write_new(target / "session.md", as_markdown(turns, title, names).encode())


def as_markdown(turns: Sequence[Turn], title: str, names: dict[Path, str]) -> str:
    """The conversation in Markdown; `names` says where each picture's copy lies."""
    return "\n".join(_markdown_lines(turns, title, names)) + "\n"


def as_html(turns: Sequence[Turn], title: str) -> str:
    """The conversation as one page without scripts or links to elsewhere; every word is escaped."""
    body = "\n".join(line for turn in turns for line in _html_turn(turn))
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>ChatDiT {name}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>ChatDiT {name}</h1>\n{body}\n</body></html>\n"
    )


def _markdown_lines(turns: Sequence[Turn], title: str, names: dict[Path, str]) -> Iterator[str]:
    yield f"# ChatDiT {title}"
    for turn in turns:
        yield f"\n## Turn {turn.number}\n"
        yield from (f"> {_escaped(line)}" for line in turn.text.splitlines())
        yield ""
        yield from (f"{_escaped(line)}  " for line in _reply_lines(turn))
        for picture in turn.images:
            caption = _escaped(" ".join(picture.output.description.split()))
            if picture.path in names:
                yield f"\n![{caption}](images/{names[picture.path]})\n"
            yield f"{caption} · {_escaped(_facts(picture))}"


def _html_turn(turn: Turn) -> Iterator[str]:
    yield f'<h2>Turn {turn.number}</h2>\n<p class="said">{html.escape(turn.text)}</p>'
    reply = html.escape("\n".join(_reply_lines(turn)))
    yield f'<p class="reply">{reply}</p>\n<div class="pictures">'
    for picture in turn.images:
        caption = html.escape(picture.output.description)
        yield f"<figure>{_html_image(picture, caption)}"
        yield f"<figcaption>{caption}<br>{html.escape(_facts(picture))}</figcaption></figure>"
    yield f'</div>\n<p class="facts">{html.escape(f"{turn.brain} · {turn.painter} · {turn.seconds:.1f} s")}</p>'


def _html_image(picture: Picture, caption: str) -> str:
    data = _bytes_of(picture)
    if data is None:
        return ""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{caption}" width="{picture.width}" height="{picture.height}" src="{source}">'


def _reply_lines(turn: Turn) -> list[str]:
    """The reply without the lines that the captions of its pictures repeat."""
    captions = {f"#{picture.number}: {picture.output.description}" for picture in turn.images}
    return [line for line in turn.reply.splitlines() if line not in captions]


def _facts(picture: Picture) -> str:
    steps = f" · {picture.steps} steps" if picture.steps else ""
    gone = "" if picture.path.is_file() else " · the file is gone"
    return f"#{picture.number} · {picture.tool} · seed {picture.seed}{steps}{gone}"


def _bytes_of(picture: Picture) -> bytes | None:
    try:
        return picture.path.read_bytes()
    except OSError:
        return None


def _copy_pictures(turns: Sequence[Turn], target: Path) -> dict[Path, str]:
    """Copies under `target/images`; two files of one name get numbered ones. Files that are gone are left out."""
    names: dict[Path, str] = {}
    for picture in (picture for turn in turns for picture in turn.images):
        data = _bytes_of(picture)
        if data is not None:
            names[picture.path] = write_new(target / "images" / picture.path.name, data).name
    return names


def _escaped(text: str) -> str:
    """Words as Markdown shows them literally, with no markup and no HTML."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]()#+!|~<>&" else char for char in text)
