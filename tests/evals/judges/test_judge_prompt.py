"""What the openai judge sends for a question, and which replies it can read."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chatdit.agents.brain import ModelReplyError
from chatdit.evals.judges.judge_pictures import number_card, read_pictures, shown_for
from chatdit.evals.judges.judge_prompt import MAX_REASON, numbers_in, question_messages, read_score, repair_messages
from chatdit.evals.suites.case import Case, Question
from chatdit.tools.types import ToolError

YES = '{"reason": "The fox is there.", "score": 1}'


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (YES, True),
        ('{"score": 0, "reason": "no fox"}', False),
        (f"```json\n{YES}\n```", True),
        (f"Sure, here it is:\n{YES}\nI hope this helps.", True),
        (f'<think>{{"score": 0}} at first sight</think>{YES}', True),
        ('a thought without its beginning, score: 0 </think> {"score": 1}', True),
        ('{"Score": true, "reason": "x"}', True),
        ('{"score": false}', False),
        ('{"score": "1"}', True),
        ('{"score": 1.0}', True),
        ('{"score": "yes"}', True),
        ("{'score': 0, 'reason': 'no fox'}", False),
        ('{"answer": {"score": 1}}', True),
        ('{"reason": "the fox is cut of', None),
        ('{"score": 1, "reason": "the fox is cut of', True),
        ("Score: 1", True),
        ("**Score:** 0. There is no fox.", False),
        ("score = 1.", True),
        ("I would say the score is 1 because of the fox.", True),
        ("I give it a score of 0", False),
        ("1", True),
        ("no", False),
        ('{"score": 1, "reason": "The score is 1 as the fox is there."}', True),
        ("", None),
        ("The picture shows a fox.", None),
        ("{}", None),
        ('{"score": 2, "reason": "very good"}', None),
        ('{"score": 0.5}', None),
        ('{"score": -1}', None),
        ('{"score": 10}', None),
        ('{"score": null}', None),
        ('{"score": "maybe"}', None),
        ('{"score": 0, "score": 1}', None),
        ('{"score": 1, "reason": "The fox is missing. Score: 0"}', None),
        ('{"score": 1} or rather {"score": 0}', None),
        ("Score: 0 or 1", None),
        ("Score: 0/1", None),
        ("The score is 0 or 1", None),
        ("11", None),
    ],
)
def test_a_score_is_read_or_it_is_unreadable(text: str, score: bool | None) -> None:
    if score is None:
        with pytest.raises(ModelReplyError) as raised:
            read_score(text)
        assert "\n" not in str(raised.value)
    else:
        assert read_score(text).yes is score


def test_the_problem_is_named() -> None:
    with pytest.raises(ModelReplyError, match=r"must be 0 or 1, got '2'"):
        read_score('{"score": 2}')
    with pytest.raises(ModelReplyError, match="both 0 and 1"):
        read_score('{"score": 1, "score": 0}')
    with pytest.raises(ModelReplyError, match="empty"):
        read_score(" ")
    with pytest.raises(ModelReplyError, match=r"expected a score of 0 or 1, got 'A fox\.'"):
        read_score("A fox.")


def test_the_reason_is_kept_on_one_short_line() -> None:
    assert read_score(YES).reason == "The fox is there."
    assert read_score("Score: 0\nThere is\nno fox.").reason == "Score: 0 There is no fox."
    assert read_score('{"score": 1}').reason == ""
    long = read_score(json.dumps({"score": 1, "reason": "fox " * 1000})).reason
    assert len(long) == MAX_REASON + 1 and long.endswith("…")


def test_numbers_are_found_outside_of_thoughts() -> None:
    assert numbers_in('<think>is it 123?</think>{"number": 456}') == {456}
    assert numbers_in("I see nothing.") == set()


def test_pictures_stand_between_request_and_question(tmp_path: Path) -> None:
    case = make_case(tmp_path, inputs=2)
    outputs = [save(tmp_path / "made" / "0001.jpg", 3), save(tmp_path / "made" / "0002.jpg", 4)]
    question = Question(text="Is it red?", zero="It is blue.", one="It is red.")

    parts = sent_parts(case, question, outputs)

    words = ["*" if part["type"] == "image_url" else part["text"] for part in parts]
    assert "Draw a fox." in words[0] and "came with it: 2. Output pictures that were made: 2" in words[0]
    assert words[1:-1] == ["Input picture 1:", "*", "Input picture 2:", "*", "Output picture 1:", "*",
                           "Output picture 2:", "*"]  # fmt: skip
    assert (
        words[-1] == "The question:\nIs it red?\nScore 0 means: It is blue.\nScore 1 means: It is red.\nAnswer in JSON."
    )
    assert [pixels(part)[0, 0, 0] for part in parts if part["type"] == "image_url"] == [10, 20, 30, 40]


def test_only_the_named_pictures_are_sent_whatever_their_suffix(tmp_path: Path) -> None:
    case = make_case(tmp_path, inputs=2)
    outputs = [save(tmp_path / "made" / f"000{n}.png", 2 + n) for n in (1, 2, 3)]
    question = Question(text="Is it red?", inputs=("0002.jpg",), outputs=("0003.jpg", "0001.jpg"))

    parts = sent_parts(case, question, outputs)

    labels = [part["text"] for part in parts[1:-1] if part["type"] == "text"]
    assert labels == ["Input picture 2:", "Output picture 3:", "Output picture 1:"]
    assert [pixels(part)[0, 0, 0] for part in parts if part["type"] == "image_url"] == [20, 50, 30]
    assert not [p for p in sent_parts(case, Question(text="?", inputs=(), outputs=()), outputs) if "image_url" in p]


def test_a_named_picture_that_was_not_made_is_told(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    parts = sent_parts(
        case, Question(text="?", outputs=("0001.jpg", "0002.jpg")), [save(tmp_path / "a" / "0001.jpg", 5)]
    )

    assert [part.get("text") for part in parts[1:-1]] == ["Output picture 1:", None,
                                                          "Output picture 2: missing"]  # fmt: skip


def test_the_question_about_a_digit_gets_a_card_with_the_number_of_outputs(tmp_path: Path) -> None:
    case = make_case(tmp_path, inputs=2)
    outputs = [save(tmp_path / "made" / f"000{n}.png", n) for n in (1, 2, 3)]
    question = Question(text="Is the number in the image the digit 3? Answer ...", outputs=("0001.jpg",))

    parts = sent_parts(case, question, outputs)

    pictures = [pixels(part) for part in parts if part["type"] == "image_url"]
    assert len(pictures) == 1 and np.array_equal(pictures[0], np.asarray(number_card(3)))
    assert pictures[0].shape == (512, 512, 3) and (pictures[0][0] == 255).all() and (pictures[0] < 50).any()
    assert not np.array_equal(np.asarray(number_card(3)), np.asarray(number_card(4)))


def test_large_pictures_are_made_smaller_and_small_ones_are_sent_as_they_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    small, large = tmp_path / "0001.png", tmp_path / "0002.png"
    Image.fromarray(noise).save(small)
    Image.new("RGB", (3000, 1500), (200, 100, 50)).save(large)

    outputs = read_pictures((), (small, large), 1024).outputs

    assert outputs["0001"].kind == "png" and np.array_equal(decoded(outputs["0001"].data), noise)
    assert outputs["0002"].kind == "jpeg" and decoded(outputs["0002"].data).shape == (512, 1024, 3)
    assert np.abs(decoded(outputs["0002"].data).astype(int) - (200, 100, 50)).max() <= 3
    assert decoded(read_pictures((), (small,), 60).outputs["0001"].data).shape == (45, 60, 3)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "0001.png"
    broken.write_text("no picture")
    with pytest.raises(ToolError, match=r"0001\.png.* is not a picture"):
        read_pictures((), (broken,), 1024)


def test_a_repair_shows_the_reply_and_the_problem() -> None:
    said, asked = repair_messages("I like it.", "expected a score")

    assert (said["role"], said.get("content")) == ("assistant", "I like it.")
    assert "expected a score" in str(asked.get("content"))
    assert len(str(repair_messages("x" * 10**6, "?")[0].get("content"))) == 2000
    assert repair_messages("", "?")[0].get("content") == "(no answer)"


def save(path: Path, tens: int) -> Path:
    """A grey picture of brightness 10 x tens; JPEG keeps that exactly."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 16), (10 * tens,) * 3).save(path)
    return path


def make_case(folder: Path, inputs: int = 0) -> Case:
    names = tuple(save(folder / f"000{n}.jpg", n).name for n in range(1, inputs + 1))
    return Case(
        id="fox_0001", task="0001", task_name="fox", group="fox", category="I2I", instruction="Draw a fox.",
        folder=folder, inputs=names, output_count=2, questions=(), sha256="0" * 64,
    )  # fmt: skip


def sent_parts(case: Case, question: Question, outputs: list[Path]) -> list[dict[str, Any]]:
    pictures = read_pictures(case.pictures, outputs, 1024)
    messages = question_messages(case, question, shown_for(question, pictures), len(outputs))
    assert [message["role"] for message in messages] == ["system", "user"]
    parts: list[dict[str, Any]] = json.loads(json.dumps(messages))[1]["content"]
    return parts


def pixels(part: dict[str, Any]) -> Any:
    head, data = part["image_url"]["url"].split(",", 1)
    assert head in {"data:image/png;base64", "data:image/jpeg;base64"}
    return decoded(base64.b64decode(data))


def decoded(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
