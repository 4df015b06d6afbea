"""IDEA-Bench's files as they are on disk, read defensively: what a field may look like, and what is odd about it.

The data set is under CC-BY-NC-4.0, parts of it without derivatives, and is no part of this project. Shapes are those of
its card and its scripts (ali-vilab/IDEA-Bench@63aacd4); where those say nothing, several are understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from chatdit.evals.suites.case import CATEGORIES, Category, Question

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
META_FIELDS = {
    "task_name", "num_of_cases", "image_reference", "multi_image_reference", "multi_image_output", "uid",
    "output_image_count", "case_id", "category", "group", "split",
}  # fmt: skip
"""The last three are ours: cases that this project writes say them."""
QUESTION_FIELDS = {"question", "0_point_standard", "1_point_standard", "check"}
_SPELLINGS = {"t2i": "T2I", "i2i": "I2I", "is2i": "Is2I", "t2is": "T2Is", "is2is": "IS2Is", "i(s)2is": "IS2Is"}


class Unreadable(Exception):
    """A file that is missing or broken; the message names it and says what to do."""


def read_json(path: Path) -> JsonValue:
    """The JSON in a file. Raises Unreadable."""
    try:
        data: JsonValue = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise Unreadable(f"{path}: missing; copy the case again") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"{path}: no JSON ({_short(error)}); copy the case again") from None
    return data


def read_lines(path: Path) -> list[JsonValue]:
    """The JSON of each line that is not empty. Raises Unreadable."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"{path}: no JSON lines ({_short(error)}); copy the case again") from None


def category_of(value: object) -> Category | None:
    """The category that a word means, in any of its spellings."""
    name = _SPELLINGS.get(str(value).strip().lower().replace(" ", "").replace("-", "").replace("_", ""))
    return next((c for c in CATEGORIES if c == name), None)


def category_by_flags(meta: Mapping[str, JsonValue]) -> Category:
    """By whether pictures go in, and several of them, and whether several come out: an inference from the card."""
    several_out = bool(meta.get("multi_image_output"))
    if not meta.get("image_reference"):
        return "T2Is" if several_out else "T2I"
    if several_out:
        return "IS2Is"
    return "Is2I" if meta.get("multi_image_reference") else "I2I"


def split_file(root: Path) -> dict[str, Category]:
    """Category by task id, from the `task_split.json` at `root`, above it or below; empty where there is none.

    Its schema is not documented: both category to task ids and task id to category are understood. Raises Unreadable.
    """
    near = [root / "task_split.json", root.parent / "task_split.json", *sorted(root.rglob("task_split.json"))]
    path = next((p for p in near if p.is_file()), None)
    if path is None:
        return {}
    data = read_json(path)
    if not isinstance(data, dict):
        raise Unreadable(f"{path}: expected an object of categories or of tasks; categories follow from the flags")
    found: dict[str, Category] = {}
    for key, value in data.items():
        if (category := category_of(key)) is not None and isinstance(value, list):
            found.update({_task(item): category for item in value})
        elif (category := category_of(value)) is not None:
            found[_task(key)] = category
    return found


def questions_of(data: JsonValue, path: Path) -> tuple[list[Question], list[str]]:
    """The questions in an `eval.json`, and what is odd about them: a list, under "questions", or numbered keys.

    Raises Unreadable for anything else.
    """
    if isinstance(data, dict) and "questions" in data:
        data = data["questions"]
    elif isinstance(data, dict):
        data = [data[key] for key in sorted(data, key=_number)]
    if not isinstance(data, list):
        raise Unreadable(f"{path}: expected a list of questions")
    found, odd = [], []
    for i, item in enumerate(data, start=1):
        if isinstance(item, str):
            item = {"question": item}
        text = item.get("question") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(text, str):
            raise Unreadable(f'{path}: question {i} has no text under "question"')
        odd += [f"{path}: question {i} has an unknown field {key!r}" for key in sorted(set(item) - QUESTION_FIELDS)]
        zero, one = (str(item.get(key, "")) for key in ("0_point_standard", "1_point_standard"))
        found.append(Question(text=text, zero=zero, one=one, check=item.get("check")))
    return found, odd


def shown_pictures(folder: Path, count: int) -> list[tuple[tuple[str, ...] | None, tuple[str, ...] | None]]:
    """For each of `count` questions the inputs and outputs that `auto_eval.jsonl` has a judge see; None means all.

    Only cases of IDEA-Bench-mini have that file. Raises Unreadable.
    """
    path = folder / "auto_eval.jsonl"
    if not path.is_file():
        return [(None, None)] * count
    lines = read_lines(path)
    if len(lines) != count:
        raise Unreadable(f"{path}: {len(lines)} lines, expected one for each of {count} questions")
    return [(_names(line, "input_images"), _names(line, "output_images")) for line in lines]


def pictures_in(folder: Path) -> list[str]:
    """File names of the numbered pictures, in the order of their numbers."""
    names = [p.name for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.stem.isdigit()]
    return sorted(names, key=lambda name: (int(Path(name).stem), name))


def task_id(value: object) -> str:
    """A task's uid as it is compared: four digits where it is a number."""
    return _task(value)


def _names(line: JsonValue, key: str) -> tuple[str, ...] | None:
    names = line.get(key) if isinstance(line, dict) else None
    return tuple(str(n) for n in names) if isinstance(names, list) else None


def _task(value: object) -> str:
    text = str(value).strip()
    return f"{int(text):04d}" if text.isdigit() else text


def _number(key: str) -> tuple[int, str]:
    digits = "".join(c for c in key if c.isdigit())
    return (int(digits) if digits else 0, key)


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:80]
