"""Descriptions in the person's own words, for painters that understand any English."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chatdit.agents.lexer import Lexeme
from chatdit.agents.scene_editor import Built

_VERBS = ("draw", "then", "stop", "colon", "item", "picture")
_POLITE = {
    "please",
    "pls",
    "can",
    "could",
    "you",
    "me",
    "i",
    "we",
    "would",
    "will",
    "us",
    "hi",
    "hello",
    "thanks",
    "of",
}


def describe_freely(lexemes: Sequence[Lexeme], built: Built) -> str:
    """The words of one picture without the asking around them; an edit continues its base's description."""
    words = [w.text for w in lexemes if w.kind not in _VERBS]
    while words and words[0] in _POLITE | {",", "and"}:
        words.pop(0)
    text = re.sub(r"\s+([,.;!?])", r"\1", " ".join(words)).strip(" ,")
    base = next((known for known, role in built.sources if role == "edit_target"), None)
    if base is None or not base.draft.elements:
        return text
    return f"{' and '.join(element.subject for element in base.draft.elements)}, {text}"
