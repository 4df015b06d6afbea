"""The JSON object in a language model's reply, whatever stands around it."""

from __future__ import annotations

import json
import re

from chatdit.agents.brain import ModelReplyError

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_MAX_CHARACTERS = 200_000
_MAX_STARTS = 50
_SHOWN = 80


def extract_object(text: str) -> dict[str, object]:
    """The first JSON object of `text` that decodes; thoughts, code fences and prose around it are ignored.

    Raises ModelReplyError when there is none, quoting the beginning of the reply.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ModelReplyError(f"the reply has {len(text):,} characters; at most {_MAX_CHARACTERS:,} are read")
    body = _OPEN_THOUGHT.sub("", _THOUGHTS.sub("", text))
    decoder = json.JSONDecoder()
    start = body.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            break
        try:
            found, _end = decoder.raw_decode(body, start)
        except (json.JSONDecodeError, RecursionError):
            found = None
        if isinstance(found, dict) and found:
            return found
        start = body.find("{", start + 1)
    raise ModelReplyError(f"expected a JSON object, got {excerpt(text)}")


def excerpt(text: str) -> str:
    """The beginning of `text` on one line, quoted."""
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…")
