"""Finding the JSON object in replies that hold more than that."""

from __future__ import annotations

import time

import pytest

from chatdit.agents.brain import ModelReplyError
from chatdit.agents.reply_json import excerpt, extract_object


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        ' \n{"a": 1}\n',
        'Sure:\n```json\n{"a": 1}\n```',
        '<think>{"a": 2}</think>{"a": 1}',
        'no opening tag {"a": 2}</think>{"a": 1}',
        '<THINKING>hm</THINKING> {"a": 1} {"a": 3}',
        '{oops} {"a": 1}',
        '{} then {"a": 1}',
    ],
)
def test_the_object_is_found(text: str) -> None:
    assert extract_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[1, 2]", '"a"', '{"a": ', "{{{{", "<think>{", "null"])
def test_a_reply_without_an_object_is_refused(text: str) -> None:
    with pytest.raises(ModelReplyError, match="expected a JSON object"):
        extract_object(text)


def test_hostile_replies_end_quickly() -> None:
    started = time.perf_counter()
    for text in ("{" * 199_000, '{"a":' * 39_000, "[" * 199_000, "{[" * 99_000):
        with pytest.raises(ModelReplyError):
            extract_object(text)
    with pytest.raises(ModelReplyError, match="characters"):
        extract_object("{" * 300_000)
    assert time.perf_counter() - started < 5


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt("a\n b" * 200).count("\n") == 0
    assert len(excerpt("x" * 1000)) < 100
