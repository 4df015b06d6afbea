"""Suites in IDEA-Bench's format (arXiv 2412.11767), full and mini, as folders: loaded, sealed by a hash, written.

What cannot be scored is left out and named; nothing is repaired in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from pydantic import JsonValue, ValidationError

from chatdit.evals.suites.case import CATEGORIES, QUESTIONS, Case, Category, Split, Suite
from chatdit.evals.suites.official_fields import (
    META_FIELDS,
    Unreadable,
    category_by_flags,
    category_of,
    pictures_in,
    questions_of,
    read_json,
    shown_pictures,
    split_file,
    task_id,
)
from chatdit.evals.suites.official_groups import group_of


class SuiteError(ValueError):
    """A folder without any case, or a choice that leaves none."""


def load_suite(root: Path, name: str | None = None) -> Suite:
    """All cases below `root`, wherever their `meta.json` lies; `Suite.problems` says what is wrong with the others.

    Raises:
        SuiteError: there is no such folder, or no case in it.
    """
    if not root.is_dir():
        raise SuiteError(f"no suite at {root}: expected a folder of cases, each with a meta.json")
    problems: list[str] = []
    try:
        categories = split_file(root)
    except Unreadable as problem:
        categories, problems = {}, [str(problem)]
    cases: dict[str, Case] = {}
    for meta in sorted(root.rglob("meta.json")):
        try:
            case, odd = _load_case(meta.parent, categories)
        except Unreadable as problem:
            problems.append(f"{problem} (case left out)")
            continue
        problems += odd
        if case.id in cases:
            problems.append(f"{meta.parent}: a second case {case.id}, beside {cases[case.id].folder} (case left out)")
        else:
            cases[case.id] = case
    if not cases:
        told = f": {problems[0]}" if problems else ", each with a meta.json"
        raise SuiteError(f"no case at {root}{told}")
    return _suite(name or root.name, root, cases.values(), problems)


def select(
    suite: Suite, split: Split | None = None, limit: int | None = None, tasks: Sequence[str] | None = None
) -> Suite:
    """The cases of a half, of some tasks (ids or names), or `limit` of them spread evenly over the categories.

    Raises:
        SuiteError: none is left.
    """
    chosen = [c for c in suite.cases if split in (None, c.split)]
    if tasks is not None:
        named = {task_id(t) for t in tasks} | {t.replace("_", " ") for t in tasks}
        chosen = [c for c in chosen if c.task in named or c.task_name in named]
    if limit is not None and limit < len(chosen):
        chosen = _spread(chosen, limit)
    if not chosen:
        wish = ", ".join(f"{n} {v}" for n, v in (("split", split), ("tasks", tasks), ("limit", limit)) if v is not None)
        raise SuiteError(f"no case of {suite.name} is left with {wish}: it has {len(suite.cases)}")
    return _suite(suite.name, suite.root, chosen, suite.problems)


def sealed(case: Case, pictures: Sequence[Image.Image]) -> Case:
    """The case with the hash of all it says and of its pictures' pixels."""
    told = case.model_dump(mode="json", exclude={"folder", "sha256"})
    known = hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=False).encode())
    for picture in pictures:
        rgb = picture.convert("RGB")
        known.update(f"{rgb.width}x{rgb.height}".encode())
        known.update(rgb.tobytes())
    return case.model_copy(update={"sha256": known.hexdigest()})


