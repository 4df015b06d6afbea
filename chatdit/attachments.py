"""Pictures named in a typed line: `@path`, a dragged file, a file URL, a quoted or escaped path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})

# A word at the start of the line or after white space: '...', "..." or bare with backslash escapes.
_WORD = re.compile(
    r"""(?<!\S)(?P<at>@?)(?:'(?P<single>[^'\n]+)'|"(?P<double>[^"\n]+)"|(?P<bare>(?:\\.|[^\s\\])+))(?!\S)"""
)
_TRAILING = ".,;:!?)"


@dataclass(frozen=True)
class TypedLine:
    """What a person typed, taken apart."""

    text: str
    pictures: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    """Paths that were clearly meant as pictures and are not there."""


def take_attachments(line: str, folder: Path, already: int = 0) -> TypedLine:
    """Take picture paths out of a typed line; relative ones are looked for in `folder`.

    A word is a picture when it starts with `@`, or looks like a path, or ends like a picture file,
    and the file exists. One with words on both sides leaves its name behind, `image 1` when
    `already` no other picture is attached. Everything else stays in the text as it was.
    """
    pictures: list[Path] = []
    missing: list[str] = []
    line = line.strip()

    def take(match: re.Match[str]) -> str:
        word = match["single"] or match["double"] or _unescape(match["bare"])
        found = _existing(word, folder) or _existing(word.rstrip(_TRAILING), folder)
        if found and _meant(match["at"], word.rstrip(_TRAILING)):
            pictures.append(found)
            inside = match.start() > 0 and match.end() < len(line)
            return f"image {already + len(pictures)}{_tail(word)}" if inside else ""
        if not found and _looks_like_lost_picture(match["at"], word.rstrip(_TRAILING)):
            missing.append(word)
        return match[0]

    rest = _WORD.sub(take, line)
    if not pictures:
        return TypedLine(line.strip(), (), tuple(missing))
    return TypedLine(re.sub(r"[ \t]{2,}", " ", rest).strip(), tuple(pictures), tuple(missing))


def is_command(line: str, folder: Path) -> bool:
    """Whether a line is a slash command and not a dragged `/home/me/picture.png`."""
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    return re.fullmatch(r"/[A-Za-z][A-Za-z-]*", first) is not None and not (folder / first).is_file()


def _tail(word: str) -> str:
    """Punctuation after a path, which belongs to the sentence."""
    return word[len(word.rstrip(_TRAILING)) :]


def _meant(at: str, word: str) -> bool:
    return bool(at) or _is_pathlike(word) or Path(word).suffix.lower() in PICTURE_SUFFIXES


def _looks_like_lost_picture(at: str, word: str) -> bool:
    return (bool(at) or _is_pathlike(word)) and Path(word).suffix.lower() in PICTURE_SUFFIXES


def _is_pathlike(word: str) -> bool:
    return word.startswith(("/", "~", "./", "../", "file://"))


def _existing(word: str, folder: Path) -> Path | None:
    if not word:
        return None
    if word.startswith("file://"):
        word = unquote(urlparse(word).path)
    try:
        path = folder / Path(word).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, no home folder, a NUL byte
        return None


def _unescape(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)
