"""The words a person hands over, made safe to keep and to show."""

from __future__ import annotations

import re

from chatdit.agents.brain import InstructionError, check_length

_KEPT = "\n\t"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
"""Terminal commands (ECMA-48 CSI and OSC), as pasted with coloured text."""


def clean_text(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` without control characters, and what was taken out, in words.

    Raises InstructionError, one line, for text that is empty or too long.
    """
    check_length(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in _SEQUENCE.sub("", text) if char in _KEPT or not _is_control(char))
    removed = len(text) - len(kept)
    counted = f"{removed} control character{'s' * (removed != 1)}"
    if not kept.strip():
        found = f"nothing but {counted}" if removed else "empty"
        raise InstructionError(f"the instruction is {found}: say what to draw, such as 'a cat on the beach'")
    notes = (f"{counted} taken out of the instruction",) if removed else ()
    return kept.strip(), notes


def _is_control(char: str) -> bool:
    """C0, C1, DEL, lone surrogates, and the marks that turn the direction of text around."""
    code = ord(char)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or 0x202A <= code <= 0x202E