def write_case(root: Path, case: Case, pictures: Sequence[Image.Image]) -> Path:
    """The case in a folder of `root`, in the official layout with our few fields beside; returns the folder."""
    folder = root / case.id
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(case.inputs, pictures, strict=True):
        picture.convert("RGB").save(folder / name)
    meta: dict[str, JsonValue] = {
        "task_name": case.task_name,
        "num_of_cases": 1,
        "image_reference": bool(case.inputs),
        "multi_image_reference": len(case.inputs) > 1,
        "multi_image_output": case.output_count > 1,
        "uid": case.task,
        "output_image_count": case.output_count,
        "case_id": case.id[-4:],
        "category": case.category,
        "group": case.group,
    }
    meta |= {} if case.split is None else {"split": case.split}
    questions: list[JsonValue] = [
        {"question": q.text, "0_point_standard": q.zero, "1_point_standard": q.one, "check": q.check}
        for q in case.questions
    ]
    _write(folder / "meta.json", json.dumps(meta, indent=1))
    _write(folder / "instruction.txt", case.instruction)
    _write(folder / "eval.json", json.dumps({"questions": questions}, indent=1, ensure_ascii=False))
    if any(q.inputs is not None or q.outputs is not None for q in case.questions):
        lines = [{"question": q.text, "input_images": q.inputs, "output_images": q.outputs} for q in case.questions]
        _write(folder / "auto_eval.jsonl", "\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    return folder


def _load_case(folder: Path, categories: dict[str, Category]) -> tuple[Case, list[str]]:
    """The case in a folder, and what is odd about it. Raises Unreadable."""
    meta = read_json(folder / "meta.json")
    if not isinstance(meta, dict):
        raise Unreadable(f"{folder / 'meta.json'}: expected an object")
    odd = [f"{folder / 'meta.json'}: unknown field {key!r}" for key in sorted(set(meta) - META_FIELDS)]
    questions, more = questions_of(read_json(folder / "eval.json"), folder / "eval.json")
    if len(questions) != QUESTIONS:
        raise Unreadable(f"{folder / 'eval.json'}: {len(questions)} questions, expected {QUESTIONS}")
    shown = shown_pictures(folder, len(questions))
    names, pictures = _pictures(folder, bool(meta.get("image_reference")))
    count, told = _output_count(meta, folder)
    uid = task_id(meta.get("uid", folder.name[:-5]))
    task_name = str(meta.get("task_name", folder.name[:-5].replace("_", " ")))
    try:
        case = Case(
            id=folder.name,
            task=uid,
            task_name=task_name,
            group=str(meta.get("group") or group_of(folder.name) or task_name),
            category=category_of(meta.get("category")) or categories.get(uid) or category_by_flags(meta),
            split=_split(meta, folder),
            instruction=_instruction(folder),
            folder=folder,
            inputs=tuple(names),
            output_count=count,
            questions=tuple(
                q.model_copy(update={"inputs": i, "outputs": o}) for q, (i, o) in zip(questions, shown, strict=True)
            ),
            sha256="0" * 64,
        )
    except ValidationError as error:
        raise Unreadable(f"{folder}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from None
    return sealed(case, pictures), [*odd, *more, *told]


def _instruction(folder: Path) -> str:
    path = folder / "instruction.txt"
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        raise Unreadable(f"{path}: missing or no text; copy the case again") from None
    if not text:
        raise Unreadable(f"{path}: empty; copy the case again")
    return text


def _pictures(folder: Path, wanted: bool) -> tuple[list[str], list[Image.Image]]:
    names, pictures = pictures_in(folder), []
    if wanted and not names:
        raise Unreadable(f"{folder}: says that pictures go in, and has none (0001.jpg, ...); copy the case again")
    for name in names:
        try:
            with Image.open(folder / name) as picture:
                pictures.append(picture.convert("RGB"))
        except (OSError, UnidentifiedImageError):
            raise Unreadable(f"{folder / name}: no picture that can be opened; copy the case again") from None
    return names, pictures


def _output_count(meta: dict[str, JsonValue], folder: Path) -> tuple[int, list[str]]:
    count = meta.get("output_image_count")
    if isinstance(count, int) and count > 0:
        return count, []
    assumed = 2 if meta.get("multi_image_output") else 1
    return assumed, [f"{folder / 'meta.json'}: no output_image_count above 0; {assumed} assumed"]


def _split(meta: dict[str, JsonValue], folder: Path) -> Split | None:
    split = meta.get("split")
    if split in (None, "dev", "test"):
        return split  # type: ignore[return-value]
    raise Unreadable(f"{folder / 'meta.json'}: split {split!r}, expected dev or test")


def _spread(cases: Sequence[Case], limit: int) -> list[Case]:
    """One category after the other gives its next case; within a category they are spread over its tasks."""
    queues = []
    for category in CATEGORIES:
        mine = [c for c in cases if c.category == category]
        queues.append(sorted(mine, key=lambda c: (c.id[-4:], c.id)))
    chosen: list[Case] = []
    while len(chosen) < limit and any(queues):
        for queue in queues:
            if queue and len(chosen) < limit:
                chosen.append(queue.pop(len(queue) // 2))
    return chosen


def _suite(name: str, root: Path, cases: Iterable[Case], problems: Iterable[str]) -> Suite:
    ordered = tuple(sorted(cases, key=lambda c: c.id))
    known = hashlib.sha256("".join(c.sha256 for c in ordered).encode())
    return Suite(name=name, root=root, cases=ordered, problems=tuple(problems), sha256=known.hexdigest())


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
